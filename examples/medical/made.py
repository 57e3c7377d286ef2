"""Made heart beats and made blood cells, for those who have no data: the whole example runs, and proves nothing.

A beat is a sum of Gaussians for P, Q, R, S and T (the model of McSharry et al. 2003 without its phase), placed and
sized for each patient; kinds differ as textbooks draw them. A cell is a shape and a shading in polar coordinates, with
the colour, the light and the focus of its smear. Both are far easier than what a clinic sees. The figures of made data
say so and stand in no committed table.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

Array = np.ndarray[Any, Any]

PATIENTS = tuple(f"made{number:02}" for number in range(1, 13))
"""The made patients; the first six are asked about."""

RATE, WINDOW, PEAK = 360, 256, 96
BEATS, PREMATURE = 180, 0.28

KINDS = ("normal", "ventricular", "atrial premature", "bundle branch")
WAVES = {
    "P": (-0.16, 0.025, 0.12),
    "Q": (-0.032, 0.010, -0.12),
    "R": (0.0, 0.011, 1.1),
    "S": (0.034, 0.012, -0.22),
    "T": (0.26, 0.045, 0.28),
}
"""Of each wave: when after the R peak (s), how wide (s), how high (mV), in the made patient in the middle."""


class Patient:
    """One made patient's heart: waves of its own, and noise and a slow wave of its own electrode.

    Args:
        rng: decides all of it.
        blocked: whether every sinus beat has a bundle branch block.
    """

    def __init__(self, rng: np.random.Generator, *, blocked: bool) -> None:
        self._rng = rng
        self.sinus = "bundle branch" if blocked else "normal"
        self._waves = {name: self._own(*wave) for name, wave in WAVES.items()}
        self._wide = rng.uniform(0.038, 0.055), rng.uniform(0.8, 1.4), rng.choice([-1.0, 1.0])
        self._second = rng.uniform(0.05, 0.075), rng.uniform(0.5, 0.8)
        self._noise, self._wander = rng.uniform(0.01, 0.04), rng.uniform(0.02, 0.12)

    def _own(self, at: float, wide: float, high: float) -> tuple[float, float, float]:
        """A patient's own form of a wave."""
        return (at * self._rng.uniform(0.85, 1.15), wide * self._rng.uniform(0.8, 1.25),
                high * self._rng.uniform(0.5, 1.6))  # fmt: skip

    def waves(self, kind: str) -> list[tuple[float, float, float]]:
        """The waves of a beat of this kind, each when, how wide and how high."""
        own = dict(self._waves)
        if kind == "ventricular":  # no P wave; wide and tall, T against it
            width, height, sign = self._wide
            return [(0.0, width, sign * height), (0.09, width, -0.5 * sign * height), (0.3, 0.06, -0.4 * sign * height)]
        if kind == "atrial premature":  # the P wave of another place, early and small
            at, wide, high = own["P"]
            own["P"] = (at + 0.04, 0.7 * wide, -0.6 * high)
        if kind == "bundle branch":  # a second, late peak of a QRS that is wide
            late, height = self._second
            own["S"] = (late, 0.018, height * own["R"][2])
            own["T"] = (own["T"][0], own["T"][1], -own["T"][2])
        return list(own.values())

    def beat(self, kind: str) -> Array:
        """One window of the kind: float [256], mV, the R peak near sample 96."""
        rng = self._rng
        time = (np.arange(WINDOW) - PEAK - rng.normal(0, 1.0)) / RATE
        stretch, height = rng.normal(1, 0.03), rng.normal(1, 0.06)
        value = np.zeros(WINDOW)
        for at, wide, high in self.waves(kind):
            value += height * high * rng.normal(1, 0.05) * np.exp(-((time - stretch * at) ** 2) / (2 * wide**2))
        slow = self._wander * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * time + rng.uniform(0, 2 * np.pi))
        return np.asarray(value + slow + rng.normal(0, self._noise, WINDOW))

    def record(self) -> list[tuple[int, str, Array]]:
        """Half an hour: of each kept beat its sample, its kind and its window, in the order of time."""
        rng = self._rng
        places = np.sort(rng.choice(np.arange(4, 1800), BEATS, replace=False)) * RATE
        kinds = rng.choice([self.sinus, "ventricular", "atrial premature"], BEATS, p=[0.62, PREMATURE, 0.1])
        return [(int(place), str(kind), self.beat(str(kind))) for place, kind in zip(places, kinds, strict=True)]


def beats(archive: Path, seed: int) -> None:
    """Write the made patients' records as a zip that is laid out as that of the MIT-BIH records is."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for number, name in enumerate(PATIENTS):
            rng = np.random.default_rng([seed, number])
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(["r_sample", "is_pvc", *(f"v{i}" for i in range(WINDOW)), "kind"])
            for place, kind, window in Patient(rng, blocked=number % 4 == 3).record():
                writer.writerow([place, int(kind == "ventricular"), *np.round(window, 4), kind])
            made.writestr(f"made/{name}.csv", text.getvalue())


# ---- cells ------------------------------------------------------------------------------------------

SIDE, FINE = 80, 2
SMEARS, EACH = 16, 8
Shape = Callable[[Array, float], Array]
"""The angle, and a number of the cell's own from 0 to 1 → the radius there, 1 for that of a usual cell."""


