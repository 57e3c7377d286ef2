"""Characters of invented alphabets, drawn by several hands, to train for handwriting that has few classes.

A character is one to four strokes, put together from the few shapes of its alphabet, as the programs of Lake,
Salakhutdinov, Tenenbaum (Human-level Concept Learning through Probabilistic Program Induction, Science 350, 2015) put
characters together from parts, at relations to earlier strokes. Another hand draws the same strokes somewhat otherwise.
Nothing is learned from any script: shapes and relations come from the random numbers below alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from edgefew_runtime import DataError
from PIL import Image, ImageDraw

SOURCE_PATTERN = r"_(?P<source>\d+)\.png$"
"""Gives the hand that drew a file of `render`, for `--source-pattern`."""

_Points: TypeAlias = npt.NDArray[np.float64]
"""Float64 [k, 2], x and y."""

_CONTROLS = 6
_BETWEEN = 8
"""Points of a line for each of its controls."""

_FINE = 4
"""Lines are drawn so many times as large, and made small: smooth edges."""

_PEN = 0.046
"""The pen's width, as a share of the image's side."""

_EIGHTHS = np.array([0.2, 0.08, 0.2, 0.08, 0.16, 0.06, 0.16, 0.06])
"""How often a shape stands at each eighth of a turn: most are upright or level."""


@dataclass(frozen=True)
class Stroke:
    """One line of the pen.

    Attributes:
        controls: float64 [6, 2].
        smooth: it bends at its controls (Catmull-Rom); else it has corners there.
    """

    controls: _Points
    smooth: bool

    def points(self) -> _Points:
        """The line, through its controls: float64 [41, 2]."""
        at = np.linspace(0, _CONTROLS - 1, (_CONTROLS - 1) * _BETWEEN + 1)
        left = np.minimum(at.astype(int), _CONTROLS - 2)
        u = (at - left)[:, None]
        before, start, end, after = (self.controls[np.clip(left + k, 0, _CONTROLS - 1)] for k in (-1, 0, 1, 2))
        if not self.smooth:
            return np.asarray(start + u * (end - start))
        bend = 2 * before - 5 * start + 4 * end - after, 3 * (start - end) + after - before
        return np.asarray(start + 0.5 * u * (end - before + u * (bend[0] + u * bend[1])))


def render(
    out: Path, *, alphabets: int = 30, characters: int = 30, hands: int = 20, image_size: int = 64, seed: int = 0
) -> dict[str, int]:
    """Draw invented characters into `out/<alphabet>/<character>/<number>_<hand>.png`; gives the counts.

    Args:
        out: a folder that does not exist yet or is empty.
        alphabets: how many.
        characters: of each alphabet.
        hands: how many drawings of each character, each by another hand.
        image_size: pixels a side.
        seed: decides everything.

    Raises:
        DataError: `out` is not empty or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and is not an empty folder. Give a new folder, or empty this one first.")
    try:
        for number in range(alphabets):
            rng = np.random.default_rng([seed, number])
            shapes = [_shape(rng) for _ in range(rng.integers(5, 12))]
            for index in range(characters):
                folder = out / f"invented-{number:03}" / f"character{index:02}"
                folder.mkdir(parents=True)
                character = _character(shapes, rng)
                for hand in range(hands):
                    _drawn(_by_hand(character, rng), image_size, rng).save(folder / f"{index:04}_{hand + 1:02}.png")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from None
    return {"classes": alphabets * characters, "images": alphabets * characters * hands, "alphabets": alphabets}


def _turn(angle: float) -> _Points:
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _shape(rng: np.random.Generator) -> Stroke:
    """A part that an alphabet uses again and again: a line, an arc, an angle, a sweep, a ring or a dot."""
    kind = str(rng.choice(["line", "arc", "angle", "sweep", "ring", "dot"], p=[0.36, 0.2, 0.17, 0.16, 0.06, 0.05]))
    along = np.linspace(0, 1, _CONTROLS)
    if kind == "line":
        points = np.stack([along - 0.5, np.zeros(_CONTROLS)], axis=1)
    elif kind == "dot":
        points = np.stack([0.12 * along, np.zeros(_CONTROLS)], axis=1)
    elif kind == "arc":
        around = along * rng.uniform(0.4, 1.8) * math.pi
        points = 0.45 * np.stack([np.cos(around), np.sin(around) * rng.uniform(0.6, 1.3)], axis=1)
    elif kind == "ring":
        around = along * 1.96 * math.pi
        points = 0.4 * np.stack([np.cos(around), np.sin(around) * rng.uniform(0.7, 1.4)], axis=1)
    elif kind == "angle":
        points = _angle(rng)
    else:
        points = _sweep(rng)
    eighth = rng.choice(8, p=_EIGHTHS / _EIGHTHS.sum()) * math.pi / 4 + rng.normal(0, 0.08)
    angle = eighth if rng.random() < 0.85 else rng.uniform(0, 2 * math.pi)
    points = points @ _turn(angle) * math.exp(rng.normal(0, 0.3))
    return Stroke(points - points.mean(axis=0), kind in ("arc", "sweep", "ring"))


