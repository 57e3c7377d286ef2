"""The demo's two pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch
from PIL import Image

INK, MUTED, RULE = "#16202c", "#6b7785", "#d9dee4"
RIGHT, WRONG, UNKNOWN = "#1b8a5a", "#c8372d", "#8a6d1b"
ACCENT = "#2257c5"

Answers = list[tuple[str, Path, dict[str, Any]]]


def contact_sheet(support: dict[str, list[Path]], answers: Answers, out: Path) -> None:
    """Each enrolled concept with its examples, the questions asked about it and the answers; then the strangers."""
    rows = list(support)
    strangers = [a for a in answers if a[0] not in support]
    left = 3.75
    width, height = 10.9, 1.62 * (len(rows) + 1) + 1.45
    figure = plt.figure(figsize=(width, height), dpi=110, facecolor="white")
    top = height - 0.5
    figure.text(0.03, top / height, "Two drawings enrolled. Other hands recognised.", size=19, weight="bold", color=INK)
    subtitle = (
        "Blue: the two drawings by one design family that the device was shown. Beside them: other families' drawings, "
    )
    subtitle += "and its\nanswers, with a threshold that lets at most 1 in 10 strangers pass."
    figure.text(0.03, (top - 0.5) / height, subtitle, size=9.5, color=MUTED)
    y = top - 0.68
    for concept in rows:
        y -= 1.62
        for column, file in enumerate(support[concept]):
            _tile(figure, file, 0.3 + 1.5 * column, y, width, height, "", ACCENT, framed=True)
        middle = (0.3 + 0.6 + 0.75 * (len(support[concept]) - 1)) / width
        text = f"enrolled: {_words(concept)}"
        figure.text(middle, (y + 0.1) / height, text, size=9, color=ACCENT, ha="center", weight="bold")
        for column, (truth, file, answer) in enumerate(a for a in answers if a[0] == concept):
            text, color = _verdict(truth, answer)
            _tile(figure, file, left + 1.75 * column, y, width, height, text, color)
        if concept == rows[0]:
            _legend(figure, width, height, y)
    y -= 1.62
    figure.text(0.3 / width, (y + 1.05) / height, "not enrolled", size=10, weight="bold", color=INK)
    figure.text(0.3 / width, (y + 0.82) / height, "strangers should\nbe “unknown”", size=8.5, color=MUTED, va="top")
    for column, (_, file, answer) in enumerate(strangers):
        text = f"taken for {_words(answer['label'])}" if answer["known"] else "unknown"
        _tile(figure, file, left + 1.75 * column, y, width, height, text, WRONG if answer["known"] else RIGHT)
    figure.savefig(out, metadata={"Software": "EdgeFew"})
    plt.close(figure)


def _verdict(truth: str, answer: dict[str, Any]) -> tuple[str, str]:
    if not answer["known"]:
        return "unknown", UNKNOWN
    return f"{_words(answer['label'])} {answer['probability']:.0%}", RIGHT if answer["label"] == truth else WRONG


def _words(label: str) -> str:
    return label.replace("-", " ")


def _tile(
    figure: Any,
    file: Path,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    color: str,
    framed: bool = False,
) -> None:
    """One drawing, one line of text below it; places in inches."""
    axes = figure.add_axes([x / width, (y + 0.28) / height, 1.2 / width, 1.2 / height])
    with Image.open(file) as image:
        axes.imshow(image.convert("L"), cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
    axes.set_axis_off()
    edge = ACCENT if framed else RULE
    axes.add_patch(
        FancyBboxPatch(
            (0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=edge, linewidth=2.2 if framed else 1,
            boxstyle="round,pad=0.02,rounding_size=0.06", clip_on=False,
        )
    )  # fmt: skip
    figure.text((x + 0.6) / width, (y + 0.1) / height, text, size=9, color=color, ha="center", weight="bold")


def _legend(figure: Any, width: float, height: float, y: float) -> None:
    x = 3.75 + 1.75 * 3 + 0.05
    lines = ((RIGHT, "right"), (UNKNOWN, "not sure enough:\nsays “unknown”"), (WRONG, "wrong"))
    place = y + 1.4
    for color, text in lines:
        figure.text(x / width, place / height, "■", size=11, color=color, va="top")
        figure.text((x + 0.2) / width, place / height, text, size=9, color=INK, va="top")
        place -= 0.25 + 0.16 * text.count("\n")


def accuracy_over_shots(curves: dict[str, dict[int, dict[str, Any]]], out: Path) -> None:
    """5-way accuracy with its 95 % interval over the number of examples of each class."""
    figure, axes = plt.subplots(figsize=(7.2, 4.4), dpi=130)
    for (name, curve), color in zip(curves.items(), (ACCENT, MUTED), strict=True):
        shots = list(curve)
        means = [100 * curve[s]["accuracy"] for s in shots]
        errors = [100 * curve[s]["ci95"] for s in shots]
        axes.errorbar(shots, means, yerr=errors, color=color, marker="o", linewidth=2, capsize=3)
        axes.annotate(
            name, (shots[-1], means[-1]), xytext=(10, -3), textcoords="offset points", color=color, weight="bold"
        )
        for shot, mean in zip(shots, means, strict=True):
            axes.annotate(f"{mean:.0f}", (shot, mean), xytext=(0, 9), textcoords="offset points", color=color,
                          ha="center", size=9)  # fmt: skip
    axes.axhline(20, color=RULE, linewidth=1, zorder=0)
    axes.annotate("chance", (1, 20), xytext=(0, 4), textcoords="offset points", color=MUTED, size=8)
    axes.set(
        xticks=[1, 2, 3, 5],
        xlim=(0.7, 6.6),
        ylim=(0, 102),
        xlabel="examples enrolled of each class",
        ylabel="right answers, %",
    )
    axes.set_title(
        "5 new classes, unseen concepts, across design families", loc="left", size=11, weight="bold", color=INK
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(out, metadata={"Software": "EdgeFew"})
    plt.close(figure)
