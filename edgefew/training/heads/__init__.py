"""Heads of training by name. To add one: a file here with an `EpisodeHead`, and one line below.

Whatever the head, the device decides by the cosine with each class's mean unit vector. `cosine` trains just that;
`simpleshot` puts a centring into the backbone, and then trains just that; the others only shape the backbone.
"""

from __future__ import annotations

from edgefew_runtime import TrainingError

from .cosine import Cosine
from .euclidean import Euclidean
from .head import FIRST_SCALE, EpisodeHead
from .ridge import Ridge
from .simpleshot import SimpleShot

HEADS: dict[str, type[EpisodeHead]] = {
    "cosine": Cosine,
    "euclidean": Euclidean,
    "ridge": Ridge,
    "simpleshot": SimpleShot,
}

__all__ = ["HEADS", "EpisodeHead", "build_head"]


def build_head(name: str, first_scale: float = FIRST_SCALE) -> EpisodeHead:
    """A head with its first scale.

    Raises:
        TrainingError: there is none of that name.
    """
    if name not in HEADS:
        raise TrainingError(f"There is no head {name!r}; there are: {', '.join(sorted(HEADS))}.")
    return HEADS[name](first_scale)
