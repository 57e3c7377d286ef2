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

SOUND_BUNDLES = {"wccn": "speech embedding, wccn", "speech": "speech embedding as it comes", "raw": "raw spectra"}
SOUND_ROWS = {
    "nearest": "command, said by others than the driver: right one nearest",
    "right": "… right and known",
    "wrong": "… taken for another command",
    "driver_right": "command, said by the driver again: right and known",
    "right_two": "three takes of a second person too; said by others: right and known",
    "new_word_two": "… and other word, never given: taken for a command",
    "given_word": "other word, given as a stranger by other voices: taken for a command",
    "new_word": "other word, never given, said by others: taken for a command",
    "new_word_driver": "… said by the driver",
    "noise": "wind, hum or clicks: taken for a command",
    "babble": "four people at once: taken for a command",
    "right_looser": "at {looser:.0%} promised: command, said by others: right and known",
    "new_word_looser": "at {looser:.0%} promised: other word, never given: taken for a command",
}


def table(result: dict[str, Any]) -> str:
    """The figures for people, as Markdown; the README shows the same text."""
    bundles = result["bundles"]
    lines = [f"| | {' | '.join(BUNDLES[name] for name in bundles)} | tracks |", f"|---|{'---|' * (len(bundles) + 1)}"]
    for key, title in ROWS.items():
        cells = [cell(b[key]) for b in bundles.values()]
        lines.append(f"| {title} | {' | '.join(cells)} | {next(iter(bundles.values()))[key]['tracks']} |")
    training = result["training"]
    said = (
        f"{result['depots']} depots with {result['signs']} signs each, {result['shots']} frames a sign; "
        f"at most {result['promised']:.0%} of strangers' frames promised, on {result['strangers']} of the site; in "
        f"brackets 95 % intervals (Wilson) over tracks; seed {result['seed']}. The trained bundle learned for "
        f"{training['minutes']:g} minutes ({training['steps']} steps on a busy machine)."
    )
    return "\n".join([*lines, "", said])


def commands_table(result: dict[str, Any]) -> str:
    """The figures of the spoken commands for people, as Markdown; the README shows the same text."""
    bundles = result["bundles"]
    lines = [f"| | {' | '.join(SOUND_BUNDLES[name] for name in bundles)} |", f"|---|{'---|' * len(bundles)}"]
    for key, title in SOUND_ROWS.items():
        cells = [cell(b[key]) for b in bundles.values()]
        lines.append(f"| {title.format(**result)} | {' | '.join(cells)} |")
    said = (
        f"{result['recordings']:,} recordings: {result['words']} words by {result['speakers']} speakers, each in turn "
        f"the driver; {result['commands']} commands, {result['shots']} takes each; at most {result['promised']:.0%} of "
        f"strangers promised (last two rows {result['looser']:.0%}), on takes of {result['strangers']} other words; in "
        f"brackets 95 % intervals (Student's t) over drivers; seed {result['seed']}."
    )
    return "\n".join([*lines, "", said])


def cell(figures: dict[str, float]) -> str:
    """A mean and its interval, in per cent."""
    return f"{100 * figures['mean']:.1f} % ({100 * figures['low']:.0f}–{100 * figures['high']:.0f})"


def filled() -> str:
    """The README with the tables of the committed figures in their places."""
    figures = json.loads((HERE / "figures.json").read_text(encoding="utf-8"))
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name, lines in (("vehicle", table(figures)), ("commands", commands_table(figures["commands"]))):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        written = f"{begin}\n{lines}\n{end}"
        text = re.sub(f"{begin}.*?{end}", lambda _, written=written: written, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    (HERE / "README.md").write_text(filled(), encoding="utf-8")
