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


def resize(pixels: Pixels, spec: InputSpec) -> Pixels:
    """A frame at the backbone's size, antialiased: uint8 [H, W, 3] → [S, S, 3]."""
    height, width = spec.size
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


class EmbeddingNetwork(nn.Module):
    """Resized frames to unit vectors: uint8 [n, S, S, 3] → float32 [n, d]."""

    mean: torch.Tensor
    std: torch.Tensor
    luma: torch.Tensor

    def __init__(self, backbone: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = spec.channels
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """The unit vector of each frame."""
        return self.embed(self.select_channels(frames))

    def select_channels(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, S, S, 3] → float32 [n, C, S, S], whole numbers 0 to 255; grey where C is 1."""
        images = frames.permute(0, 3, 1, 2).float()
        return images if self.channels == 3 else torch.round((images * self.luma).sum(1, keepdim=True))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, C, S, S] of values 0 to 255 → unit vectors [n, d]."""
        return F.normalize(self.backbone((images / 255 - self.mean) / self.std), dim=1)
