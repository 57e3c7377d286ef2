"""Augmentation of drawings and other flat pictures as batched tensor operations on the training device."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

_PLACES = 5
_CLASS_PLACES = 4


@dataclass(frozen=True)
class TaskAugmentation:
    """How far each class of an episode is changed as a whole: alike in all of its images, so it is a further class.

    Rajendran, Irpan, Jang, Meta-Learning Requires Meta-Augmentation, NeurIPS 2020; Ni et al., Data Augmentation for
    Meta-Learning, ICML 2021 (there "task augmentation", by quarter turns). Here a class is bent, and with all others of
    its episode turned, which makes more classes than quarter turns do. In pre-training nothing is changed so.

    Attributes:
        turn: degrees, either way, the same for all classes of an episode, but that mirrored ones turn the other way.
        mirror: whether classes are mirrored, after the turn, each with one chance in two.
        elastic: largest standard deviation of the shift of each of 4 × 4 places, as a share of a side; between them it
            is smooth. Each class has its own, from none to this.
    """

    turn: float = 45.0
    mirror: bool = True
    elastic: float = 0.075

    def draw(self, classes: torch.Tensor, count: int, generator: torch.Generator) -> ClassChanges:
        """What happens to each image.

        Args:
            classes: int64 [n], of each image, on the generator's device.
            count: how many classes there are.
            generator: what decides.
        """
        places = torch.randn((count, 2, _CLASS_PLACES, _CLASS_PLACES), generator=generator, device=generator.device)
        strength = torch.rand((count, 1, 1, 1), generator=generator, device=generator.device)
        angle = _uniform(1, math.radians(self.turn), generator)
        cos, sin = torch.cos(angle), torch.sin(angle)
        turned = torch.stack([torch.cat([cos, -sin]), torch.cat([sin, cos])]).expand(count, 2, 2)
        mirrored = torch.rand((count, 1, 1), generator=generator, device=generator.device) < self.mirror / 2
        across = torch.tensor([-1.0, 1.0], device=generator.device)  # the first column: what x becomes
        matrices = torch.where(mirrored, turned * across, turned)
        return ClassChanges((2 * self.elastic * strength * places)[classes], matrices[classes])


@dataclass(frozen=True)
class ClassChanges:
    """What happens to each image for its class's sake.

    Attributes:
        shifts: float32 [n, 2, 4, 4], in x and y, of places over an image, in coordinates from -1 to 1.
        matrices: float32 [n, 2, 2], after them.
    """

    shifts: torch.Tensor
    matrices: torch.Tensor

    def moved(self, grid: torch.Tensor) -> torch.Tensor:
        """Where to look, from where one would: float32 [n, h, w, 2], coordinates from -1 to 1."""
        shifts = F.grid_sample(
            self.shifts.to(grid), grid.clamp(-1, 1), mode="bicubic", padding_mode="border", align_corners=True
        )
        bent = grid + shifts.permute(0, 2, 3, 1)
        return (bent.flatten(1, 2) @ self.matrices.to(grid).mT).view_as(grid)


@dataclass(frozen=True)
class Augmentation:
    """How far each training image is changed; every change is drawn anew for each image.

    No image is mirrored by itself: "left" and "right" are different signs.

    Attributes:
        rotate: degrees, either way.
        scale: largest share that a side grows or shrinks by; each side is drawn apart.
        shear: largest shear, as a share of a side.
        translate: largest shift, as a share of a side.
        thicken: probability that strokes are made thicker or thinner by a pixel.
        elastic: standard deviation of the shift of each of 5 × 5 places, as a share of a side; between them it is
            smooth (Simard, Steinkraus, Platt, Best Practices for Convolutional Neural Networks, 2003, section 2).
    """

    rotate: float = 8.0
    scale: float = 0.1
    shear: float = 0.08
    translate: float = 0.05
    thicken: float = 0.3
    elastic: float = 0.0

    def __call__(
        self, images: torch.Tensor, generator: torch.Generator, of_classes: ClassChanges | None = None
    ) -> torch.Tensor:
        """The images, changed: float32 [n, C, S, S] in and out, any value range."""
        return _affine(_thicken(images, self.thicken, generator), self, generator, of_classes)


def _uniform(n: int, limit: float, generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(n, generator=generator, device=generator.device) * 2 - 1) * limit


def _affine(
    images: torch.Tensor, by: Augmentation, generator: torch.Generator, of_classes: ClassChanges | None
) -> torch.Tensor:
    n = len(images)
    angle = _uniform(n, math.radians(by.rotate), generator)
    width = torch.exp(_uniform(n, math.log1p(by.scale), generator))
    height = torch.exp(_uniform(n, math.log1p(by.scale), generator))
    shear = _uniform(n, by.shear, generator)
    # 2 × because affine_grid's coordinates run from -1 to 1
    shift_x, shift_y = _uniform(n, 2 * by.translate, generator), _uniform(n, 2 * by.translate, generator)
    cos, sin = torch.cos(angle), torch.sin(angle)
    changes = [cos * width, (shear * cos - sin) * height, shift_x, sin * width, (shear * sin + cos) * height, shift_y]
    by_places = torch.stack(changes, dim=1).view(n, 2, 3)
    if by.elastic:
        places = torch.randn((n, 2, _PLACES, _PLACES), generator=generator, device=generator.device)
        by_places = torch.cat([by_places, 2 * by.elastic * places.flatten(2)], dim=2)
    size = images.shape[2:]
    known = known_fields(size[0], size[1], images.device)[: by_places.shape[2]]
    # One matrix product for all images: affine_grid and a bicubic interpolate give the same, and take 4 times as long.
    grid = (by_places.to(images).flatten(0, 1) @ known).view(n, 2, *size).permute(0, 2, 3, 1)
    if of_classes:
        grid = of_classes.moved(grid)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


@functools.lru_cache(maxsize=8)
def known_fields(height: int, width: int, device: torch.device) -> torch.Tensor:
    """What every field of shifts is a sum of: float32 [3 + places², height · width].

    The middles of an image's pixels in x and in y, from -1 to 1, and a constant; and each of the places' part in a
    bicubic surface over all of them.
    """
    y, x = ((torch.arange(side, device=device) * 2 + 1) / side - 1 for side in (height, width))
    flat = torch.stack(
        [x.expand(height, width), y[:, None].expand(height, width), torch.ones_like(x).expand(height, width)]
    )
    each = torch.eye(_PLACES**2, device=device).view(1, -1, _PLACES, _PLACES)
    surfaces = F.interpolate(each, size=(height, width), mode="bicubic", align_corners=False)
    return torch.cat([flat, surfaces[0]]).flatten(1)


def _thicken(images: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Dilate or erode some of the images by one pixel: the same drawing with another pen."""
    chosen = torch.rand(len(images), generator=generator, device=generator.device)
    for sign, low in ((1.0, 0.0), (-1.0, probability / 2)):
        rows = torch.nonzero((chosen >= low) & (chosen < low + probability / 2)).flatten().to(images.device)
        if len(rows):
            part = images[rows]
            grown = sign * F.max_pool2d(sign * part, 3, stride=1, padding=1)
            images = images.index_copy(0, rows, (part + grown) / 2)
    return images
