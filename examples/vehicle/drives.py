"""Drives that nobody drove: a camera comes nearer to one sign, over some fifteen frames.

A sign is a drawing on a plate (`edgefew.data.signs`). A track is one post by the road with that sign on it: its paint
has faded and it leans as no other post does, one scene is behind it, one weather and one hour are over all its frames.
So a track is a source: enrolment and questions must never share one. A frame is what a detector would cut out, 16 to 78
pixels a side: the sign grows, the box is never quite right, and every frame has its own motion, rain and noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from edgefew_export.labelled_folder import LabelledFolder
from edgefew_runtime.frames import load_frame
from PIL import Image, ImageDraw, ImageFilter

from edgefew.data.photograph import lit, perspective, scene
from edgefew.data.signs import Plate, draw_sign

FRAMES = 15
FAR, NEAR = 14.0, 60.0
"""Pixels a side of the sign in the first frame and in the last."""

SHARING = 3
"""Signs on one kind of plate: these differ by what is drawn on them alone."""

WEATHERS = ("clear", "rain", "haze", "night")
_OUTER = 160
"""Pixels a side of the scene that a track's frames are cut from."""

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Track:
    """What the camera saw of one post.

    Attributes:
        sign: the class.
        number: of the track, unlike any other's of that sign.
        weather: one of `WEATHERS`.
        frames: uint8 [S, S, 3] each, the farthest first.
    """

    sign: str
    number: int
    weather: str
    frames: tuple[Frame, ...]


def invent(drawings: LabelledFolder, count: int, seed: int) -> dict[str, Image.Image]:
    """Signs from straight ahead by name, RGBA: each of another concept, on a plate that `SHARING` of them have."""
    rng = np.random.default_rng([seed, 0])
    concepts = rng.permutation(len(drawings.classes))[:count].tolist()
    signs = {}
    for position, concept in enumerate(concepts):
        if position % SHARING == 0:
            plate = Plate.draw(rng)
        file = drawings.files[int(rng.choice(np.flatnonzero(drawings.labels == concept)))]
        ink = Image.fromarray(255 - load_frame(drawings.root / file).values.min(axis=2))
        signs[drawings.classes[concept].replace("/", "-")] = draw_sign(plate, ink)
    return signs


def drive(name: str, sign: Image.Image, number: int, seed: int, frames: int = FRAMES) -> Track:
    """One track; the same arguments give the same pixels."""
    rng = np.random.default_rng([seed, 1, number, *name.encode()])
    weather = str(rng.choice(WEATHERS, p=[0.4, 0.25, 0.15, 0.2]))
    strength = rng.uniform(0.4, 1.0)
    post, behind = _post(sign, rng), scene(_OUTER, rng)
    gain, tint, gamma = _light(weather, strength, rng)
    corner, drift = rng.uniform(0.2, 0.4, 2), rng.normal(0, 0.01, 2)
    speed, noise = rng.uniform(0.0, 0.09), rng.uniform(1, 6) + (9 * strength if weather == "night" else 0)
    seen = []
    for step in range(frames):
        # The side of what is approached evenly grows as one over the distance.
        progress = step / max(1, frames - 1)
        side = 1 / ((1 - progress) / FAR + progress / NEAR)
        pixels = round(side * rng.uniform(1.08, 1.3))
        reach = 0.35 + 0.25 * (1 - progress)
        width = _OUTER * reach * 0.6
        left, top = ((corner + drift * step) * _OUTER).clip(0, _OUTER - width).tolist()
        box = (left, top, left + width, top + width)
        view = np.asarray(
            Image.fromarray(behind.clip(0, 255).astype(np.uint8)).resize((pixels, pixels), box=box), np.float32
        )
        place = 0.5 + rng.normal(0, 0.03, 2)
        layer = _placed(post, pixels, side, place)
        alpha = layer[:, :, 3:] / 255
        values = np.asarray(view * (1 - alpha) + layer[:, :, :3] * alpha, np.float64)
        values = 255 * (values.clip(0, 255) / 255) ** gamma * gain * tint
        values = _air(values, weather, strength, rng)
        values = _moved(values, speed * side * rng.uniform(0.4, 1.6), rng)
        values = values + rng.normal(0, noise, values.shape)
        seen.append(values.clip(0, 255).astype(np.uint8))
    return Track(name, number, weather, tuple(seen))


