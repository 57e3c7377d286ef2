"""Several backbones as one: their unit vectors side by side.

An ensemble as in EASY (Bendou et al., Easy: Ensemble Augmented-Shot Y-shaped Learning, 2022): the features of networks
that learned apart, concatenated. The cosine of two such vectors is the mean of the networks' cosines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from edgefew_runtime import CheckpointError
from torch import nn

from .projected import Projected


@dataclass(frozen=True)
class Member:
    """One of the backbones.

    Attributes:
        name: in `BACKBONES`.
        pixels: of images, what it sees a side, where that is less than what comes; None for all.
    """

    name: str
    pixels: int | None


def members(name: str) -> tuple[Member, ...]:
    """The backbones that a name stands for: "resnet8@32+efficientnet_lite0" is two, the first at 32 pixels a side.

    Raises:
        CheckpointError: a size is no whole number.
    """
    parts = [part.strip().partition("@") for part in name.split("+")]
    try:
        return tuple(Member(backbone, int(pixels) if at else None) for backbone, at, pixels in parts)
    except ValueError:
        raise CheckpointError(f"{name!r} was given; after each @ a number of pixels was expected.") from None


class Ensemble(nn.Module):
    """Backbones side by side; float32 [n, C, …] → [n, d], with d, the sum of theirs, in `dimension`.

    Args:
        backbones: each takes what comes, or images of its own size.
        dimensions: of each.
        shrink: by how much a side is divided before each; 1 for what comes.
    """

    def __init__(self, backbones: Sequence[nn.Module], dimensions: Sequence[int], shrink: Sequence[int]) -> None:
        super().__init__()
        self.members = nn.ModuleList(backbones)
        self.dimensions, self.dimension = list(dimensions), sum(dimensions)
        self._shrink = tuple(shrink)

    def projected(self, values: Sequence[int]) -> Ensemble:
        """The same backbones, each with a projection at its end that gives so many values."""
        parts = zip(self.members, self.dimensions, values, strict=True)
        return Ensemble([Projected(one, had, gives) for one, had, gives in parts], values, self._shrink)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Each backbone's unit vector, one after the other: float32 [n, d]."""
        features = [
            F.normalize(backbone(frames if by == 1 else F.avg_pool2d(frames, by)), dim=1)
            for backbone, by in zip(self.members, self._shrink, strict=True)
        ]
        return torch.cat(features, dim=1)
