"""A bundle's report as pictures: accuracy over shots, scores of known and unknown, time against accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from edgefew_runtime import Manifest, OperatingPoint
from edgefew_runtime.operating_point import bundle_point

INK, MUTED, RULE = "#16202c", "#6b7785", "#d9dee4"
KNOWN, STRANGER, ACCENT = "#1b8a5a", "#c8372d", "#2257c5"
SIZE = (7.2, 4.4)
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}

Report = Mapping[str, Any]


def draw_shots(report: Report, name: str, out: Path) -> None:
    """Episode accuracy with more and more examples, with 95 % intervals."""
    rows = report["shots"]
    shots = np.array([row["shot"] for row in rows])
    accuracy = np.array([row["accuracy"] for row in rows])
    margin = np.array([row["ci95"] or 0 for row in rows])
    way = rows[0]["way"]
    figure, axes = _axes(
        f"{name}: accuracy over examples",
        f"{way} classes that training never saw, {rows[0]['episodes']} episodes each; bars: 95 % interval",
    )
    axes.errorbar(shots, accuracy, margin, color=ACCENT, marker="o", markersize=6, linewidth=2, capsize=4)
    for shot, value, wide in zip(shots, accuracy, margin, strict=True):
        axes.annotate(
            f"{value:.1%}",
            (shot, value + wide),
            (0, 6),
            textcoords="offset points",
            ha="center",
            color=INK,
            fontsize=10,
        )
    axes.axhline(1 / way, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"chance {1 / way:.0%}", (1, 1 / way), (-4, 4), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", color=MUTED, fontsize=9,
    )  # fmt: skip
    axes.set_xticks(shots)
    axes.set_xlim(shots.min() - 0.5, shots.max() + 0.5)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("examples of each class", color=INK)
    axes.set_ylabel("right answers", color=INK)
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    _save(figure, out)


def draw_scores(report: Report, manifest: Manifest, out: Path) -> None:
    """How the best scores of known frames and of strangers are spread, with the thresholds that are promised."""
    scores = report["scores"]
    edges = np.array(scores["edges"])
    known, strangers = (np.array(scores[kind], float) / max(1, sum(scores[kind])) for kind in ("known", "strangers"))
    figure, axes = _axes(
        f"{manifest.name}: known and unknown",
        f"{scores['way']} classes with one example each, asked about themselves and as many strangers; "
        f"{scores['galleries']} galleries",
    )
    for share, color, label in ((strangers, STRANGER, "strangers"), (known, KNOWN, "enrolled classes")):
        axes.stairs(share, edges, fill=True, color=color, alpha=0.28)
        axes.stairs(share, edges, color=color, linewidth=1.6, label=label)
    top = 1.5 * max(known.max(), strangers.max())
    thresholds = _thresholds(manifest, scores["way"])
    for level, point in enumerate(thresholds):
        height = 0.97 - 0.075 * level
        axes.axvline(point.threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)), ymax=height)
        axes.annotate(
            f"{point.false_accept_rate:.0%}", (point.threshold, top * height), (-5, 0), textcoords="offset points",
            ha="right", va="top", fontsize=9.5, color=INK, bbox=_PAPER,
        )  # fmt: skip
    if thresholds:
        text = "thresholds that let at most\nthis share of strangers pass"
        axes.annotate(
            text, (0.015, 0.97), xycoords="axes fraction", va="top", fontsize=9, color=INK, bbox=_PAPER, zorder=4
        )
    shown = np.flatnonzero(known + strangers)
    axes.set_xlim(edges[max(0, shown[0] - 1)] - 0.05, min(1.0, edges[min(len(edges) - 1, shown[-1] + 2)]))
    axes.set_ylim(0, top)
    axes.set_xlabel("best score (cosine)", color=INK)
    axes.set_ylabel("share of frames", color=INK)
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.82), labelcolor=INK)
    _save(figure, out)


def draw_variants(report: Report, measured: Report, name: str, out: Path) -> None:
    """Time for a frame against episode accuracy, a point for each variant and number of threads."""
    machine = measured["machine"]
    figure, axes = _axes(
        f"{name}: time against accuracy",
        f"one frame of the network's size, medians in turns; {machine['processor']}, onnxruntime "
        f"{machine['onnxruntime']}; bars: 95 % interval",
    )
    colors = dict(zip(report["variants"], (ACCENT, KNOWN, STRANGER), strict=False))
    lows: list[float] = []
    highs: list[float] = []
    for variant, color in colors.items():
        accuracy = accuracy_of(report, variant)
        value, margin = 100 * accuracy["accuracy"], 100 * (accuracy["ci95"] or 0)
        own = [entry for entry in measured["latency"] if entry["variant"] == variant]
        if not own:  # of a GPU, which was not there
            continue
        times = [entry["median_ms"] for entry in own]
        axes.errorbar(
            times, [value] * len(own), margin, color=color, marker="o", markersize=8, linewidth=1.6, capsize=4,
            linestyle="none", label=f"{variant}: {value:.1f} % ± {margin:.1f}",
        )  # fmt: skip
        above = not lows  # the first variant's labels; the others' go below
        for entry in own:
            axes.annotate(
                f"{entry['median_ms']:.1f} ms\n{_runs_on(entry)}",
                (entry["median_ms"], value + margin if above else value - margin), (0, 7 if above else -7),
                textcoords="offset points", ha="center", va="bottom" if above else "top", color=color, fontsize=9.5,
                linespacing=1.25, bbox=_PAPER,
            )  # fmt: skip
        lows.append(value - margin)
        highs.append(value + margin)
    room = max(0.5, max(highs) - min(lows))
    axes.set_ylim(min(lows) - 0.8 * room, max(highs) + 1.1 * room)
    axes.set_xlim(0, 1.15 * max(entry["median_ms"] for entry in measured["latency"]))
    axes.set_xlabel("milliseconds for a frame", color=INK)
    axes.set_ylabel("right answers in %", color=INK)
    axes.legend(frameon=False, loc="upper left", labelcolor=INK)
    _save(figure, out)


def _runs_on(entry: Mapping[str, Any]) -> str:
    threads = entry["threads"]
    return "GPU" if entry["provider"] == "cuda" else f"{threads} thread{'s' * (threads > 1)}"


def accuracy_of(report: Report, variant: str) -> Mapping[str, Any]:
    """The episode accuracy of a variant, as the report has it."""
    found: Mapping[str, Any] = report["variants"][variant].get("episodes", report["episodes"])["bundle"]
    return found


def _thresholds(manifest: Manifest, way: int) -> Sequence[OperatingPoint]:
    """The promised thresholds for a gallery of so many classes with one example each, at most three rates."""
    rates = sorted({point.false_accept_rate for point in manifest.operating_points})[:3]
    points = [bundle_point(manifest.operating_points, way, (1, 1), rate) for rate in rates]
    return [point for point in points if point is not None]


def _axes(title: str, subtitle: str) -> tuple[Any, Any]:
    figure, axes = plt.subplots(figsize=SIZE, dpi=140, facecolor="white")
    figure.subplots_adjust(left=0.1, right=0.97, bottom=0.13, top=0.82)
    figure.text(0.03, 0.93, title, size=14, weight="bold", color=INK)
    figure.text(0.03, 0.875, subtitle, size=8.8, color=MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    return figure, axes


def _save(figure: Any, out: Path) -> None:
    figure.savefig(out, metadata={"Software": "EdgeFew"})
    plt.close(figure)
