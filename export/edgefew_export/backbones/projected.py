"""A projection as the last layer of a backbone: `edgefew_export.projection`, inside the network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
        unit = F.normalize(self.backbone(frames), dim=1)
        mapped: torch.Tensor = (unit - self.mean) @ self.matrix
        return mapped.mul(unit.norm(dim=1, keepdim=True))  # by one, or by zero
