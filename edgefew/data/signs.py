"""Signs: invented ones, made of drawings on plates, and what a camera on the road makes of them.

A class is a sign: a drawing or a number on a plate of one shape and colours. Signs of one plate make a group: they
differ by what is drawn on them alone, as speed limits do. An example is a photograph, drawn by `photograph`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgefew_export.labelled_folder import LabelledFolder, read_labelled_folder
from edgefew_runtime import DataError
from edgefew_runtime.frames import load_frame
from PIL import Image, ImageDraw, ImageFont

from .photograph import photograph

SIGNS_PER_PLATE = 12
SIDE = 128
"""Pixels a side of a sign before it is photographed."""

PALETTE = {
    "white": (240, 240, 236),
    "black": (28, 28, 30),
    "red": (190, 28, 36),
    "blue": (20, 72, 160),
    "yellow": (246, 200, 32),
    "green": (0, 110, 72),
    "orange": (238, 120, 24),
    "brown": (112, 68, 36),
    "grey": (140, 144, 148),
}
"""The colours of road signs, red, green and blue."""

_LIGHT = ("white", "yellow", "orange")
_NUMBERS_SHARE = 0.3
_BAR_SHARE = 0.15

_CORNERS: dict[str, tuple[tuple[float, float], ...]] = {
    "triangle": ((0.5, 0.04), (0.98, 0.9), (0.02, 0.9)),
    "yield": ((0.02, 0.1), (0.98, 0.1), (0.5, 0.96)),
    "diamond": ((0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)),
    "square": ((0.04, 0.04), (0.96, 0.04), (0.96, 0.96), (0.04, 0.96)),
    "wide": ((0.0, 0.2), (1.0, 0.2), (1.0, 0.8), (0.0, 0.8)),
    "tall": ((0.2, 0.0), (0.8, 0.0), (0.8, 1.0), (0.2, 1.0)),
    "octagon": tuple(
        (0.5 + 0.52 * math.cos(math.pi * (2 * i + 1) / 8), 0.5 + 0.52 * math.sin(math.pi * (2 * i + 1) / 8))
        for i in range(8)
    ),
    "circle": tuple(
        (0.5 + 0.49 * math.cos(2 * math.pi * i / 64), 0.5 + 0.49 * math.sin(2 * math.pi * i / 64)) for i in range(64)
    ),
}
_ROOM = {"triangle": (0.5, 0.62, 0.42), "yield": (0.5, 0.38, 0.42), "diamond": (0.5, 0.5, 0.5), "wide": (0.5, 0.5, 0.5)}
"""Where a drawing finds room on a plate: middle, and side; the others have the middle and `_SIDE`."""

_SIDE = 0.6


@dataclass(frozen=True)
class Plate:
    """What signs of one kind have in common.

    Attributes:
        shape: a key of `_CORNERS`.
        fill: red, green and blue, 0 to 255.
        border: of the edge.
        ink: of what is drawn on it.
        edge: how wide the edge is, as a share of a side.
        barred: a bar of the edge's colour crosses it.
    """

    shape: str
    fill: tuple[int, int, int]
    border: tuple[int, int, int]
    ink: tuple[int, int, int]
    edge: float
    barred: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Plate:
        """A plate as roads have them."""
        fill = str(rng.choice(list(PALETTE)))
        ink = str(rng.choice([n for n in PALETTE if (n in _LIGHT) != (fill in _LIGHT)])) if rng.random() < 0.4 else ""
        ink = ink or ("black" if fill in _LIGHT else "white")
        border = str(rng.choice(["red", "black", "white", "blue", "green"]))
        shape = str(rng.choice(list(_CORNERS), p=_shares({"circle": 4.0, "triangle": 2.0})))
        edge = float(rng.choice([0.0, 0.04, 0.09, 0.14]))
        barred = bool(rng.random() < _BAR_SHARE)
        colours = [_tinted(PALETTE[name], rng) for name in (fill, border, ink)]
        return cls(shape, colours[0], colours[1], colours[2], edge, barred)


def _shares(heavier: dict[str, float]) -> list[float]:
    weights = [heavier.get(name, 1.0) for name in _CORNERS]
    return [weight / sum(weights) for weight in weights]


def _tinted(colour: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = np.clip(np.array(colour) + rng.normal(0, 14, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def render(
    drawings: Path, out: Path, *, signs: int = 600, photographs: int = 20, image_size: int = 64, seed: int = 0
) -> dict[str, int]:
    """Photographs of invented signs into `out/<plate>/<sign>/<number>.jpg`; gives the counts.

    Args:
        drawings: a labelled folder of black drawings on white, such as pictograms.
        out: a folder that does not exist yet or is empty.
        signs: how many signs, `SIGNS_PER_PLATE` a plate.
        photographs: of each sign.
        image_size: pixels a side.
        seed: decides everything.

    Raises:
        DataError: `out` is not empty or cannot be written, or there are too few drawings.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and is not an empty folder. Give a new folder, or empty this one first.")
    folder = read_labelled_folder(drawings, kind="image")
    if len(folder.classes) < SIGNS_PER_PLATE:
        raise DataError(
            f"{drawings} holds drawings of {len(folder.classes)} classes; a plate takes {SIGNS_PER_PLATE}. Add some."
        )
    made = 0
    try:
        for number in range(math.ceil(signs / SIGNS_PER_PLATE)):
            rng = np.random.default_rng([seed, number])
            plate = Plate.draw(rng)
            for name, ink in _inks(folder, rng, min(SIGNS_PER_PLATE, signs - made)):
                place = out / f"plate-{number:03}-{plate.shape}" / name
                place.mkdir(parents=True)
                sign = draw_sign(plate, ink)
                for take in range(photographs):
                    quality = int(rng.integers(20, 95))
                    photograph(sign, image_size, rng).save(place / f"{take:03}.jpg", quality=quality)
                made += 1
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from None
    return {"classes": made, "images": made * photographs, "plates": math.ceil(signs / SIGNS_PER_PLATE)}


