"""A small residual network along time, for signals.

The layout of Wang, Yan, Oates 2017 (Time Series Classification from Scratch with Deep Neural Networks, section II.C),
with strides, so that it is cheap on a device.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

_KERNEL = 7


class ResNet1d(nn.Module):
    """A convolution and three residual blocks, each halving the length; float32 [n, C, samples] → [n, d].

    d is 8 · width: each of the last block's 4 · width channels gives its mean and its maximum over time.

    Args:
        samples: at least 16.
        channels: C.
        width: channels of the first block.
    """

    kind: ClassVar[str] = "signal"

    def __init__(self, samples: int, channels: int, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv1d(channels, width, _KERNEL, stride=2, padding=_KERNEL // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(_Block(width, width), _Block(width, 2 * width), _Block(2 * width, 4 * width))
        self.dimension = 8 * width

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, d]."""
        features = self.blocks(self.first(signals))
        return torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)


class _Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv1d(channels, width, _KERNEL, stride=2, padding=_KERNEL // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, bias=False),
            nn.BatchNorm1d(width),
        )
        self.shortcut = nn.Sequential(nn.Conv1d(channels, width, 1, stride=2, bias=False), nn.BatchNorm1d(width))

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.path(signals) + self.shortcut(signals))
