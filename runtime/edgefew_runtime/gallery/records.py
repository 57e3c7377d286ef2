"""The records that cross the gallery's border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import LabelError
from ..head import Sums

MAX_LABEL = 200
"""Characters in a class's name."""


@dataclass(frozen=True)
class Example:
    """One support embedding to enroll.

    Attributes:
        embedding: float32 [d], unit length, on the grid (`head.to_grid`).
        source: the file's name, or what else tells a person where it came from.
        source_sha256: hash of what was given; the same source is not counted twice in a class.
    """

    embedding: npt.NDArray[np.float32]
    source: str
    source_sha256: str


@dataclass(frozen=True)
class EnrolledClass:
    """A class in the gallery: its name, its number of examples, and when the first of them was enrolled (UTC)."""

    label: str
    examples: int
    enrolled_at: str

    def to_dict(self) -> dict[str, str | int]:
        """As a line of `edgefew classes --json`."""
        return {"label": self.label, "examples": self.examples, "enrolled_at": self.enrolled_at}


@dataclass(frozen=True)
class EnrolledExample:
    """An example in the gallery: its number, class, source, and when it was enrolled (UTC)."""

    id: int
    label: str
    source: str
    source_sha256: str
    enrolled_at: str

    def to_dict(self) -> dict[str, str | int]:
        """As a line of `edgefew examples --json`."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class GalleryState:
    """The task that the gallery defines: what `classify` needs, and what a host in any language keeps.

    Attributes:
        labels: `c` names.
        sums: float64 [c, d], exact sums of each class's embeddings.
        counts: int64 [c].
    """

    labels: tuple[str, ...]
    sums: Sums
    counts: npt.NDArray[np.int64]


def check_label(label: str) -> str:
    """The class name as it is stored: without blanks around it.

    Raises:
        LabelError: it is empty, over `MAX_LABEL` characters, or has characters that cannot be shown.
    """
    label = label.strip()
    if not label:
        raise LabelError("The class name is empty. Give a name.")
    if len(label) > MAX_LABEL:
        raise LabelError(f"The class name has {len(label)} characters; {MAX_LABEL} is the most. Give a shorter one.")
    if not all(c.isprintable() for c in label):
        raise LabelError(f"The class name {label!r} has characters that cannot be shown. Use printable ones.")
    return label
