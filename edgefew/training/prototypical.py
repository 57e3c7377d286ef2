"""Prototypical networks: the loss of one episode.

Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017, algorithm 1; with the cosine and a
learned scale in the place of the squared Euclidean distance, which is exactly what the device computes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def prototypical_loss(
    support: torch.Tensor, query: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy of the queries, and the share that is right.

    Args:
        support: float32 [way, shot, d], unit vectors.
        query: float32 [way, query, d], unit vectors.
        scale: float32 [], the factor on cosines.
    """
    way, per_class = query.shape[:2]
    prototypes = F.normalize(support.mean(dim=1), dim=1)
    logits = scale * query.flatten(0, 1) @ prototypes.T
    truth = torch.arange(way, device=logits.device).repeat_interleave(per_class)
    return F.cross_entropy(logits, truth), (logits.argmax(dim=1) == truth).float().mean()