def _post(sign: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One physical plate: faded, shaded and leaning in its own way; RGBA."""
    pixels = np.asarray(sign, np.float32)
    painted = np.dstack([lit(pixels[:, :, :3], rng), pixels[:, :, 3:]]).clip(0, 255).astype(np.uint8)
    angle, squeeze = math.radians(rng.normal(0, 4)), 1 - abs(rng.normal(0, 0.1))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.47 * [squeeze, 1.0]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    places = corners @ turn.T + 0.5 + rng.normal(0, 0.02, (4, 2))
    wanted = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sign.width
    coefficients = perspective(places * sign.width, wanted)
    return Image.fromarray(painted).transform(
        sign.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )


def _placed(post: Image.Image, pixels: int, side: float, place: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The post in a frame: float32 [pixels, pixels, 4], `side` pixels a side around `place` (shares of the frame)."""
    fine, width = 3, max(3, round(3 * side))
    canvas = Image.new("RGBA", (fine * pixels, fine * pixels))
    left, top = (round(fine * pixels * p - width / 2) for p in place.tolist())
    canvas.paste(post.resize((width, width), Image.Resampling.BOX), (left, top))
    return np.asarray(canvas.resize((pixels, pixels), Image.Resampling.BOX), np.float32)


def _light(weather: str, strength: float, rng: np.random.Generator) -> tuple[float, npt.NDArray[np.float64], float]:
    """Gain, colour and gamma of the hour; a headlamp is the night's only light."""
    if weather == "night":
        return rng.uniform(0.75, 1.1), np.array([1.1, 0.95, 0.75]) * (1 - 0.4 * strength), 1 + strength
    return rng.uniform(0.6, 1.15), np.exp(rng.normal(0, 0.06, 3)), math.exp(rng.normal(0, 0.2))


def _air(
    values: npt.NDArray[np.float64], weather: str, strength: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """What is between the sign and the camera."""
    if weather == "haze":
        return values * (1 - 0.55 * strength) + 0.55 * strength * 190
    if weather == "rain":
        size = len(values)
        layer = Image.new("L", (4 * size, 4 * size), 0)
        draw = ImageDraw.Draw(layer)
        for x, y in (rng.random((round(26 * strength), 2)) * 4 * size).tolist():
            draw.line([(x, y), (x + 0.12 * size, y + size * rng.uniform(0.3, 0.9))], fill=255, width=max(2, size // 16))
        drops = np.asarray(layer.resize((size, size), Image.Resampling.BOX), np.float32)[:, :, None] / 255
        grey = values * (1 - 0.2 * strength) + 0.2 * strength * 130
        return grey * (1 - 0.6 * drops) + 0.6 * drops * 210
    return values


def _moved(values: npt.NDArray[np.float64], reach: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Blurred along a road's jolt, and by a lens that is never quite sharp."""
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7))
    )
    direction = rng.normal(0, 0.5)
    shifts: Sequence[float] = np.linspace(-reach / 2, reach / 2, 7).tolist()
    moved = [
        image.transform(
            image.size,
            Image.Transform.AFFINE,
            (1, 0, shift * math.cos(direction), 0, 1, shift * math.sin(direction)),
            Image.Resampling.BILINEAR,
        )
        for shift in shifts
    ]
    return np.asarray(np.mean([np.asarray(m, np.float32) for m in moved], axis=0), np.float64)


def save(tracks: Sequence[Track], folder: Path) -> None:
    r"""Frames as a labelled folder: `folder/<sign>/<track>_<frame>.png`; the track is the source, `^(\d+)_`."""
    for track in tracks:
        place = folder / track.sign
        place.mkdir(parents=True, exist_ok=True)
        for step, frame in enumerate(track.frames):
            Image.fromarray(frame).save(place / f"{track.number:05}_{step:05}.png")
