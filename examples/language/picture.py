"""The language example as a picture: phrases across languages, and requests that are of no intent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BLUE, GREY, ORANGE = "#0b57d0", "#9aa5b1", "#b25000"


def draw(result: dict[str, Any], file: Path) -> None:
    """Write the picture as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = {name: row for name, row in result["phrases"].items() if name != "all"}
    names = sorted(rows, key=lambda name: rows[name]["nearest"]["mean"])
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.2), width_ratios=(3, 2), layout="constrained")
    left, right = axes
    places = range(len(names))
    nearest = [100 * rows[name]["nearest"]["mean"] for name in names]
    known = [100 * rows[name]["right"]["mean"] for name in names]
    left.barh(places, nearest, color=GREY, height=0.75, label="right phrase nearest")
    left.barh(places, known, color=BLUE, height=0.45, label="right and known")
    left.set_yticks(places, names)
    left.set_xlim(0, 100)
    left.set_xlabel("of 24 sentences, %")
    left.set_title(
        "12 phrases, each taught by three English sentences,\nasked in other languages", loc="left", fontsize=11
    )
    left.legend(loc="lower left", frameon=False, ncols=2, bbox_to_anchor=(0, -0.22))
    if "out_of_scope" in result:
        scope = result["out_of_scope"]
        bars = [
            ("right and known", "right", BLUE),
            ("taken for another intent", "wrong", GREY),
            ("no intent at all,\ntaken for one", "accepted", ORANGE),
        ]
        row = scope["site"]
        for place, (_, key, colour) in enumerate(bars):
            value = row[key]
            spread = [[100 * (value["mean"] - value["low"])], [100 * (value["high"] - value["mean"])]]
            right.bar(place, 100 * value["mean"], color=colour, width=0.6, yerr=spread, capsize=4)
            right.text(place, 100 * value["high"] + 2, f"{value['mean']:.0%}", ha="center")
        right.axhline(100 * result["rate"], color=ORANGE, linestyle=":", linewidth=1)
        right.set_xticks(range(len(bars)), [title for title, _, _ in bars], fontsize=9)
        right.set_ylim(0, 100)
        right.set_ylabel("%")
        right.set_title(
            f"{scope['classes']} intents, {scope['shots']} sentences each; threshold for at\n"
            f"most {result['rate']:.0%} of strangers (dotted), measured on site",
            loc="left",
            fontsize=11,
        )
    else:
        right.axis("off")
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)
    plt.close(figure)
