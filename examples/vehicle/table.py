"""The vehicle example's figures as a table; run, it writes the table of the committed figures into the README."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUNDLES = {"trained": "trained on pictograms", "lite0": "EfficientNet-Lite0", "raw": "raw pixels"}
ROWS = {
    "nearest": "frame: right sign nearest",
    "track_nearest": "track, by consensus: right sign, if all is answered",
    "frame_right": "frame: right and known",
    "frame_wrong": "frame: taken for another sign",
    "track_right": "track, by consensus: right and known",
    "track_wrong": "track, by consensus: taken for another sign",
    "new_before": "new sign before the pack: taken for something",
    "new_nearest": "new sign after the pack, track: right, if all is answered",
    "new_after": "new sign after the pack: right and known",
    "unknown_frames": "unknown sign, frame: taken for something",
    "unknown_tracks": "unknown sign, track: taken for something",
}


def table(result: dict[str, Any]) -> str:
    """The figures for people, as Markdown; the README shows the same text."""
    bundles = result["bundles"]
    lines = [f"| | {' | '.join(BUNDLES[name] for name in bundles)} | tracks |", f"|---|{'---|' * (len(bundles) + 1)}"]
    for key, title in ROWS.items():
        cells = [
            f"{100 * b[key]['mean']:.1f} % ({100 * b[key]['low']:.0f}–{100 * b[key]['high']:.0f})"
            for b in bundles.values()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} | {next(iter(bundles.values()))[key]['tracks']} |")
    training = result["training"]
    said = (
        f"{result['depots']} depots with {result['signs']} signs each, {result['shots']} frames a sign; "
        f"at most {result['promised']:.0%} of strangers' frames promised, on {result['strangers']} of the site; in "
        f"brackets 95 % intervals (Wilson) over tracks; seed {result['seed']}. The trained bundle learned for "
        f"{training['minutes']:g} minutes ({training['steps']} steps on a busy machine)."
    )
    return "\n".join([*lines, "", said])


def filled() -> str:
    """The README with the table of the committed figures in its place."""
    begin, end = "<!-- vehicle:begin -->", "<!-- vehicle:end -->"
    pattern = re.compile(f"{begin}.*?{end}", re.DOTALL)
    figures = json.loads((HERE / "figures.json").read_text(encoding="utf-8"))
    text = f"{begin}\n{table(figures)}\n{end}"
    return pattern.sub(lambda _: text, (HERE / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    (HERE / "README.md").write_text(filled(), encoding="utf-8")
