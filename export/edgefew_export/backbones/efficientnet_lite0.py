"""EfficientNet-Lite0 (Tan and Le, EfficientNet, 2019; the Lite variant: no squeeze-and-excitation, ReLU6 throughout).

Its layers carry the names that the published ImageNet weights use, so that those can be loaded as they are.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

_STAGES = (
    # kernel, stride, expansion, channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280


class EfficientNetLite0(nn.Module):
    """Seven stages of inverted residuals and a global mean; float32 [n, 3, S, S] → [n, 1280].

    Args:
        image_size: S, pixels a side; the published weights were trained at 224.
        channels: 3.
    """

    kind: ClassVar[str] = "image"

    def __init__(self, image_size: int = 224, channels: int = 3) -> None:
        super().__init__()
        self.dimension = _HEAD
        size = image_size
        self._conv_stem = _SameConv(channels, _STEM, 3, 2, size)
        size = _halved(size)
        self._bn0 = _norm(_STEM)
        blocks = []
        width = _STEM
        for kernel, stride, expansion, out, repeats in _STAGES:
            for repeat in range(repeats):
                blocks.append(_Block(width, out, kernel, stride if repeat == 0 else 1, expansion, size))
                if repeat == 0 and stride == 2:
                    size = _halved(size)
                width = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(width, _HEAD, 1, bias=False)
        self._bn1 = _norm(_HEAD)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, 1280]."""
        features = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            features = block(features)
        maps: torch.Tensor = F.relu6(self._bn1(self._conv_head(features)))
        return maps.mean(dim=(2, 3))


class _Block(nn.Module):
    """Widen by a 1 × 1 convolution, filter each channel, narrow again; the input is added where the shapes allow it."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int, size: int) -> None:
        super().__init__()
        inner = width * expansion
        self._expands, self._adds = expansion > 1, stride == 1 and width == out
        if self._expands:
            self._expand_conv = nn.Conv2d(width, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = _SameConv(inner, inner, kernel, stride, size, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, out, 1, bias=False)
        self._bn2 = _norm(out)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = images
        if self._expands:
            features = F.relu6(self._bn0(self._expand_conv(features)))
        features = F.relu6(self._bn1(self._depthwise_conv(features)))
        features = self._bn2(self._project_conv(features))
        if self._adds:
            features = features + images
        return features


class _SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" does: where a stride leaves an odd rest, more at the far side."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, size: int, groups: int = 1) -> None:
        super().__init__(width, out, kernel, stride, bias=False, groups=groups)
        missing = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        self._before, self._after = missing // 2, missing - missing // 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pads = (self._before, self._after, self._before, self._after)
        return super().forward(F.pad(images, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    # PyTorch's usual momentum, not the 0.01 of a training on ImageNet: fine-tuning may have a few hundred batches.
    return nn.BatchNorm2d(channels, eps=1e-3)


def _halved(size: int) -> int:
    return -(-size // 2)
