"""A small residual network over a log-mel spectrogram, for sounds.

The blocks of He et al., Deep Residual Learning for Image Recognition, 2016, on one channel of bands by spectra, as Tang
and Lin, Deep Residual Learning for Small-Footprint Keyword Spotting, 2018, use them; with strides, cheap on a device.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn


class MelNet(nn.Module):
    """A convolution and three residual blocks, each halving bands and time; float32 [n, 1, bands, spectra] → [n, d].

    d is 8 · width: each of the last block's 4 · width channels gives its mean and its maximum.

    Args:
        samples: of a window; any.
        channels: 1.
        width: channels of the first block.
    """

    kind: ClassVar[str] = "audio"

    def __init__(self, samples: int, channels: int, width: int = 24) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=(1, 2), padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(_Block(width, width), _Block(width, 2 * width), _Block(2 * width, 4 * width))
        self.dimension = 8 * width

    def forward(self, spectra: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, d]."""
        features = self.blocks(self.first(spectra))
        return torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)


class _Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride=2, bias=False), nn.BatchNorm2d(width))

    def forward(self, spectra: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.path(spectra) + self.shortcut(spectra))
