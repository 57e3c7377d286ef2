"""Writes the tables of figures into the pages, from the JSON that the benchmarks gave. `make docs` runs it.

In a page, a table stands between `<!-- name:begin -->` and `<!-- name:end -->`; its figures are in
`benchmarks/name.json`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from examples.medical.tables import bedside_table, laboratory_table

DOCS = Path(__file__).parent


def device_table(result: Mapping[str, Any]) -> str:
    """The device beside its peers."""
    rows = ["| | EdgeFew | by hand | adaptshot 0.3.0 | PyTorch |", "|---|---|---|---|---|"]
    lite, small, peer = result["lite0-1280"], result["mobilenetv3-576"], result["adaptshot"]
    start = result["start"]

    def row(what: str, ours: str, by_hand: str = "", adaptshot: str = "", pytorch: str = "") -> None:
        rows.append(f"| {what} | {ours} | {by_hand} | {adaptshot} | {pytorch} |")

    for title, network, name in (
        ("MobileNetV3-Small, d = 576", small, "mobilenetv3-576"),
        ("Lite0, d = 1280", lite, "lite0-1280"),
    ):
        classify, enroll = network["classify"], network["enroll_25"]
        is_small = network is small
        row(
            f"**{title}**: one answer over the bare network",
            f"{classify['ratio']:.2f} × ({_signed(classify['added_ms'])} ms)",
            f"{_signed(classify['added_by_product_and_argmax_ms'])} ms",
            f"{peer['ratio']:.2f} × ({_signed(peer['predict']['median_ms'] - peer['bare']['median_ms'])} ms)"
            if is_small
            else "",
        )
        row(
            "one answer",
            f"{classify['classify']['median_ms']:.1f} ms",
            f"{classify['bare']['median_ms']:.1f} ms (network alone)",
            f"{peer['predict']['median_ms']:.1f} ms" if is_small else "",
            "" if is_small else f"{result['pytorch']['classify']['median_ms']:.1f} ms",
        )
        row(
            "25 examples enrolled, durable",
            f"{enroll['enroll']['median_ms']:.0f} ms ({enroll['ratio']:.2f} ×)",
            f"{enroll['bare']['median_ms']:.0f} ms",
            f"{peer['enroll_25_ms']:.0f} ms (in memory)" if is_small else "",
        )
        ours, bare = start[f"edgefew {name}"], start[f"bare {name}"]
        other = start.get(f"adaptshot {name}"), start.get(f"pytorch {name}")
        row(
            "process start to first answer",
            f"{ours['seconds']:.2f} s ({ours['ratio']:.2f} ×)",
            f"{bare['seconds']:.2f} s",
            *(f"{o['seconds']:.2f} s" if o else "" for o in other),
        )
        row(
            "peak memory",
            f"{ours['peak_mb']:.0f} MB ({ours['added_mb']:+.0f})",
            f"{bare['peak_mb']:.0f} MB",
            *(f"{o['peak_mb']:.0f} MB" if o else "" for o in other),
        )
    for key, title in (("100000x512", "100,000 classes × 512"), ("1000000x128", "1,000,000 classes × 128")):
        if f"classes_{key}" not in result:
            continue
        product, gallery = result[f"classes_{key}"], result[f"gallery_{key}"]
        row(
            f"**{title}**: one answer, over one product and argmax",
            f"{product['answer']['median_ms']:.1f} ms ({product['ratio']:.2f} ×)",
            f"{product['bare']['median_ms']:.1f} ms",
        )
        row(
            "gallery ready; memory for it",
            f"{gallery['opened_in_s']:.1f} s; {gallery['rise_mb']:.0f} MB",
            f"{gallery['prototypes_mb']:.0f} MB (the prototypes)",
        )
    machine = result["machine"]
    return "\n".join(rows) + (
        f"\n\n{machine['cpu']}, {machine['cores']} cores shared with others, one thread each except adaptshot, which "
        f"takes all; Python {machine['python']}, onnxruntime {machine['onnxruntime']}, torch {machine['torch']}. "
        f"Medians of {result['rounds']} calls that took turns and of {result['starts']} process starts. Raw figures: "
        "[benchmarks/device.json](benchmarks/device.json)."
    )


def unknown_table(result: Mapping[str, Any]) -> str:
    """Promised and measured."""
    rows = [
        "| measured on | classes × examples | false accepts promised | measured | recognised | "
        "right class in the set (90 % promised) | set size |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in result["rows"]:
        basis, promised = "strangers of the site" if r["on_site"] else "the bundle", f"{r['promised']:.0%}"
        if r["threshold"] is None:
            rows.append(f"| {basis} | {r['way']} × {r['shot']} | {promised} | cannot be promised | | | |")
            continue
        rows.append(
            f"| {basis} | {r['way']} × {r['shot']} | {promised} | {_share(r['false_accepts'])} | {_share(r['recall'])} "
            f"| {_share(r['coverage'])} | {r['set_size']:.1f} |"
        )
    return "\n".join(rows) + (
        f"\n\n{result['galleries']} random galleries a line, seed {result['seed']}; 95 % intervals over galleries for "
        "false accepts, over questions for the rest. Raw figures: [benchmarks/unknown.json](benchmarks/unknown.json)."
    )


def matrix_table(result: Mapping[str, Any]) -> str:
    """Versions of ONNX Runtime beside the newest."""
    rows = [
        "| onnxruntime | Python, numpy | bundles | largest difference of an embedding's component | other answers |",
        "|---|---|---|---|---|",
    ]
    for version in dict.fromkeys(r["version"] for r in result["rows"]):
        lines = [r for r in result["rows"] if r["version"] == version]
        if failed := [f"{r['bundle']}: {r['failure']}" for r in lines if r["failure"]]:
            rows.append(f"| {version} | | ✗ {'; '.join(failed)} | | |")
            continue
        first, furthest = lines[0], max(lines, key=lambda r: r["embeddings"])
        of = f" ({furthest['bundle']})" if furthest["embeddings"] else ""
        rows.append(
            f"| {first['onnxruntime']} | {first['python']}, {first['numpy']} | "
            f"✓ {', '.join(r['bundle'] for r in lines)} | {furthest['embeddings']:.1e}{of} | "
            f"{sum(r['otherwise'] for r in lines)} of {sum(r['answers'] for r in lines)} |"
        )
    return "\n".join(rows) + (
        f"\n\n{result['machine']}; {result['frames']} frames of {result['sizes']} a bundle, of which two of each class "
        f"were enrolled. Allowed: {result['tolerance']:g} (float16: {result['half_tolerance']:g}), and no other "
        "answer. Raw figures: [benchmarks/matrix.json](benchmarks/matrix.json)."
    )


def heart_beats_table(result: Mapping[str, Any]) -> str:
    """New patients' beats told apart, and known from unknown; beside raw samples and MiniRocket."""
    questions = {"kinds": "PVC or not, of another patient", "patients": "whose, at another time"}
    names = {"trained": "trained on the others", "wccn": "and `wccn`", "whiten": "and `whiten`", "raw": "raw samples",
             "rocket": "MiniRocket, nearest mean", "rocket ridge": "MiniRocket, ridge"}  # fmt: skip
    apart = [name for name in names if name != "rocket ridge"]
    rows = [
        f"| asked | patients | examples | {' | '.join(names.values())} |",
        f"|---|---|---|{'---|' * len(names)}",
    ]
    strangers = [
        f"| AUROC, strangers accepted | patients | examples | {' | '.join(names[name] for name in apart)} |",
        f"|---|---|---|{'---|' * len(apart)}",
    ]
    for r in result["rows"]:
        asked, found = " ".join(r["tested"]), r["accuracy"]
        cells = [
            _share(found[name]) + "".join(f" {seed:.1%}" for seed in found[name].get("seeds", ()))
            if name in found
            else "–"
            for name in names
        ]
        rows.append(f"| {questions[r['question']]}, {r['way']}-way | {asked} | {r['shot']} | {' | '.join(cells)} |")
        told = [r["open_set"][name] for name in apart]
        cells = [
            f"{one['auroc']['mean']:.3f} ± {one['auroc']['ci95']:.3f}, {one['false_accepts']['mean']:.0%} ± "
            f"{one['false_accepts']['ci95']:.0%}"
            for one in told
        ]
        what = {"kinds": "1 kind, 1 stranger", "patients": "3 patients, 3 strangers"}[r["question"]]
        strangers.append(f"| {what} | {asked} | {r['shot']} | {' | '.join(cells)} |")
    trainings = f"{result['seeds']} training{'s' * (result['seeds'] > 1)}"
    return "\n".join([*rows, "", *strangers]) + (
        f"\n\n{result['episodes']} episodes a figure, 95 % intervals over them; {trainings} of "
        f"{result['training_episodes']} episodes for each question and its patients, first seed 0. "
        "Strangers accepted: where 90 % of what is enrolled is. By `make heart-beats`. Raw figures: "
        "[benchmarks/heart_beats.json](benchmarks/heart_beats.json)."
    )


