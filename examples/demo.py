"""The whole path, once: train → export → enroll → classify, then a table and two pictures in `demo/`.

Run it with `make demo`. Workstation steps run here; device steps run in `.venv-device`, which has no PyTorch.
"""

from __future__ import annotations

import json
import random
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo_pictures import accuracy_over_shots, contact_sheet

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo"
WORKSTATION = ROOT / ".venv" / "bin" / "edgefew"
DEVICE = ROOT / ".venv-device" / "bin" / "edgefew"
DEVICE_PYTHON = ROOT / ".venv-device" / "bin" / "python"

SOURCE = r"^(?P<source>[a-z]+)\."
TRAIN_MINUTES = "1.5"
EPISODES = "1000"
SETTINGS = ((5, 1), (5, 5), (20, 1))
SUPPORT_FAMILY = "material"
SHOTS = 2
FALSE_ACCEPT_RATE = "0.1"


def main() -> None:
    """Do everything, and write `demo/summary.json`."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    started = time.monotonic()
    step("1. pictograms: six design families draw the same concepts")
    for part in ("train", "test"):
        run(WORKSTATION, "data", "pictograms", f"demo/pictograms/{part}", "--part", part)
    step(f"2. meta-train a Conv-4 for {TRAIN_MINUTES} minutes")
    run(WORKSTATION, "train", "demo/pictograms/train", "--out", "demo/pictograms.ckpt", "--channels", "1",
        "--minutes", TRAIN_MINUTES, "--source-pattern", SOURCE)  # fmt: skip
    step("3. evaluate on concepts that training never saw, support and query by different families")
    summary: dict[str, Any] = {}
    for who, model in (("accuracy", "demo/pictograms.ckpt"), ("raw_pixel", "raw-pixels")):
        for way, shot in SETTINGS:
            summary[f"{who}_{way}way_{shot}shot"] = pick(evaluate(model, way, shot))
    step("4. export a bundle that proves itself")
    run(WORKSTATION, "export", "demo/pictograms.ckpt", "demo/pictograms.edgefew")
    agreement = evaluate("demo/pictograms.edgefew", 5, 1, "--against", "demo/pictograms.ckpt")["agreement"]
    print(f"the bundle and the checkpoint agree on {agreement:.2%} of the decisions")
    step("5. on the device (no PyTorch there): enroll, classify, unknown, forget")
    site = on_device()
    step("6. pictures")
    curve = {shot: evaluate("demo/pictograms.edgefew", 5, shot) for shot in (1, 2, 3, 5)}
    raw_curve = {shot: evaluate("raw-pixels", 5, shot) for shot in curve}
    draw(site, curve, raw_curve)
    summary |= {
        "agreement": agreement,
        "embed_ms": embed_milliseconds(),
        "device_env_mb": folder_megabytes(ROOT / ".venv-device"),
        "seconds": round(time.monotonic() - started, 1),
        "checkpoint": "demo/pictograms.ckpt",
        "bundle": "demo/pictograms.edgefew",
        "gallery": "demo/site.gallery",
        "contact_sheet": "demo/contact-sheet.png",
        "accuracy_over_shots": "demo/accuracy-over-shots.png",
    }
    (DEMO / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"\n{table(summary)}")
    print(f"pictures: {summary['contact_sheet']}, {summary['accuracy_over_shots']}; all figures: demo/summary.json")


def step(title: str) -> None:
    """A headline."""
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)


def run(command: Path, *arguments: str, capture: bool = False) -> str:
    """Run a command from the repository's root; its output, if captured, else shown with the command."""
    if not capture:
        print(f"$ {command.name} {shlex.join(arguments)}", flush=True)
    done = subprocess.run(
        [str(command), *arguments], cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE if capture else None
    )
    if done.returncode:
        sys.exit(f"`{command.name} {' '.join(arguments)}` failed with exit status {done.returncode}")
    return done.stdout or ""


def evaluate(model: str, way: int, shot: int, *more: str) -> dict[str, Any]:
    """One evaluation on the test concepts."""
    output = run(WORKSTATION, "evaluate", model, "demo/pictograms/test", "--way", str(way), "--shot", str(shot),
                 "--episodes", EPISODES, "--source-pattern", SOURCE, "--json", *more, capture=True)  # fmt: skip
    result: dict[str, Any] = json.loads(output)
    if model != "demo/pictograms.edgefew":
        print(f"{model}: {way}-way {shot}-shot {result['accuracy']:.1%} ± {result['ci95']:.1%}", flush=True)
    return result


def pick(result: dict[str, Any]) -> dict[str, Any]:
    """The figures of an evaluation that the summary keeps."""
    return {"accuracy": result["accuracy"], "ci95": result["ci95"], "episodes": result["episodes"]}


