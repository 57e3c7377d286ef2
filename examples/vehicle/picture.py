"""The vehicle example's picture: drives past two signs, one taught and one not, and spoken commands below them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

if TYPE_CHECKING:
    from examples.vehicle.vehicle import Asked

INK, MUTED, RULE = "#16202c", "#6b7785", "#d9dee4"
RIGHT, WRONG, UNKNOWN = "#1b8a5a", "#c8372d", "#8a6d1b"
COLOURS = ("#2257c5", "#d07a1d", "#8b95a1")
WIDTH, SIGNS, COMMANDS, LEFT = 12.4, 8.75, 6.1, 0.45
"""Inches: the picture's width, the heights of its two parts, and the margin."""

TITLES = {
    "trained": "trained on pictograms",
    "lite0": "EfficientNet-Lite0 (ImageNet)",
    "raw": "raw pixels",
}
BARS = {
    "nearest": "one frame:\nright sign nearest",
    "track_nearest": "whole track, if\nall is answered",
    "new_nearest": "the new sign by\nthe pack: track",
    "track_right": "whole track:\nright and known",
    "unknown_tracks": "unknown sign taken for\nanother (less is better)",
}
SOUND_TITLES = {"wccn": "speech embedding, projected", "speech": "speech embedding", "raw": "raw spectra"}
SOUND_BARS = {
    "nearest": "said by others:\nright command nearest",
    "right": "said by others:\nright and known",
    "driver_right": "said by the driver:\nright and known",
    "new_word": "other words, never given,\ntaken for a command",
    "noise": "wind, hum, clicks\ntaken for a command",
    "babble": "four voices at once\ntaken for a command",
}


def draw(shown: Sequence[Asked], result: dict[str, Any], out: Path, recordings: Path | None = None) -> None:
    """Write the picture.

    Args:
        shown: the answers of one depot's vehicles.
        result: all figures; without `commands`, these are not in the picture.
        out: where the picture goes.
        recordings: JSON with a few recordings and their answers, from `shown.show`.
    """
    spoken = result.get("commands")
    base = COMMANDS if spoken else 0.0
    figure = plt.figure(figsize=(WIDTH, SIGNS + base), dpi=110, facecolor="white")
    text(figure, LEFT, base + 8.27, "Three frames teach the fleet a sign", size=21, weight="bold")
    words = (
        "Frames as the vehicle's camera gives them, left to right while it comes nearer. Under each: what this frame "
        "alone is taken for, then (bold) the consensus so far."
    )
    text(figure, LEFT, base + 7.93, words, size=10, color=MUTED)
    for position, asked in enumerate(chosen(shown)):
        strip(figure, asked, base + 5.95 - 1.9 * position)
    bars(figure, result["bundles"], BARS, TITLES, base + 0.85, base + 3.5)
    words = (
        f"Simulated drives past invented signs of concepts that training never saw; {result['depots']} depots with 10 "
        f"signs each. At most {result['promised']:.0%} of strangers' frames promised. Bars: 95 % interval over tracks."
    )
    text(figure, LEFT, base + 0.14, words, size=8.5, color=MUTED)
    if spoken:
        commands(figure, spoken, recordings)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Software": "EdgeFew"})
    plt.close(figure)


def commands(figure: Figure, spoken: dict[str, Any], recordings: Path | None) -> None:
    """The lower part: a few recordings with their answers, and the figures."""
    rule = figure.add_artist(Line2D([LEFT / WIDTH, 1 - LEFT / WIDTH], [COMMANDS / figure.get_figheight()] * 2))
    rule.set(color=RULE, linewidth=1)
    text(figure, LEFT, 5.5, "Three takes teach it a command", size=21, weight="bold")
    words = (
        "Spectra of recordings, time from left to right. The driver enrolls; then other people speak. Under each: "
        "what it is taken for. The first of each kind, not chosen."
    )
    text(figure, LEFT, 5.16, words, size=10, color=MUTED)
    clips = json.loads(recordings.read_text(encoding="utf-8")) if recordings else []
    pitch = (WIDTH - 2 * LEFT + 0.14) / max(1, len(clips))
    for column, clip in enumerate(clips):
        left, side = LEFT + pitch * column, pitch - 0.14
        teaching = "answer" not in clip
        colour = MUTED if teaching else judged(clip["answer"], clip["command"])
        axes = place(figure, left, 3.86, side, 0.85)
        axes.imshow(np.array(clip["spectrum"]), origin="lower", aspect="auto", cmap="Blues", interpolation="bilinear")
        for spine in axes.spines.values():
            spine.set_color(colour)
            spine.set_linewidth(2.5)
        text(figure, left, 4.78, clip["title"], size=9)
        under = f"teaches “{clip['command']}”" if teaching else said(clip["answer"])
        weight = "normal" if teaching else "bold"
        text(figure, left + side / 2, 3.65, under, size=9, color=colour, ha="center", weight=weight)
    bars(figure, spoken["bundles"], SOUND_BARS, SOUND_TITLES, 0.85, 3.0)
    words = (
        f"{spoken['words']} words by {spoken['speakers']} people, each in turn the driver; "
        f"{spoken['commands']} commands. At most {spoken['promised']:.0%} of strangers promised, on "
        f"{spoken['strangers']} other words. Bars: 95 % interval over drivers."
    )
    text(figure, LEFT, 0.14, words, size=8.5, color=MUTED)