def _oval(ratio: float) -> Shape:
    def radius(angle: Array, own: float) -> Array:
        long = ratio + 0.15 * own
        return np.asarray(1 / np.sqrt((np.cos(angle) / long) ** 2 + (np.sin(angle) * long**0.6) ** 2))

    return radius


def _disc(size: float) -> Shape:
    return lambda angle, own: size * (0.95 + 0.1 * own) + 0 * angle


def _crescent(angle: Array, own: float) -> Array:
    bite = np.exp(-((np.angle(np.exp(1j * angle)) / (0.75 + 0.15 * own)) ** 2))
    return np.asarray(1.15 / np.sqrt((np.sin(angle)) ** 2 + (np.cos(angle) / 0.75) ** 2) * (1 - 0.85 * bite))


def _teardrop(angle: Array, own: float) -> Array:
    return np.asarray(0.85 + (0.75 + 0.3 * own) * np.exp(-((np.angle(np.exp(1j * angle)) / 0.28) ** 2)))


def _fragment(angle: Array, own: float) -> Array:
    sides = np.abs(np.angle(np.exp(3j * (angle + own)))) / 3
    return np.asarray(0.45 / np.cos(sides - np.pi / 3 * (0.85 + 0.1 * own)).clip(0.45))


def _burr(angle: Array, own: float) -> Array:
    return np.asarray(0.92 + 0.11 * np.cos((11 + round(3 * own)) * angle))


TYPES: dict[str, tuple[Shape, str]] = {
    "burr cell": (_burr, "pale"),
    "crescent": (_crescent, "full"),
    "elliptocyte": (_oval(1.5), "pale"),
    "fragment": (_fragment, "full"),
    "large": (_disc(1.28), "pale"),
    "normal": (_disc(1.0), "pale"),
    "oval": (_oval(1.15), "pale"),
    "small": (_disc(0.72), "pale"),
    "spherocyte": (_disc(0.86), "full"),
    "stomatocyte": (_disc(1.0), "slit"),
    "target": (_disc(1.05), "target"),
    "teardrop": (_teardrop, "pale"),
}
"""Of each type its outline and its shading."""


def _shade(shading: str, rho: Array, across: Array, along: Array, rng: np.random.Generator) -> Array:
    """How much stain a cell has at each place, 0 to 1; rho is the share of the way to its edge."""
    pallor = rng.uniform(0.45, 0.7)
    if shading == "full":
        return np.full_like(rho, 0.95)
    if shading == "slit":
        return np.asarray(0.9 - pallor * np.exp(-((across / 0.13) ** 2) - (along / 0.5) ** 2))
    hollow = np.exp(-((rho / rng.uniform(0.35, 0.5)) ** 4))
    if shading == "target":
        return np.asarray(0.9 - pallor * np.exp(-(((rho - 0.5) / 0.16) ** 2)))
    return np.asarray(0.9 - pallor * hollow)


def cell(kind: str, smear: np.random.Generator, rng: np.random.Generator) -> Image.Image:
    """One made cell, RGB 80 × 80: `smear` gives colour, light and focus, `rng` the cell itself."""
    outline, shading = TYPES[kind]
    ground, stain = smear.uniform([205, 195, 200], [240, 235, 240]), smear.uniform([120, 70, 90], [200, 130, 150])
    blur, light, size = smear.uniform(0.4, 1.7), smear.uniform(-0.12, 0.12, 2), smear.uniform(20, 25)
    side = SIDE * FINE
    down, right = (np.mgrid[:side, :side] - side / 2) / FINE - rng.normal(0, 1.5, (2, 1, 1))
    turn = rng.uniform(0, 2 * np.pi)
    along, across = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
    radius = size * rng.normal(1, 0.05) * outline(np.arctan2(across, along), rng.uniform())
    rho = np.hypot(along, across) / radius
    edge = 1 / (1 + np.exp(np.clip((rho - 1) * radius, -30, 30)))
    amount = edge * _shade(shading, rho, across / radius, along / radius, rng) * rng.normal(1, 0.06)
    picture = ground + (stain - ground) * amount[..., None]
    picture *= 1 + (light[0] * right + light[1] * down)[..., None] / SIDE
    whole = Image.fromarray(picture.clip(0, 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BOX)
    blurred = np.asarray(whole.filter(ImageFilter.GaussianBlur(blur)), np.float64)
    return Image.fromarray((blurred + rng.normal(0, 3, blurred.shape)).clip(0, 255).astype(np.uint8))


def cells(folder: Path, seed: int, smears: int = SMEARS, each: int = EACH) -> None:
    """Write a folder of each type with cells of every smear: `target/smear03_5.png`."""
    for place, kind in enumerate(TYPES):
        (folder / kind).mkdir(parents=True)
        for smear in range(smears):
            for number in range(each):
                look = np.random.default_rng([seed, smear])
                drawn = cell(kind, look, np.random.default_rng([seed, place, smear, number]))
                drawn.save(folder / kind / f"smear{smear:02}_{number}.png")