def on_device() -> dict[str, Any]:
    """Enroll seven concepts from one family's drawings, ask about other families' and about strangers."""
    concepts, strangers = choose_concepts()
    gallery = ["--gallery", "demo/site.gallery"]
    rate = ["--false-accept-rate", FALSE_ACCEPT_RATE]
    bundle = "demo/pictograms.edgefew"
    run(DEVICE, "verify", bundle)
    for concept in concepts:
        files = [str(file.relative_to(ROOT)) for file in support_drawings(concept)]
        run(DEVICE, "enroll", bundle, concept, *files, *gallery)
    # The doctor, on two good drawings and one of another concept.
    doubtful = [*other_drawings(concepts[0])[:2], other_drawings(concepts[1])[0]]
    named = [str(file.relative_to(ROOT)) for file in doubtful]
    run(DEVICE, "enroll", bundle, concepts[0], *named, *gallery, "--dry-run")
    run(DEVICE, "calibrate", bundle, *gallery)
    queries = [(c, file) for c in concepts for file in other_drawings(c)]
    queries += [(c, other_drawings(c)[0]) for c in strangers]
    files = [str(file.relative_to(ROOT)) for _, file in queries]
    lines = run(DEVICE, "classify", bundle, *files, *gallery, *rate, "--json", capture=True).splitlines()
    answers = [json.loads(line) for line in lines]
    enrolled = [(q, a) for q, a in zip(queries, answers, strict=True) if q[0] in concepts]
    right = sum(a["label"] == c for (c, _), a in enrolled)
    known = sum(a["label"] == c and a["known"] for (c, _), a in enrolled)
    unknown = sum(not a["known"] for (c, _), a in zip(queries, answers, strict=True) if c in strangers)
    print(
        f"{right} of {len(enrolled)} drawings by other families have the right class nearest, "
        f"{known} of them surely enough"
    )
    print(f"{unknown} of {len(strangers)} drawings of concepts that were not enrolled are unknown")
    run(DEVICE, "forget", bundle, concepts[-1], *gallery)
    run(DEVICE, "classify", bundle, files[len(enrolled) - 1], *gallery, *rate)
    run(DEVICE, "undo", bundle, *gallery)
    run(DEVICE, "classes", bundle, *gallery)
    return {
        "support": {c: support_drawings(c) for c in concepts},
        "answers": [(c, file, a) for (c, file), a in zip(queries, answers, strict=True)],
    }


def support_drawings(concept: str) -> list[Path]:
    """What the device is shown of a concept: drawings by one family."""
    return sorted((DEMO / "pictograms" / "test" / concept).glob(f"{SUPPORT_FAMILY}.*.png"))[:SHOTS]


def other_drawings(concept: str) -> list[Path]:
    """One drawing by each other family, at most three."""
    files = sorted((DEMO / "pictograms" / "test" / concept).glob("*.png"))
    first = {file.name.split(".")[0]: file for file in reversed(files)}
    first.pop(SUPPORT_FAMILY, None)
    return [first[family] for family in sorted(first)][:3]


def choose_concepts() -> tuple[list[str], list[str]]:
    """Seven test concepts to enroll and four strangers, of those that four families or more drew; chosen by a seed."""
    folders = [f for f in sorted((DEMO / "pictograms" / "test").iterdir()) if f.is_dir()]
    families = {f.name: {file.name.split(".")[0] for file in f.glob("*.png")} for f in folders}
    wide = [name for name, drawn in families.items() if len(drawn) >= 4 and len(support_drawings(name)) == SHOTS]
    random.Random(0).shuffle(wide)
    return wide[:7], wide[7:11]


def embed_milliseconds() -> float:
    """Median time of one frame through the embed graph, in the device environment, one thread."""
    code = (
        "import time, numpy as np, statistics\n"
        "from edgefew_runtime import Classifier\n"
        "c = Classifier.open('demo/pictograms.edgefew')\n"
        "f = np.zeros((64, 64, 3), np.uint8)\n"
        "t = []\n"
        "for _ in range(200):\n"
        "    s = time.perf_counter(); c.embed([f]); t.append(time.perf_counter() - s)\n"
        "print(1000 * statistics.median(t))\n"
    )
    return round(float(run(DEVICE_PYTHON, "-c", code, capture=True)), 3)


def folder_megabytes(folder: Path) -> float:
    """What a folder weighs on the disk."""
    return round(sum(f.lstat().st_blocks * 512 for f in folder.rglob("*")) / 1e6, 1)


def table(summary: dict[str, Any]) -> str:
    """The figures for people; the README shows the same text."""
    lines = [f"{'':16}{'EdgeFew':>16}{'raw pixels':>16}"]
    for way, shot in SETTINGS:
        results = (summary[f"{who}_{way}way_{shot}shot"] for who in ("accuracy", "raw_pixel"))
        cells = [f"{r['accuracy']:.1%} ± {r['ci95']:.1%}" for r in results]
        lines.append(f"{way:>2}-way {shot}-shot   {cells[0]:>16}{cells[1]:>16}")
    lines += [
        "(accuracy with 95 % interval, on concepts that training never saw, across design families)",
        f"one frame: {summary['embed_ms']} ms on one thread; device environment: {summary['device_env_mb']} MB",
    ]
    return "\n".join(lines)


def draw(site: dict[str, Any], curve: dict[int, dict[str, Any]], raw_curve: dict[int, dict[str, Any]]) -> None:
    """The contact sheet, and accuracy over shots."""
    contact_sheet(site["support"], site["answers"], DEMO / "contact-sheet.png")
    accuracy_over_shots({"EdgeFew bundle": curve, "raw pixels": raw_curve}, DEMO / "accuracy-over-shots.png")
    print("demo/contact-sheet.png, demo/accuracy-over-shots.png")


if __name__ == "__main__":
    main()
