"""The baseline as a bundle, for `edgefew export examples.vehicle.raw_pixels:raw_pixels`: no network at all."""

from __future__ import annotations

import torch
from torch import nn


class RawPixels(nn.Module):
    """Each frame's grey values less their mean: float32 [n, 3, S, S] → [n, S · S]."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """One vector a frame."""
        grey = images.mean(dim=1).flatten(1)
        return grey - grey.mean(dim=1, keepdim=True)


def raw_pixels() -> nn.Module:
    """The network, as `edgefew export` asks for it."""
    return RawPixels().eval()