def chosen(shown: Sequence[Asked]) -> list[Asked]:
    """An enrolled sign whose frames changed their mind most and whose track came out right, and an unknown one.

    For the second, too, the one with the most frames taken for something; its track may be wrong, and then is shown so.
    """
    taught = [a for a in shown if a.enrolled and a.verdict == a.track.sign]
    never = [a for a in shown if not a.enrolled]
    first = max(taught or [a for a in shown if a.enrolled], key=lambda a: min(a.frames.count(a.track.sign), 9))
    second = max(never, key=lambda a: (a.verdict is None, sum(f is not None for f in a.frames)))
    return [first, second]


def strip(figure: Figure, asked: Asked, bottom: float) -> None:
    """One track: its frames with their answers, and the verdict at the right."""
    name = words_of(asked.track.sign)
    title = f"Taught: “{name}”" if asked.enrolled else f"Never taught: “{name}”"
    text(figure, LEFT, bottom + 1.5, title, size=12, weight="bold")
    text(figure, LEFT + 0.098 * len(title) + 0.15, bottom + 1.5, asked.track.weather, size=10, color=MUTED)
    steps = range(0, len(asked.frames), 2)
    side, pitch = 1.0, 1.14
    truth = asked.track.sign if asked.enrolled else None
    for column, step in enumerate(steps):
        left = LEFT + pitch * column
        axes = place(figure, left, bottom + 0.4, side, side)
        axes.imshow(Image.fromarray(asked.track.frames[step]).resize((160, 160), Image.Resampling.BICUBIC))
        colour = judged(asked.frames[step], truth)
        for spine in axes.spines.values():
            spine.set_color(colour)
            spine.set_linewidth(2.5)
        text(figure, left + side / 2, bottom + 0.19, said(asked.frames[step]), size=8, color=colour, ha="center")
        label = asked.running[step]
        text(
            figure, left + side / 2, bottom, said(label), size=8, color=judged(label, truth), ha="center", weight="bold"
        )
    right = LEFT + pitch * len(steps) + 0.15
    colour = judged(asked.verdict, truth)
    text(figure, right, bottom + 1.12, "the track", size=9.5, color=MUTED)
    text(figure, right, bottom + 0.82, said(asked.verdict, 22), size=15, color=colour, weight="bold")
    agreeing = sum(label == asked.verdict for label in asked.frames)
    text(figure, right, bottom + 0.55, f"{agreeing} of {len(asked.frames)} frames agree", size=9.5, color=MUTED)


def bars(
    figure: Figure,
    bundles: dict[str, Any],
    groups: dict[str, str],
    titles: dict[str, str],
    bottom: float,
    top: float,
) -> None:
    """The three bundles side by side; a line parts what should be high from what should be low."""
    axes = place(figure, LEFT + 0.35, bottom, WIDTH - 2 * LEFT - 0.35, top - bottom - 0.2)
    wide = 0.24
    for position, name in enumerate(bundles):
        for group, key in enumerate(groups):
            figures = bundles[name][key]
            middle = group + (position - (len(bundles) - 1) / 2) * (wide + 0.02)
            mean, low, high = (100 * figures[part] for part in ("mean", "low", "high"))
            axes.bar(middle, mean, wide, color=COLOURS[position], label=titles[name] if group == 0 else None)
            axes.errorbar(
                middle, mean, [[max(0.0, mean - low)], [max(0.0, high - mean)]], color=INK, capsize=3, linewidth=1
            )
            axes.text(middle, high + 2, f"{mean:.0f}", ha="center", color=INK, fontsize=10)
    axes.set_xticks(range(len(groups)), list(groups.values()), fontsize=10, color=INK)
    axes.set_ylim(0, 116)
    axes.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"], color=MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    first_low = next(place for place, words in enumerate(groups.values()) if "taken for" in words)
    axes.axvline(first_low - 0.5, color=RULE, linewidth=1)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, fontsize=10)


def judged(label: str | None, truth: str | None) -> str:
    """The colour of an answer."""
    if label == truth:
        return RIGHT
    return UNKNOWN if label is None else WRONG


def said(label: str | None, longest: int = 15) -> str:
    """An answer as people read it."""
    words = "unknown" if label is None else words_of(label)
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def words_of(name: str) -> str:
    return name.replace("-", " ").replace("_", " ")


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at inches from the lower left."""
    high = figure.get_figheight()
    axes = figure.add_axes((left / WIDTH, bottom / high, width / WIDTH, height / high))
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def text(figure: Figure, left: float, bottom: float, words: str, **style: Any) -> None:
    """Words at inches from the lower left."""
    figure.text(left / WIDTH, bottom / figure.get_figheight(), words, **{"color": INK, **style})
