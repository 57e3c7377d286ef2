"""Centring as the last layer of a backbone: SimpleShot's (Wang et al. 2019, section 3), inside the network."""

from __future__ import annotations

import torch
from torch import nn

MEMORY = 100
"""The running mean is that of about so many batches: of fewer, each counts the same."""


class Centred(nn.Module):
    """A backbone's features less their mean over the training classes; float32 [n, d], with d in `dimension`.

    In training mode the mean is the batch's own, and a running one is kept; else it is the running one.
    """

    mean: torch.Tensor
    batches: torch.Tensor

    def __init__(self, backbone: nn.Module, dimension: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.dimension = dimension
        self.register_buffer("mean", torch.zeros(self.dimension))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features around zero, not yet of unit length: float32 [n, d]."""
        features: torch.Tensor = self.backbone(frames)
        if not self.training:
            return features - self.mean
        mean = features.mean(dim=0)
        with torch.no_grad():
            self.batches.add_(1).clamp_(max=MEMORY)
            self.mean.add_((mean - self.mean) / self.batches)
        return features - mean
