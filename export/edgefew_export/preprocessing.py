"""What happens to a frame before the backbone sees it. Training and export both use this, so they cannot differ.

The resize is Pillow's here and ONNX's in the bundle (within 1/255 of each other); all that follows is the one torch
module below, which training runs and export traces.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from edgefew_runtime import InputSpec
from edgefew_runtime.frames import Pixels
from PIL import Image
from torch import nn

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in grey: ITU-R BT.601, as Pillow's mode "L"."""


BARS = 128
"""The grey of what a letterbox adds."""


def resize(pixels: Pixels, spec: InputSpec) -> Pixels:
    """A frame at the backbone's size, antialiased: uint8 [H, W, 3] → [h, w, 3]. The graph does the same, in ONNX."""
    height, width = spec.size
    if spec.fit == "crop":
        high, wide = pixels.shape[:2]
        kept_high, kept_wide = max(1, min(high, wide * height // width)), max(1, min(wide, high * width // height))
        top, left = (high - kept_high) // 2, (wide - kept_wide) // 2
        pixels = pixels[top : top + kept_high, left : left + kept_wide]
    if spec.fit == "letterbox":
        high, wide = pixels.shape[:2]
        new_high = max(1, min(height, (2 * high * width + wide) // (2 * wide)))
        new_wide = max(1, min(width, (2 * wide * height + high) // (2 * high)))
        top, left = (height - new_high) // 2, (width - new_wide) // 2
        boxed = np.full((height, width, 3), BARS, np.uint8)
        boxed[top : top + new_high, left : left + new_wide] = _resized(pixels, new_high, new_wide)
        return boxed
    return _resized(pixels, height, width)


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


class Preprocessing(nn.Module):
    """Resized frames as the backbone wants them: uint8 [n, h, w, 3] → float32 [n, C, h, w]."""

    mean: torch.Tensor
    std: torch.Tensor
    luma: torch.Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.channels, self.order = spec.channels, spec.order
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Channels chosen, then scaled."""
        return self.scale(self.select_channels(frames))

    def select_channels(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, h, w, 3] → float32 [n, C, h, w], whole numbers 0 to 255; grey where C is 1."""
        images = frames.permute(0, 3, 1, 2).float()
        if self.channels == 1:
            return torch.round((images * self.luma).sum(1, keepdim=True))
        return images.flip(1) if self.order == "BGR" else images

    def scale(self, images: torch.Tensor) -> torch.Tensor:
        """Values 0 to 255 → (value / 255 - mean) / std."""
        return (images / 255 - self.mean) / self.std


class EmbeddingNetwork(nn.Module):
    """Resized frames to unit vectors: uint8 [n, h, w, 3] → float32 [n, d]."""

    def __init__(self, backbone: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.preprocessing = Preprocessing(spec)
        self.backbone = backbone

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """The unit vector of each frame."""
        return self.embed(self.preprocessing.select_channels(frames))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, C, h, w] of values 0 to 255 → unit vectors [n, d]."""
        return F.normalize(self.backbone(self.preprocessing.scale(images)), dim=1)
