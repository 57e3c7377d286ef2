"""Prototypical networks with the cosine and a learned scale: exactly what the device computes.

Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017, algorithm 1; with the cosine in the
place of the squared Euclidean distance.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .head import EpisodeHead


class Cosine(EpisodeHead):
    """The cosine of a query with the mean of a class's unit vectors."""

    def forward(self, support: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """float32 [way · query, way]."""
        prototypes = F.normalize(F.normalize(support, dim=2).mean(dim=1), dim=1)
        return self.scale * F.normalize(query, dim=1) @ prototypes.T
