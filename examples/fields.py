"""The three fields of use in one picture, from their committed figures: `python examples/fields.py [OUT.png]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BLUE, ORANGE, GREY = "#0b57d0", "#d07a1c", "#9aa5b1"


def read(path: str) -> Any:
    """One file of figures."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def draw(file: Path) -> None:
    """Write the picture as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    vehicle(axes[0], read("examples/vehicle/figures.json"))
    medical(axes[1], read("docs/benchmarks/medical_laboratory.json"))
    language(axes[2], read("examples/language/figures.json"))
    for each in axes:
        each.set_ylim(0, 104)
        each.spines[["top", "right"]].set_visible(False)
        each.grid(axis="y", alpha=0.3)
        each.set_axisbelow(True)
    axes[0].set_ylabel("right, %")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def vehicle(axis: Any, figures: Any) -> None:
    """Signs, three frames each, nearest class right."""
    names = {
        "trained": ("trained on\npictograms", BLUE),
        "lite0": ("EfficientNet-\nLite0", ORANGE),
        "raw": ("raw\npixels", GREY),
    }
    for place, (key, (_, colour)) in enumerate(names.items()):
        found = figures["bundles"][key]["track_nearest"]
        mean, low, high = (100 * found[name] for name in ("mean", "low", "high"))
        axis.bar(place, mean, color=colour, width=0.6, yerr=[[mean - low], [high - mean]], capsize=4)
    axis.set_xticks(range(len(names)), [name for name, _ in names.values()])
    axis.set_title("Vehicle: a sign from three frames,\n10 signs, whole tracks (simulated)", loc="left", fontsize=11)


def medical(axis: Any, figures: Any) -> None:
    """Blood cells, right of what is answered."""
    for row, colour in zip(figures["rows"], (GREY, BLUE), strict=True):
        points = [[100 * point[key] for point in row["at"]] for key in ("answered", "mean", "ci95")]
        axis.errorbar(*points, color=colour, marker="o", capsize=3, label=row["model"].replace("`", ""))
    axis.set_xlim(105, 15)
    axis.set_xlabel("answered, the surest first, % (the rest: unsure)")
    axis.set_title("Laboratory: types of blood cells\nfrom five examples each, six types", loc="left", fontsize=11)
    axis.legend(frameon=False, loc="lower right")


def language(axis: Any, figures: Any) -> None:
    """Phrases taught in English, asked in other languages."""
    rows = {name: row["nearest"] for name, row in figures["phrases"].items() if name != "all"}
    for place, found in enumerate(rows.values()):
        mean, low, high = (100 * found[name] for name in ("mean", "low", "high"))
        axis.bar(place, mean, color=BLUE, width=0.7, yerr=[[mean - low], [max(0.0, high - mean)]], capsize=2)
    axis.set_xticks(range(len(rows)), list(rows), rotation=60, ha="right", fontsize=8)
    axis.set_title(
        "Language: 12 phrases from three English\nsentences each, asked in other languages", loc="left", fontsize=11
    )


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures" / "fields.png")
