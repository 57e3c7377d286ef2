"""ResNet-12, the residual network of few-shot learning, and a smaller ResNet-8 for devices.

The layout of Lee, Maji, Ravichandran, Soatto, Meta-Learning with Differentiable Convex Optimization, CVPR 2019, section
4.1, with the widths that EASY uses too (Bendou et al. 2022); without DropBlock, with ReLU, which quantises better than
LeakyReLU.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn


class _Residual(nn.Module):
    """Four residual blocks, each halving the sides; float32 [n, C, S, S] → [n, d]."""

    kind: ClassVar[str] = "image"
    widths: ClassVar[tuple[int, ...]]
    convolutions: ClassVar[int]

    def __init__(self, image_size: int, channels: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for width in self.widths:
            blocks.append(_Block(channels, width, self.convolutions))
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.dimension = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, d]."""
        maps: torch.Tensor = self.blocks(images)
        return maps.mean(dim=(2, 3))


class ResNet12(_Residual):
    """Blocks of three 3 × 3 convolutions, 64 to 640 channels, and a mean over places; d = 640, 12.4 M parameters.

    Args:
        image_size: S, pixels a side, at least 16.
        channels: C, 1 (grey) or 3 (RGB).
    """

    widths: ClassVar[tuple[int, ...]] = (64, 160, 320, 640)
    convolutions: ClassVar[int] = 3


class ResNet8(_Residual):
    """Blocks of two 3 × 3 convolutions, 24 to 96 channels, flattened; d = 96 · ⌊S / 16⌋², 0.34 M parameters.

    Args:
        image_size: S, pixels a side, at least 16.
        channels: C, 1 (grey) or 3 (RGB).
    """

    widths: ClassVar[tuple[int, ...]] = (24, 48, 96, 96)
    convolutions: ClassVar[int] = 2

    def __init__(self, image_size: int, channels: int) -> None:
        super().__init__(image_size, channels)
        self.dimension *= (image_size // 16) ** 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, d]."""
        maps: torch.Tensor = self.blocks(images)
        return maps.flatten(1)


class ResNet8Wide(ResNet8):
    """The same with 24 to 256 channels, most of them where maps are small; d = 256 · ⌊S / 16⌋², 1.2 M parameters.

    It takes 1.7 times as many multiplications, and learns more from long training.

    Args:
        image_size: S, pixels a side, at least 16.
        channels: C, 1 (grey) or 3 (RGB).
    """

    widths: ClassVar[tuple[int, ...]] = (24, 48, 128, 256)


class _Block(nn.Module):
    """Convolutions with batch norm beside a 1 × 1 shortcut, their sum, and 2 × 2 max pooling."""

    def __init__(self, channels: int, width: int, convolutions: int) -> None:
        super().__init__()
        path: list[nn.Module] = []
        for number in range(convolutions):
            path += [
                nn.Conv2d(channels if number == 0 else width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        self.path = nn.Sequential(*path[:-1])
        self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.path(images) + self.shortcut(images)
        # While it learns, pooled first: the same to the bit, and a quarter of the work for the ReLU.
        return torch.relu(self.pool(maps)) if self.training else self.pool(torch.relu(maps))