def _inks(folder: LabelledFolder, rng: np.random.Generator, count: int) -> Iterator[tuple[str, Image.Image]]:
    """What stands on the signs of one plate, each with a name: "L", white where ink is."""
    numbered = rng.random() < _NUMBERS_SHARE
    classes = rng.permutation(len(folder.classes))[:count]
    numbers: Sequence[int] = (rng.permutation(np.r_[1:10, 10:130:10])[:count]).tolist()
    for label, number in zip(classes.tolist(), numbers, strict=True):
        if numbered:
            yield f"number-{number}", _number(str(number))
            continue
        file = folder.root / folder.files[int(rng.choice(np.flatnonzero(folder.labels == label)))]
        pixels = 255 - load_frame(file).values.min(axis=2)
        yield folder.classes[label].replace("/", "-"), Image.fromarray(pixels)


def _number(text: str) -> Image.Image:
    font = ImageFont.load_default(size=SIDE)
    box = font.getbbox(text, stroke_width=3)
    width, height = math.ceil(box[2] - box[0]), math.ceil(box[3] - box[1])
    side = max(width, height)
    image = Image.new("L", (side, side), 0)
    where = ((side - width) / 2 - box[0], (side - height) / 2 - box[1])
    ImageDraw.Draw(image).text(where, text, font=font, fill=255, stroke_width=3)
    return image


def draw_sign(plate: Plate, ink: Image.Image) -> Image.Image:
    """The sign from straight ahead in even light: RGBA, clear around the plate."""
    fine = 3 * SIDE
    image = Image.new("RGBA", (fine, fine), (*plate.border, 0))
    draw = ImageDraw.Draw(image)
    corners = np.array(_CORNERS[plate.shape])
    middle = corners.mean(axis=0)
    for colour, share in ((plate.border, 1.0), (plate.fill, 1 - 2 * plate.edge)):
        inner = (middle + (corners - middle) * share) * fine
        draw.polygon([(x, y) for x, y in inner.tolist()], fill=(*colour, 255))
    x, y, side = _ROOM.get(plate.shape, (0.5, 0.5, _SIDE))
    side *= 1 - plate.edge
    pixels = round(side * fine)
    mask = ink.resize((pixels, pixels), Image.Resampling.LANCZOS)
    image.paste((*plate.ink, 255), (round((x - side / 2) * fine), round((y - side / 2) * fine)), mask)
    if plate.barred:
        end = 0.5 + 0.33 * np.array([-1, 1])
        draw.line([(end[0] * fine, end[1] * fine), (end[1] * fine, end[0] * fine)], (*plate.border, 255), fine // 14)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
