"""Augmentation of photographs as batched tensor operations on the training device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .augment import Augmentation


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

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The images, changed: float32 [n, C, S, S] in and out, of values 0 to 255."""
        changed = _blur(self.geometry(images, generator), self.blur, generator)
        changed = _noise(_light(changed, self, generator), self.noise, generator)
        return _erase(changed, self, generator).clamp(0, 255)


def _random(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _factor(share: float, random: torch.Tensor) -> torch.Tensor:
    return torch.exp((2 * random - 1) * math.log1p(share))


def _blur(images: torch.Tensor, limit: float, generator: torch.Generator) -> torch.Tensor:
    """Each image with a Gaussian of its own: first along one side, then along the other."""
    n, channels, height, width = images.shape
    sigma = _random(generator, n, 1) * limit + 1e-3
    reach = math.ceil(3 * limit)
    places = torch.arange(-reach, reach + 1, device=generator.device)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(images).repeat_interleave(channels, dim=0)
    maps = images.reshape(1, n * channels, height, width)
    for shape, pad in (
        ((-1, 1, 1, 2 * reach + 1), (reach, reach, 0, 0)),
        ((-1, 1, 2 * reach + 1, 1), (0, 0, reach, reach)),
    ):
        maps = F.conv2d(F.pad(maps, pad, mode="replicate"), kernel.view(shape), groups=n * channels)
    return maps.reshape(images.shape)


def _light(images: torch.Tensor, by: PhotoAugmentation, generator: torch.Generator) -> torch.Tensor:
    n, channels = images.shape[:2]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = _factor(by.contrast, _random(generator, n, 1, 1, 1)).to(images)
    shift = (2 * _random(generator, n, 1, 1, 1) - 1) * 255 * by.brightness
    tint = _factor(by.colour, _random(generator, n, channels, 1, 1)).to(images)
    return (mean + (images - mean) * contrast + shift.to(images)) * tint


def _noise(images: torch.Tensor, limit: float, generator: torch.Generator) -> torch.Tensor:
    strength = _random(generator, len(images), 1, 1, 1) * 255 * limit
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    return images + (noise * strength).to(images)


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
