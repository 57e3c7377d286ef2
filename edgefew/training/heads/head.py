"""What every head of training is."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import nn

FIRST_SCALE = 10.0
"""The factor on a head's scores before it is learned: as of cosine classifiers (Gidaris and Komodakis 2018)."""


class EpisodeHead(nn.Module):
    """A classifier that an episode's support set defines, differentiable from its scores back to the features.

    Attributes:
        centred: whether the backbone gets a last layer that subtracts the mean of the training classes' features.
        refines: whether it takes unlabelled features too.

    Args:
        first_scale: the factor on its scores at first.
    """

    centred: ClassVar[bool] = False
    refines: ClassVar[bool] = False

    def __init__(self, first_scale: float = FIRST_SCALE) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(first_scale)))

    @property
    def scale(self) -> torch.Tensor:
        """The learned factor on this head's scores: float32 [], above 0."""
        return self.log_scale.exp()

    @abstractmethod
    def forward(
        self, support: torch.Tensor, query: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The logits of each query: float32 [..., m, way], from features.

        Args:
            support: float32 [..., way, shot, d], as the backbone gives them; of several sets at once, if wanted.
            query: float32 [..., m, d]; without leading dimensions, the same for all of those sets.
            unlabelled: float32 [m, d], of any class or none; only for a head that `refines`.
        """
