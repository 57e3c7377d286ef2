"""Augmentation of photographs as batched tensor operations on the training device."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .augment import Augmentation, ClassChanges


@dataclass(frozen=True)
class PhotoAugmentation:
    """How far each photograph is changed; every change is drawn anew for each image.

    Nothing is mirrored: "left" and "right" are different signs.

    Attributes:
        geometry: turns, sizes, shears, shifts.
        brightness: largest shift of all values, as a share of the range.
        contrast: largest share that deviations from the image's mean grow or shrink by.
        colour: likewise for each channel's values, drawn apart.
        blur: largest standard deviation of a Gaussian blur, in pixels.
        noise: largest standard deviation of added noise, as a share of the range.
        erase: probability that a rectangle is covered with one random value (Zhong et al., Random Erasing Data
            Augmentation, 2017).
        largest: the largest side of such a rectangle, as a share of the image's.
    """

    geometry: Augmentation = Augmentation(rotate=12, scale=0.2, shear=0.12, translate=0.1, thicken=0)  # noqa: RUF009
    brightness: float = 0.2
    contrast: float = 0.4
    colour: float = 0.2
    blur: float = 1.0
    noise: float = 0.05
    erase: float = 0.25
    largest: float = 0.4

    def __call__(
        self, images: torch.Tensor, generator: torch.Generator, of_classes: ClassChanges | None = None
    ) -> torch.Tensor:
        """The images, changed: float32 [n, C, S, S] in and out, of values 0 to 255."""
        changed = self.geometry(images, generator, of_classes)
        sigma = _random(generator, len(images), 1) * self.blur + 1e-3
        changed = blurred(changed, sigma, math.ceil(3 * self.blur))
        changed = _noise(_light(changed, self, generator), self.noise, generator)
        return _erase(changed, self, generator).clamp_(0, 255)


def _random(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _factor(share: float, random: torch.Tensor) -> torch.Tensor:
    return torch.exp((2 * random - 1) * math.log1p(share))


def blurred(images: torch.Tensor, sigma: torch.Tensor, reach: int) -> torch.Tensor:
    """Each image with a Gaussian of its own: first along one side, then along the other.

    By matrix products: a convolution with as many kernels as images has no fast way on a processor.

    Args:
        images: float32 [n, C, h, w].
        sigma: float32 [n, 1], standard deviations in pixels.
        reach: how many pixels away a pixel still counts; those of an edge stand for all beyond it.
    """
    n, _, height, width = images.shape
    places = torch.arange(-reach, reach + 1, device=sigma.device)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(images)
    across, down = ((kernel @ _neighbours(side, reach, images.device)).view(n, side, side) for side in (width, height))
    rows = (images.flatten(1, 2) @ across.mT).view(images.shape)
    return torch.einsum("nij,ncjk->ncik", down, rows)


@functools.lru_cache(maxsize=8)
def _neighbours(side: int, reach: int, device: torch.device) -> torch.Tensor:
    """Which pixel of a row each of a pixel's neighbours is, the last one over and over beyond the edge.

    float32 [2 · reach + 1, side · side]: times a kernel, a matrix that blurs a row.
    """
    places = torch.arange(side, device=device)
    found = [F.one_hot((places + by).clamp(0, side - 1), side) for by in range(-reach, reach + 1)]
    return torch.stack(found).flatten(1).float()


def _light(images: torch.Tensor, by: PhotoAugmentation, generator: torch.Generator) -> torch.Tensor:
    """(mean + (image - mean) · contrast + shift) · tint, as one factor and one addend for each channel."""
    n, channels = images.shape[:2]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = _factor(by.contrast, _random(generator, n, 1, 1, 1)).to(images)
    shift = (2 * _random(generator, n, 1, 1, 1) - 1) * 255 * by.brightness
    tint = _factor(by.colour, _random(generator, n, channels, 1, 1)).to(images)
    return torch.addcmul((mean * (1 - contrast) + shift.to(images)) * tint, images, contrast * tint)


def _noise(images: torch.Tensor, limit: float, generator: torch.Generator) -> torch.Tensor:
    strength = _random(generator, len(images), 1, 1, 1) * 255 * limit
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    return torch.addcmul(images, noise.to(images), strength.to(images))


def _erase(images: torch.Tensor, by: PhotoAugmentation, generator: torch.Generator) -> torch.Tensor:
    n, channels, height, width = images.shape
    chosen = _random(generator, n, 1, 1) < by.erase
    inside = chosen
    for side, shape in ((height, (1, -1, 1)), (width, (1, 1, -1))):
        middle, half = _random(generator, n, 1, 1), _random(generator, n, 1, 1) * by.largest / 2
        places = ((torch.arange(side, device=generator.device) + 0.5) / side).view(shape)
        inside = inside & ((places - middle).abs() < half)
    value = (_random(generator, n, channels, 1, 1) * 255).to(images)
    return torch.where(inside[:, None].to(images.device), value, images)
