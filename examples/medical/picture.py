"""The medical example's tables, printed, and its picture: `python examples/medical/picture.py FIGURES OUT.png`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from examples.medical.tables import bedside_table, laboratory_table

BLUE, GREY, ORANGE = "#0b57d0", "#9aa5b1", "#b25000"
COLOURS = {"edgefew": BLUE, "raw nearest mean": GREY, "random convolutions": ORANGE}


def heading(bedside: Mapping[str, Any], laboratory: Mapping[str, Any]) -> str:
    """What must stand over the picture: which of its data are made; nothing where all are real."""
    names = [name for name, told in (("at the bedside", bedside), ("in the laboratory", laboratory)) if told["made"]]
    return f"Made data {' and '.join(names)}: drawn by the program, not measured on patients" if names else ""


def draw(bedside: Mapping[str, Any], laboratory: Mapping[str, Any], file: Path) -> None:
    """Write the picture as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), width_ratios=(3, 2), layout="constrained")
    changes = list(dict.fromkeys(row["electrode"] for row in bedside["rows"]))
    for place, method in enumerate(COLOURS):
        for side, mark in (("sensitivity", "o"), ("specificity", "s")):
            shares = []
            for change in changes:
                found = [row[method][side] for row in bedside["rows"] if row["electrode"] == change]
                shares.append(100 * sum(f["right"] for f in found) / sum(f["of"] for f in found))
            places = [x + 0.22 * (place - 1) + (0.05 if side == "specificity" else -0.05) for x in range(len(changes))]
            left.plot(places, shares, mark, color=COLOURS[method], fillstyle="full" if mark == "o" else "none", ms=8,
                      label=f"{method}: {side}")  # fmt: skip
    left.set_xticks(range(len(changes)), changes)
    left.set_ylim(0, 104)
    left.set_ylabel("%")
    left.set_title(
        "Bedside: a patient's first five PVC and five other beats\nenrolled, the later ones asked, the electrode moved",
        loc="left",
        fontsize=11,
    )
    left.legend(frameon=False, fontsize=8, loc="lower left", ncols=1)
    for row, colour in zip(laboratory["rows"], (GREY, BLUE), strict=False):
        answered = [100 * point["answered"] for point in row["at"]]
        mean = [100 * point["mean"] for point in row["at"]]
        spread = [100 * point["ci95"] for point in row["at"]]
        right.errorbar(answered, mean, spread, color=colour, marker="o", capsize=3, label=row["model"])
    right.set_xlim(105, 15)
    right.set_ylim(0, 104)
    right.set_xlabel("answered, the surest first, % (the rest: unsure)")
    right.set_title(
        "Laboratory: six types of blood cells, five\nexamples each; right, of what is answered, %",
        loc="left",
        fontsize=11,
    )
    right.legend(frameon=False, loc="lower right")
    for each in (left, right):
        each.spines[["top", "right"]].set_visible(False)
        each.grid(axis="y", alpha=0.3)
    if told := heading(bedside, laboratory):
        figure.suptitle(told, color=ORANGE, fontweight="bold")
    figure.savefig(file, dpi=130)
    plt.close(figure)


def main(folder: Path, file: Path) -> None:
    """Print the tables and write the picture."""
    figures = {
        name: json.loads((folder / f"medical_{name}.json").read_text(encoding="utf-8"))
        for name in ("bedside", "laboratory")
    }
    for table, (name, told) in zip((bedside_table, laboratory_table), figures.items(), strict=True):
        print(f"\n{name}\n\n{table(told)}")
    draw(figures["bedside"], figures["laboratory"], file)
    print(f"\n{file}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
