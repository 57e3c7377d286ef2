"""Prototypical networks as published: Snell, Swersky, Zemel, NeurIPS 2017, equation 2 with the squared distance.

The device takes the cosine of unit vectors instead, so this head only shapes the backbone.
"""

from __future__ import annotations

import torch

from .head import EpisodeHead


class Euclidean(EpisodeHead):
    """Minus the squared distance of a query from a class's mean, a value of the feature on average."""

    def forward(
        self, support: torch.Tensor, query: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """float32 [way · query, way]."""
        prototypes = support.mean(dim=1)
        # Multiplied out: a matrix product in the place of way × query differences of d values.
        squares = query.square().sum(dim=1)[:, None] + prototypes.square().sum(dim=1) - 2 * query @ prototypes.T
        return -self.scale * squares / query.shape[1]
