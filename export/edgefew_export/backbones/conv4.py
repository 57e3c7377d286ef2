"""Conv-4, the backbone of Snell et al. 2017 (Prototypical Networks for Few-shot Learning, section 3.1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn


class Conv4(nn.Module):
    """Four blocks of 3 × 3 convolution, batch norm, ReLU and 2 × 2 max pooling; float32 [n, C, S, S] → [n, d].

    d is 64 · ⌊S / 16⌋²: 64 at 28 px, as in the paper, 256 at 32 px, 1600 at 84 px.

    Args:
        image_size: S, pixels a side, at least 16.
        channels: C, 1 (grey) or 3 (RGB).
        width: channels of every block.
    """

    kind: ClassVar[str] = "image"

    def __init__(self, image_size: int, channels: int, width: int = 64) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for block in range(4):
            blocks += [
                nn.Conv2d(channels if block == 0 else width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.dimension = width * (image_size // 16) ** 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, d]."""
        if not self.training:
            features: torch.Tensor = self.blocks(images)
            return features.flatten(1)
        layers = iter(self.blocks)
        for convolution, norm, relu, pool in zip(layers, layers, layers, layers, strict=True):
            # The same to the bit, and a quarter of the work for the ReLU; a graph fuses it with the convolution.
            images = relu(pool(norm(convolution(images))))
        return images.flatten(1)
