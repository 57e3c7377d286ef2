"""Framing as the first layer of a backbone: what is drawn is moved to the middle and brought to one size.

Moment normalisation, as for handwritten characters (Casey, Moment Normalization of Handprinted Characters, IBM Journal
of Research and Development 14, 1970), of position and size alone: nothing is turned, slanted or made wider.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

SPREAD = 2.2
"""Half a side of the frame, in root mean square distances of the ink from its middle."""

FAINT = 0.15
"""What differs from the background by less than this share of the range is no ink."""

LEAST = 24
"""A dot is not brought to full size: the distance above is taken as at least a side divided by this."""


class Framed(nn.Module):
    """A backbone behind such a frame; float32 [n, C, S, S] → [n, d], with d in `dimension`.

    The background is the mean of the image's outermost pixels; ink is what differs from it, dark or light. Where there
    is no ink, the frame is the middle of the image.

    Args:
        backbone: takes float32 [n, C, s, s].
        dimension: d.
        image_size: S, pixels a side of what comes.
        pixels: s, pixels a side of the frame.
    """

    places: torch.Tensor
    offsets: torch.Tensor

    def __init__(self, backbone: nn.Module, dimension: int, image_size: int, pixels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.dimension, self.pixels = dimension, pixels
        # both from the middle, so that an image without ink has its middle there
        self.register_buffer("places", torch.arange(image_size) - (image_size - 1) / 2, persistent=False)
        self.register_buffer("offsets", torch.arange(pixels) - (pixels - 1) / 2, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, d]."""
        features: torch.Tensor = self.backbone(self.frame(images))
        return features

    def frame(self, images: torch.Tensor) -> torch.Tensor:
        """The images within their frames: float32 [n, C, s, s], from values of a range of 2 (-1 to 1)."""
        behind = _border_mean(images)
        difference = images - behind
        ink = F.relu(difference.abs().mean(dim=1) / 2 - FAINT)
        rows, columns = ink.sum(dim=2), ink.sum(dim=1)
        total = rows.sum(dim=1, keepdim=True) + 1e-3
        middle_y, middle_x = ((line * self.places).sum(dim=1, keepdim=True) / total for line in (rows, columns))
        spread_y, spread_x = (
            (line * (self.places - middle).square()).sum(dim=1, keepdim=True) / total
            for line, middle in ((rows, middle_y), (columns, middle_x))
        )
        least = len(self.places) / LEAST
        step = 2 * SPREAD * (spread_y + spread_x).clamp(min=least * least).sqrt() / self.pixels
        down, across = (self._weights(middle + step * self.offsets, step) for middle in (middle_y, middle_x))
        return behind + down @ difference @ across.transpose(2, 3)

    def _weights(self, centres: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """What each pixel of the frame takes of each of the image along a side: float32 [n, 1, s, S].

        Linear, with a triangle as wide as a step where pixels are left out, as in `preprocessing`.
        """
        width = step.clamp(min=1.0)[:, :, None]
        weights = F.relu(1 - (self.places - centres[:, :, None]).abs() / width)
        # Inside they add up to about `width`; where the frame reaches out of the image, the background takes the rest.
        return (weights / torch.maximum(weights.sum(dim=2, keepdim=True), width / 2))[:, None]


def _border_mean(images: torch.Tensor) -> torch.Tensor:
    """The mean of the outermost pixels: float32 [n, C, 1, 1]."""
    side = images.shape[2]
    inside = images[:, :, 1:-1, 1:-1].sum(dim=(2, 3), keepdim=True)
    return (images.sum(dim=(2, 3), keepdim=True) - inside) / (4 * (side - 1))
