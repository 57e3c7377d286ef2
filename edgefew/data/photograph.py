"""What a camera on the road makes of a sign: scene, view, light, weather, motion, distance."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

_Values: TypeAlias = npt.NDArray[np.float32]
"""Float32 [S, S, 3], 0 to 255."""


def photograph(sign: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """One photograph of a sign: RGB [size, size].

    Args:
        sign: RGBA, clear where the scene is seen.
        size: pixels a side.
        rng: decides all of it.
    """
    behind = scene(size, rng)
    seen = _seen(sign, size, rng)
    alpha = seen[:, :, 3:] / 255
    picture = _covered(np.asarray(behind * (1 - alpha) + lit(seen[:, :, :3], rng) * alpha, np.float32), rng)
    picture = _weather(_exposed(picture, rng), rng)
    image = _blurred(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)), rng)
    noise = rng.normal(0, 1, (size, size, 3)) * rng.uniform(0, 9) + rng.normal(0, 1, (size, size, 1)) * rng.uniform(
        0, 5
    )
    return Image.fromarray(np.clip(np.asarray(image, np.float32) + noise, 0, 255).astype(np.uint8))


def _smooth(size: int, places: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A smooth random field: float32 [size, size], about -1 to 1."""
    coarse = Image.fromarray(rng.normal(0, 0.5, (places, places)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)


def scene(size: int, rng: np.random.Generator) -> _Values:
    """What is behind a sign: sky over ground or leaves, walls, poles."""
    sky = np.array([150, 175, 205]) + rng.normal(0, 45, 3)
    ground = np.array([95, 100, 80]) + rng.normal(0, 40, 3)
    edge = np.clip((np.arange(size) / size - rng.uniform(-0.3, 1.3)) * rng.uniform(2, 20), 0, 1)[:, None, None]
    image = np.asarray(sky * (1 - edge) + ground * edge + np.zeros((size, size, 1)), np.float32)
    for places, strength in ((4, 30), (10, 30), (size // 2, 25)):
        texture = _smooth(size, places, rng)[:, :, None] * rng.uniform(0, strength) * (1 + rng.normal(0, 0.2, 3))
        image = image + texture.astype(np.float32)
    canvas = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(0, 4)):
        left, top = rng.uniform(-0.2, 1, 2) * size
        width, height = rng.uniform(0.05, 0.7, 2) * size
        colour = rng.integers(20, 230) + rng.integers(-25, 25, 3)
        draw.rectangle((left, top, left + width, top + height), fill=_colour(colour))
    return np.asarray(canvas, np.float32)


def _colour(values: npt.NDArray[np.generic]) -> tuple[int, int, int]:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def _seen(sign: Image.Image, size: int, rng: np.random.Generator) -> _Values:
    """The sign from some place: float32 [size, size, 4]; turned, tilted, near or far, not quite in the middle."""
    half = rng.uniform(0.3, 0.49)
    angle = math.radians(rng.normal(0, 5))
    squeeze = np.array([1.0, 1.0]) - np.abs(rng.normal(0, 0.1, 2))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half * squeeze
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = corners @ turn.T + 0.5 + rng.normal(0, 0.04, 2) + rng.normal(0, 0.025, (4, 2))
    fine = 2 * size
    image = sign.transform(
        (fine, fine),
        Image.Transform.PERSPECTIVE,
        perspective(corners * fine, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sign.width),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32)


def perspective(places: npt.NDArray[np.float64], sources: npt.NDArray[np.float64]) -> list[float]:
    """The eight coefficients with which Pillow finds for a place in the picture that in the source."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(places.tolist(), sources.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    coefficients: list[float] = np.linalg.solve(np.array(rows), np.array(wanted)).tolist()
    return coefficients


def lit(sign: _Values, rng: np.random.Generator) -> _Values:
    """The plate's own light: brighter to one side, in the shadow of something, faded, dirty."""
    size = len(sign)
    across = np.linspace(-1, 1, size)
    direction = rng.uniform(0, 2 * math.pi)
    slope = np.cos(direction) * across[None, :] + np.sin(direction) * across[:, None]
    light = 1 + rng.uniform(0, 0.3) * slope
    if rng.random() < 0.25:
        light = light * np.where(slope > rng.uniform(-0.6, 0.6), rng.uniform(0.35, 0.8), 1)
    light = light * (1 + 0.15 * _smooth(size, 8, rng) * rng.random())
    faded = sign * (1 - (wear := rng.uniform(0, 0.35))) + wear * rng.uniform(90, 190)
    return np.asarray(faded * light[:, :, None], np.float32)


def _covered(picture: _Values, rng: np.random.Generator) -> _Values:
    """Now and then a branch or an edge of something is before it."""
    if rng.random() > 0.15:
        return picture
    size = len(picture)
    canvas = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    middle = rng.uniform(0, 1, 2)
    for _ in range(rng.integers(1, 4)):
        points = (middle + rng.normal(0, 0.16, (rng.integers(3, 6), 2))) * size
        draw.polygon([(x, y) for x, y in points.tolist()], fill=_colour(rng.normal(70, 30) + rng.normal(0, 15, 3)))
    return np.asarray(canvas, np.float32)


def _exposed(picture: _Values, rng: np.random.Generator) -> _Values:
    """Day, dusk, against the light: brightness, contrast, gamma, the colour of the light."""
    values = np.clip(picture, 0, 255) / 255
    values = values ** math.exp(rng.normal(0, 0.3))
    values = (values - 0.5) * math.exp(rng.normal(-0.15, 0.3)) + 0.5
    values = np.clip(values, 0, 1) * np.exp(rng.normal(0, 0.08, 3)) * math.exp(min(0.25, rng.normal(-0.25, 0.5)))
    return np.asarray(255 * values, np.float32)


def _weather(picture: _Values, rng: np.random.Generator) -> _Values:
    """Now and then haze, rain or snow."""
    size = len(picture)
    kind = rng.random()
    if kind < 0.12:
        haze = rng.uniform(0.15, 0.55)
        return np.asarray(picture * (1 - haze) + haze * rng.uniform(130, 220), np.float32)
    if kind < 0.24:
        layer = Image.new("L", (size, size), 0)
        draw = ImageDraw.Draw(layer)
        slant, length = rng.normal(0, 0.06), rng.uniform(0.0, 0.2)
        for x, y in (rng.random((rng.integers(5, 40), 2)) * size).tolist():
            draw.line([(x, y), (x + slant * size, y + length * size)], fill=255)
        strength = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.5)), np.float32)[:, :, None] / 255
        strength = strength * rng.uniform(0.2, 0.7)
        return np.asarray(picture * (1 - strength) + 215 * strength, np.float32)
    return picture


def _blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Out of focus, in motion, far away."""
    size = image.width
    if rng.random() < 0.6:
        pixels = round(size * math.exp(rng.uniform(math.log(0.25), 0)))
        small = image.resize((pixels, pixels), Image.Resampling.BOX)
        image = small.resize(
            (size, size), Image.Resampling.BILINEAR if rng.random() < 0.5 else Image.Resampling.BICUBIC
        )
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.02) * size))
    if rng.random() < 0.35:
        reach = rng.uniform(0.01, 0.07) * size
        direction = rng.choice([0.0, rng.uniform(0, math.pi)])
        steps = np.linspace(-reach / 2, reach / 2, 7)
        shifted = [
            np.asarray(
                image.transform(
                    image.size,
                    Image.Transform.AFFINE,
                    (1, 0, step * math.cos(direction), 0, 1, step * math.sin(direction)),
                    Image.Resampling.BILINEAR,
                ),
                np.float32,
            )
            for step in steps.tolist()
        ]
        image = Image.fromarray(np.mean(shifted, axis=0).astype(np.uint8))
    return image
