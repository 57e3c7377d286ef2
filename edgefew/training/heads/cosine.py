"""Prototypical networks with the cosine and a learned scale: exactly what the device computes.

Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017, algorithm 1; with the cosine in the
place of the squared Euclidean distance. Unlabelled features refine the prototypes as on the device: `edgefew_runtime.
refinement` (Ren et al., ICLR 2018), differentiable here.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from edgefew_runtime.refinement import Refinement

from .head import EpisodeHead


class Cosine(EpisodeHead):
    """The cosine of a query with the mean of a class's unit vectors."""

    refines: ClassVar[bool] = True

    def forward(
        self, support: torch.Tensor, query: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """float32 [..., m, way]."""
        sums = F.normalize(support, dim=-1).sum(dim=-2)
        if unlabelled is not None:
            sums = refined(sums, F.normalize(unlabelled, dim=1))
        scores: torch.Tensor = F.normalize(query, dim=-1) @ F.normalize(sums, dim=-1).mT
        return self.scale * scores


def refined(sums: torch.Tensor, unlabelled: torch.Tensor, by: Refinement = Refinement()) -> torch.Tensor:  # noqa: B008
    """`Refinement.refine` on tensors: sums float32 [..., way, d] with what each class takes of unit vectors [m, d]."""
    of_classes = by.scale * unlabelled @ F.normalize(sums, dim=-1).mT
    of_distractor = of_classes.new_full((*of_classes.shape[:-1], 1), by.scale * by.distractor)
    shares = torch.cat([of_classes, of_distractor], dim=-1).softmax(dim=-1)[..., :-1]
    return sums + shares.mT @ unlabelled
