"""The medical example's tables, from the JSON that `bedside.py` and `laboratory.py` gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

METHODS = ("edgefew", "raw nearest mean", "random convolutions")
SIDES = ("sensitivity", "specificity")
MADE = "**Made data**: drawn by the program (made.py). They show that the example runs, and nothing about patients."

Figures = Mapping[str, Any]


def bedside_table(result: Figures) -> str:
    """One patient's later beats, patient by patient, and all of them with the electrode moved; what is kept of each."""
    head = f"sensitivity / specificity | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}"
    lines = [*_origin(result), f"| patient: {head}"]
    for r in (r for r in result["rows"] if r["electrode"] == "as it was"):
        cells = (" / ".join(_interval(r[method][side]) for side in SIDES) for method in METHODS)
        lines.append(f"| {r['patient']} | {' | '.join(cells)} |")
    lines += ["", f"| electrode, all patients: {head}"]
    for change in dict.fromkeys(r["electrode"] for r in result["rows"]):
        rows = [r for r in result["rows"] if r["electrode"] == change]
        cells = (" / ".join(_total(rows, method, side) for side in SIDES) for method in METHODS)
        lines.append(f"| {change} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Five examples of each kind, seed {result['seed']}, {result['training_episodes']} training episodes a fold "
        f"with `--augment {result['augment']}`; intervals are Wilson's, 95 %, over the beats of one patient.",
        "",
        *_watched(result["records"]),
        "",
        *_kept(result["records"]),
        "",
        f"{result['watched']} examples of each kind." + _source(result, "bedside"),
    ]
    return "\n".join(lines)


def laboratory_table(result: Figures) -> str:
    """How much of what is answered is right, the surer answers first."""
    shares = [point["answered"] for point in result["rows"][0]["at"]]
    lines = [
        *_origin(result),
        f"| right, of the surest | {' | '.join(f'{share:.0%}' for share in shares)} |",
        f"|---|{'---|' * len(shares)}",
    ]
    for row in result["rows"]:
        cells = (f"{point['mean']:.1%} ± {point['ci95']:.1%}" for point in row["at"])
        lines.append(f"| {row['model']} | {' | '.join(cells)} |")
    return "\n".join(lines) + (
        f"\n\nTypes: {', '.join(result['types'])}; {result['shots']} examples and up to {result['queries']} queries "
        f"each, of different smears; {result['splits']} splits of the smears, seed {result['seed']}."
        + _source(result, "laboratory")
    )


def _origin(result: Figures) -> list[str]:
    return [MADE, ""] if result["made"] else []


def _source(result: Figures, name: str) -> str:
    """Where the raw figures are; those of made data are in no committed file."""
    if result["made"]:
        return ""
    return f" Raw figures: [medical_{name}.json](../../docs/benchmarks/medical_{name}.json)."


def _watched(records: Iterable[Figures]) -> Iterable[str]:
    """How the drift watch took what became of the electrode."""
    records = list(records)
    yield "| electrode, after the first half | watches that raised an alarm | after so many beats (median) |"
    yield "|---|---|---|"
    first = [record["watch"]["as it was"] for record in records]
    cried = [watch["false_alarm"] for watch in first]
    yield _alarms(f"first half, as it was ({sum(w['before'] for w in first)} beats)", cried)
    for change in records[0]["watch"]:
        watches = [record["watch"][change] for record in records]
        yield _alarms(f"{change} ({sum(w['after'] for w in watches)} beats)", [w["alarm"] for w in watches])


def _alarms(what: str, after: list[int | None]) -> str:
    found = [number for number in after if number is not None]
    return f"| {what} | {len(found)} of {len(after)} | {f'{median(found):g}' if found else '–'} |"


def _kept(records: Iterable[Figures]) -> Iterable[str]:
    """Who enrolled what, what the acceptance test said, and what the lock did."""
    yield (
        "| patient | enrolled by | left out, and still recognised: pvc | other | while locked: answered | "
        "changes refused | with the pass-phrase | the log holds |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for record in records:
        lock, filed = record["lock"], record["evidence"]
        by = ", ".join(f"{e['by']} {e['examples']} {e['label']}" for e in filed["enrolled_by"])
        tests = (f"{t['right']} of {t['judged']}" for t in (filed["acceptance"][label] for label in ("pvc", "other")))
        yield (
            f"| {record['patient']} | {by} | {' | '.join(tests)} | {lock['answered']} | {len(lock['refused'])} of 2 | "
            f"{lock['accepted_with_the_pass_phrase']} added | {'yes' if filed['verified'] else 'NO'} |"
        )


def _interval(one: Figures) -> str:
    low, high = one["ci95"]
    return f"{one['right'] / one['of']:.0%} ({low:.0%} to {high:.0%})"


def _total(rows: Iterable[Figures], method: str, side: str) -> str:
    found = [row[method][side] for row in rows]
    return f"{sum(f['right'] for f in found)} of {sum(f['of'] for f in found)}"
