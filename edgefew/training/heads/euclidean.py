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
        """float32 [..., m, way]."""
        prototypes = support.mean(dim=-2)
        # Multiplied out: a matrix product in the place of way × query differences of d values.
        of_queries, of_prototypes = query.square().sum(dim=-1), prototypes.square().sum(dim=-1)
        squares = of_queries[..., None] + of_prototypes[..., None, :] - 2 * query @ prototypes.mT
        return -self.scale * squares / query.shape[-1]
