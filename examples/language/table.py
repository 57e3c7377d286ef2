"""The language example's figures as tables; run, it writes those of the committed figures into the README."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def table(result: dict[str, Any]) -> str:
    """The figures for people, as Markdown; the README shows the same text."""
    parts = []
    if "intents" in result:
        lines = ["| English intents, not calibrated on | encoder | words alone |", "|---|---|---|"]
        for row in result["intents"]:
            cells = (f"{row[who]['accuracy']:.1%} ± {row[who]['ci95']:.1%}" for who in ("encoder", "words"))
            lines.append(f"| {row['way']}-way {row['shot']}-shot | {' | '.join(cells)} |")
        scope = result["out_of_scope"]
        lines += ["", f"| {scope['classes']} intents enrolled, {scope['shots']} sentences each | right and known | "]
        lines[-1] += "taken for another intent | requests of no intent, taken for one |"
        lines += ["|---|---|---|---|"]
        for who, name in (("bundle", "promised by the bundle"), ("site", "measured on {} requests of no intent")):
            row = scope[who]
            title = f"{name.format(row['strangers'])}, {result['rate']:.0%}"
            if row["threshold"] is None:
                lines.append(f"| {title} | not enough to promise it: all is unknown | | |")
                continue
            lines.append(f"| {title} | {' | '.join(share(row[key]) for key in ('right', 'wrong', 'accepted'))} |")
        parts.append("\n".join(lines))
    heads = ["12 phrases, taught in English", "nearest is right", "right and known"]
    heads += ["sentences of no phrase, taken for one", "suspected to be in no known language"]
    lines = [f"| {' | '.join(heads)} |"]
    lines.append("|---|---|---|---|---|")
    languages = result["languages"]
    for name, row in result["phrases"].items():
        suspected = languages["known_all"] if name == "all" else languages["known"][name]
        cells = (row["nearest"], row["right"], row["strangers_accepted"], suspected)
        lines.append(f"| {'**all**' if name == 'all' else name} | {' | '.join(map(share, cells))} |")
    for name, row in languages["others"].items():
        lines.append(f"| {name}, not known to the encoder | | | | {share(row)} |")
    parts.append("\n".join(lines))
    parts.append(
        f"In brackets 95 % intervals (Wilson) over sentences; after ± over 600 episodes; seed {result['seed']}."
    )
    return "\n\n".join(parts)


def share(row: dict[str, Any]) -> str:
    """A share with its interval."""
    return f"{row['mean']:.0%} ({row['low']:.0%}–{row['high']:.0%})"


def filled() -> str:
    """The README with the tables of the committed figures in their place."""
    begin, end = "<!-- language:begin -->", "<!-- language:end -->"
    pattern = re.compile(f"{begin}.*?{end}", re.DOTALL)
    figures = json.loads((HERE / "figures.json").read_text(encoding="utf-8"))
    text = f"{begin}\n{table(figures)}\n{end}"
    return pattern.sub(lambda _: text, (HERE / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    (HERE / "README.md").write_text(filled(), encoding="utf-8")