def spoken_digits_table(result: Mapping[str, Any]) -> str:
    """Spoken digits of new speakers told apart."""
    shots = [r["shot"] for r in result["ten"]["speech_embedding"]["mean"]]
    head = " | ".join(f"{shot} example{'s' * (shot > 1)}" for shot in shots)
    rows = [f"| asked about | model | {head} |", "|---|---|" + "---|" * len(shots)]
    asked = {
        "ten": "ten digits, nothing fitted",
        "new_words": "five digits, new as the speakers are",
        "known_words": "ten digits of new speakers",
    }
    for key, named in asked.items():
        for model, measured in result[key].items():
            figures = " | ".join(f"{r['accuracy']:.1%} ± {r['ci95']:.1%}" for r in measured["mean"])
            rows.append(f"| {named} | {model} | {figures} |")
    return "\n".join(rows) + (
        f"\n\nAccuracy over {result['episodes']} episodes of each split with its 95 % interval, seed {result['seed']}; "
        "by `python benchmarks/spoken_digits.py FOLDER`. Raw figures: "
        "[benchmarks/spoken_digits.json](benchmarks/spoken_digits.json)."
    )


def training_table(result: Mapping[str, Any]) -> str:
    """What the recipes give, and what else was tried."""
    rows = [
        "| recipe | asked about | accuracy | raw pixels | AUROC | strangers accepted | steps | processor minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in result["runs"]:
        spent = run["processor_seconds"]
        minutes = f"≤ {run['seconds'] / 60:.1f}" if spent is None else f"{spent / 60:.1f}"
        for r in run["rows"]:
            trained, raw = (f"{r[name]['accuracy']:.1%} ± {r[name]['ci95']:.1%}" for name in ("accuracy", "raw"))
            apart = r["accuracy"]["open_set"]
            area, accepted = apart["auroc"], apart["false_accepts"]
            asked = f"{run['test']}, {r['way']}-way {r['shot']}-shot" + (
                ", one alphabet" if run["within_group"] else ""
            )
            rows.append(
                f"| {run['recipe']} {_code(run['options'])} | {asked} | {trained} | {raw} | "
                f"{area['mean']:.3f} ± {area['ci95']:.3f} | {accepted['mean']:.0%} ± {accepted['ci95']:.0%} | "
                f"{run['steps']} | {minutes} |"
            )
    return "\n".join(rows) + (
        f"\n\n{result['machine']}; {result['runs'][0]['rows'][0]['accuracy']['episodes']} test episodes, 95 % "
        "intervals over them, seed 0. AUROC and strangers: classes that are not enrolled, asked about in the same "
        "episodes (5 of them; 1 for Omniglot); accepted where 90 % of what is enrolled is. Raw figures: "
        "[benchmarks/training.json](benchmarks/training.json)."
    )


def training_speed_table(result: Mapping[str, Any]) -> str:
    """Episodes a second beside easyfsl, and where the time of a step goes."""
    ways = list(result["rows"][0]["easyfsl"])
    rows = [
        f"| episodes | images changed | threads | EdgeFew | {' | '.join(f'easyfsl, {way}' for way in ways)} |",
        "|---|---|---|---|" + "---|" * len(ways),
    ]
    for r in result["rows"]:
        theirs = (
            f"{one['per_second']:.1f} (EdgeFew {one['ratio']['mean']:.2f} ± {one['ratio']['ci95']:.2f} ×)"
            for one in r["easyfsl"].values()
        )
        rows.append(
            f"| {r['way']}-way {r['shot']}-shot, {r['query']} queries | {r['augment']} | {r['threads']} | "
            f"{r['ours']['per_second']:.1f} | {' | '.join(theirs)} |"
        )
    rows += ["", "| | threads | a step | outside the network | validation beside it |", "|---|---|---|---|---|"]
    named = [(f"{r['way']}-way {r['shot']}-shot, {r['augment']}", r["threads"], r["ours"]) for r in result["rows"]]
    named += [(f"recipe {r['recipe']}", r["threads"], r) for r in result["recipes"]]
    for name, threads, ours in named:
        rows.append(
            f"| {name} | {threads} | {ours['ms']:.0f} ms | {_share(ours['outside'])} | {ours['validation']:.1%} |"
        )
    machine = result["machine"]
    return "\n".join(rows) + (
        f"\n\nEpisodes a second, Conv-4 on grey images of {result['image_size']} pixels a side, {result['data']}; "
        f"medians over {result['rounds']} blocks of {result['block']} episodes, which took turns; ratios of the same "
        f"round with their 95 % interval over rounds. {machine['cpu']}, {machine['cores']} cores (load "
        f"{machine['load']}), torch {machine['torch']}, easyfsl {machine['easyfsl']}. Raw figures: "
        "[benchmarks/training_speed.json](benchmarks/training_speed.json)."
    )


def easyfsl_accuracy_table(result: Mapping[str, Any]) -> str:
    """What easyfsl's training gives by the same test, and what needs no training."""
    shapes = [f"{r['way']}-way {r['shot']}-shot" for r in result["models"][0]["rows"]]
    rows = [f"| | decides by | {' | '.join(shapes)} |", "|---|---|" + "---|" * len(shapes)]
    for model in result["models"]:
        figures = " | ".join(f"{r['accuracy']:.1%} ± {r['ci95']:.1%}" for r in model["rows"])
        rows.append(f"| {model['model']} | {model['decides']} | {figures} |")
    how = result["training"]
    way, shot, query = how["episode"].values()
    return "\n".join(rows) + (
        f"\n\n{result['episodes']} test episodes, seed {result['seed']}, 95 % intervals over them. easyfsl: "
        f"{how['backbone']}, {how['steps']} episodes ({way}-way {shot}-shot, {query} queries) in "
        f"{how['processor_seconds'] / 60:.1f} processor minutes, {how['training_classes']} classes; "
        f"{result['machine']}, torch {result['torch']}. Raw figures: "
        "[benchmarks/easyfsl_accuracy.json](benchmarks/easyfsl_accuracy.json)."
    )


def blood_cells_table(result: Mapping[str, Any]) -> str:
    """Projections on blood cells, each half of the classes in its turn."""
    names = [", ".join(half["classes"]).replace("_", " ") for half in result["rows"][0]["halves"]]
    rows = [
        "| | A, 1-shot | A, 5-shot | A, AUROC at 1 | B, 1-shot | B, 5-shot | B, AUROC at 1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = []
        for half in row["halves"]:
            cells += [f"{half[shot]['accuracy']:.1%} ± {half[shot]['ci95']:.1%}" for shot in ("1-shot", "5-shot")]
            cells.append(f"{half['1-shot']['open_set']['auroc']['mean']:.3f}")
        rows.append(f"| {row['model']} | {' | '.join(cells)} |")
    return "\n".join(rows) + (
        f"\n\n5-way, asked about A: {names[0]}; B: {names[1]}. {result['episodes']} episodes, seed {result['seed']}. "
        "Raw figures: [benchmarks/blood_cells.json](benchmarks/blood_cells.json)."
    )


def hallucinate_table(result: Mapping[str, Any]) -> str:
    """Generated examples beside the plain mean and beside distribution calibration."""
    rows = [
        "| | shots | plain mean | generated | moved mean | calibrated, regression | regression alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        for part, shots in enumerate(row["parts"]):
            half = f", {'AB'[part]}" if len(row["parts"]) > 1 else ""
            for shot, found in shots["shots"].items():
                gains = [found.get(name) for name in ("generated", "moved", "calibrated", "regression")]
                shown = [
                    "–" if gain is None else f"{_signed(100 * gain['gain'])} ± {100 * gain['gain_ci95']:.2f}"
                    for gain in gains
                ]
                mean = f"{found['mean']['accuracy']:.1%} ± {found['mean']['ci95']:.1%}"
                rows.append(f"| {row['model']}{half} | {shot} | {mean} | {' | '.join(shown)} |")
    told = "; ".join(f"{row['model']}: {row['episodes']} episodes" for row in result["rows"])
    return "\n".join(rows) + (
        f"\n\n5-way, {result['queries']} queries of each class, seed {result['seed']}; {told}. "
        "A is asked about every second class by name, B about the others. Points gained over the plain mean, paired "
        "over the episodes. Raw figures: [benchmarks/hallucinate.json](benchmarks/hallucinate.json)."
    )


def refine_table(result: Mapping[str, Any]) -> str:
    """What unlabelled frames give, by how many examples and unlabelled frames a class has."""
    rows = [
        "| | examples | unlabelled of each class | support alone | gain | gain with 5 distractor classes |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        found = {(r["shot"], r["unlabelled"], r["distractors"]): r for r in row["rows"]}
        for shot, unlabelled in dict.fromkeys(key[:2] for key in found):
            gains = [found.get((shot, unlabelled, distractors)) for distractors in (0, 5)]
            shown = [
                "–" if gain is None else f"{_signed(100 * gain['gain'])} ± {100 * gain['gain_ci95']:.2f}"
                for gain in gains
            ]
            alone = next(gain["without"] for gain in gains if gain is not None)
            mean = f"{alone['accuracy']:.1%} ± {alone['ci95']:.1%}"
            rows.append(f"| {row['model']} | {shot} | {unlabelled} | {mean} | {' | '.join(shown)} |")
    episodes = result["rows"][0]["episodes"]
    return "\n".join(rows) + (
        f"\n\n{result['way']}-way, {result['queries']} queries of each class, {episodes} episodes, seed "
        f"{result['seed']}. Points gained over the support alone on the same queries, paired. A dash: too few classes "
        "have that many frames. Raw figures: [benchmarks/refine.json](benchmarks/refine.json)."
    )


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _signed(value: float) -> str:
    return f"{value:+.2f}"


def _share(value: Mapping[str, float]) -> str:
    return f"{value['mean']:.1%} ± {value['ci95']:.1%}"


TABLES: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "device": ("device.md", device_table),
    "matrix": ("device.md", matrix_table),
    "heart_beats": ("signal.md", heart_beats_table),
    "spoken_digits": ("audio.md", spoken_digits_table),
    "training": ("training-figures.md", training_table),
    "training_speed": ("training-figures.md", training_speed_table),
    "easyfsl_accuracy": ("training-figures.md", easyfsl_accuracy_table),
    "blood_cells": ("training-figures.md", blood_cells_table),
    "unknown": ("unknown.md", unknown_table),
    "hallucinate": ("hallucinate.md", hallucinate_table),
    "refine": ("refine.md", refine_table),
    "medical_laboratory": ("../examples/medical/README.md", laboratory_table),
    "medical_bedside": ("../examples/medical/README.md", bedside_table),
}


def filled(name: str) -> tuple[Path, str]:
    """A page and its text with the table in its place."""
    file, table = TABLES[name]
    page = DOCS / file
    figures = json.loads((DOCS / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    if figures.get("made"):
        raise ValueError(f"{name}.json tells of made data; a page shows real data alone.")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text = f"{begin}\n{table(figures)}\n{end}"
    return page, pattern.sub(lambda _: text, page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for name in TABLES:
        page, text = filled(name)
        page.write_text(text, encoding="utf-8")
