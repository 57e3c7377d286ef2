"""A projection as the last layer of a backbone: `edgefew_export.projection`, inside the network."""

from __future__ import annotations

import torch
from torch import nn


class Projected(nn.Module):
    """A backbone's unit vectors less their mean, mapped; float32 [n, k], with k in `dimension`, not yet of unit length.

    What had no direction has none.
    """

    mean: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, backbone: nn.Module, dimension: int, values: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.dimension = values
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("matrix", torch.zeros(dimension, values))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """The mapped features: float32 [n, k]."""
        features: torch.Tensor = self.backbone(frames)
        length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        mapped = (features / length.clamp(min=1e-12) - self.mean) @ self.matrix
        return torch.where(length > 0, mapped, 0.0)