def _angle(rng: np.random.Generator) -> _Points:
    """Two or three straight pieces; the corners are controls."""
    places = [[0, 3, 5], [0, 2, 4, 5]][rng.integers(2)]
    corners, heading = [np.zeros(2)], 0.0
    for _ in places[1:]:
        corners.append(corners[-1] + rng.uniform(0.3, 0.8) * np.array([math.cos(heading), math.sin(heading)]))
        heading += rng.choice([-1, 1]) * rng.uniform(0.9, 2.6)
    at = np.arange(_CONTROLS)
    return np.stack([np.interp(at, places, np.array(corners)[:, axis]) for axis in (0, 1)], axis=1)


def _sweep(rng: np.random.Generator) -> _Points:
    """A free bend that keeps its sense for a while."""
    points, heading, bend = [np.zeros(2)], 0.0, rng.normal(0, 0.6)
    for _ in range(_CONTROLS - 1):
        bend = 0.75 * bend + rng.normal(0, 0.35)
        heading += bend
        points.append(points[-1] + 0.28 * np.array([math.cos(heading), math.sin(heading)]))
    return np.array(points)


def _character(shapes: list[Stroke], rng: np.random.Generator) -> list[Stroke]:
    """Strokes of an alphabet's shapes, most of them joined to an earlier one; as large as the field -1 to 1 takes."""
    strokes: list[Stroke] = []
    for _ in range(rng.choice([1, 2, 3, 4], p=[0.22, 0.36, 0.27, 0.15])):
        shape = shapes[rng.integers(len(shapes))]
        controls = shape.controls * math.exp(rng.normal(0, 0.2))
        if rng.random() < 0.3:
            controls = controls @ _turn(rng.integers(1, 4) * math.pi / 2)
        controls = controls * np.where(rng.random(2) < 0.15, -1, 1)
        if strokes and rng.random() < 0.7:
            earlier = strokes[rng.integers(len(strokes))].points()
            own = Stroke(controls, shape.smooth).points()
            last = len(earlier) - 1
            joint = earlier[rng.choice([0, last // 2, last, int(rng.integers(last))])]
            controls = controls + joint - own[rng.choice([0, len(own) - 1, len(own) // 2], p=[0.45, 0.3, 0.25])]
        elif strokes:
            controls = controls + strokes[0].controls.mean(axis=0) + rng.normal(0, 0.5, 2)
        strokes.append(Stroke(controls, shape.smooth))
    every = np.concatenate([stroke.points() for stroke in strokes])
    low, high = every.min(axis=0), every.max(axis=0)
    factor = rng.uniform(1.0, 1.5) / max(float((high - low).max()), 0.15)
    return [Stroke((stroke.controls - (low + high) / 2) * factor, stroke.smooth) for stroke in strokes]


def _by_hand(character: list[Stroke], rng: np.random.Generator) -> list[Stroke]:
    """The same character by another hand: strokes turned, sized, bent and placed otherwise, all of it slanted."""
    along = np.linspace(0, 1, _CONTROLS)[:, None]
    strokes = []
    for stroke in character:
        middle = stroke.controls.mean(axis=0)
        extent = float(np.ptp(stroke.controls, axis=0).max())
        controls = (stroke.controls - middle) @ _turn(rng.normal(0, 0.09)) * np.exp(rng.normal(0, 0.1, 2))
        bend = rng.normal(0, 0.045, 2) * np.sin(math.pi * along) + rng.normal(0, 0.03, 2) * np.sin(2 * math.pi * along)
        shift = rng.normal(0, 0.045, 2) + rng.normal(0, 0.01, (_CONTROLS, 2))
        strokes.append(Stroke(controls + extent * bend + middle + shift, stroke.smooth))
    slant = np.array([[1, 0], [rng.normal(0, 0.1), 1]]) @ _turn(rng.normal(0, 0.08)) * np.exp(rng.normal(0, 0.08, 2))
    place = rng.normal(0, 0.06, 2)
    return [Stroke(stroke.controls @ slant + place, stroke.smooth) for stroke in strokes]


def _drawn(strokes: list[Stroke], size: int, rng: np.random.Generator) -> Image.Image:
    """Black lines of one pen on white: "L"."""
    fine = _FINE * size
    pen = max(1, round(fine * _PEN * math.exp(rng.normal(0, 0.15))))
    image = Image.new("L", (fine, fine), 255)
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        line = [(x, y) for x, y in ((stroke.points() + 1) / 2 * fine).tolist()]
        draw.line(line, fill=0, width=pen, joint="curve")
        for x, y in (line[0], line[-1]):
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=0)
    return image.resize((size, size), Image.Resampling.BOX)
