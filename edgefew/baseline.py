"""The baseline that every figure stands beside: raw pixels."""

from __future__ import annotations

import numpy as np
from edgefew_runtime import head
from edgefew_runtime.frames import Pixels
from PIL import Image

SIZE = 28


def raw_pixels(frames: list[Pixels]) -> head.Embeddings:
    """Each frame as a unit vector of its 28 × 28 grey values, dark as high: float32 [n, 784]."""
    grey = [
        255.0 - np.asarray(Image.fromarray(f).convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32)
        for f in frames
    ]
    return head.unit(np.stack(grey).reshape(len(frames), -1))
