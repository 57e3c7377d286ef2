"""At the bedside: a monitor learns one patient's beats from five examples of each kind, and is asked about later ones.

    python examples/medical/bedside.py ECG_MITBIH12.zip [--episodes 150] [--seed 0] [--evidence FOLDER]
    python examples/medical/bedside.py --made

Two folds: a bundle is trained on nine patients and taught each of three others. Enrolled are the patient's first five
premature ventricular contractions (PVC) and first five other beats; asked are only windows that begin after the last
of these ended. Beside it, on the same ten examples: the nearest mean of the raw beats, and ridge regression on random
convolutions, our own small form of ROCKET (Dempster, Petitjean and Webb 2020). Then the electrode is moved: the asked
windows are scaled, or get baseline wander or noise. `record.py` keeps what a ward would: the lock, the drift watch, the
evidence. Prints one JSON object; intervals are Wilson's, 95 %.
No medical device: a demonstration on a public data set.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import numpy as np
from edgefew_runtime import Classifier
from edgefew_runtime.evidence import wilson

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.heart_beats import FOLDS, SECONDS, lay_out
from examples.medical import made
from examples.medical.record import WATCHED, kept

SHOTS, WINDOW, KERNELS = 5, 256, 1000
Array = np.ndarray[Any, Any]


def patient(archive: Path, name: str, shots: int = SHOTS) -> tuple[list[Array], list[Array], Array, Array]:
    """The first PVC, the first other beats, and the windows [n, 256] after all of these, with whether each is PVC."""
    with zipfile.ZipFile(archive) as opened:
        (member,) = [n for n in opened.namelist() if n.endswith(f"{name}.csv")]
        with opened.open(member) as file:
            beats = sorted(csv.DictReader(io.TextIOWrapper(file)), key=lambda beat: int(beat["r_sample"]))
    windows = np.array([[float(beat[f"v{i}"]) for i in range(WINDOW)] for beat in beats], np.float32)
    is_pvc = np.array([beat["is_pvc"] == "1" for beat in beats])
    first = [np.flatnonzero(is_pvc == kind)[:shots] for kind in (True, False)]
    peaks = np.array([int(beat["r_sample"]) for beat in beats])
    later = peaks > peaks[np.concatenate(first)].max() + WINDOW
    return list(windows[first[0]]), list(windows[first[1]]), windows[later], is_pvc[later]


def moved(windows: Array, rng: np.random.Generator) -> dict[str, Array]:
    """The windows as they are, and as another place of the electrode might give them."""
    time, spread = np.arange(WINDOW) / 360, windows.std(axis=1, keepdims=True)
    phase = rng.uniform(0, 2 * np.pi, (len(windows), 1))
    return {
        "as it was": windows,
        "half the amplitude": windows / 2,
        "baseline wander": windows + spread * np.sin(2 * np.pi * 0.5 * time + phase),
        "noise": windows + 0.5 * spread * rng.standard_normal(windows.shape),
    }


def normal(windows: Iterable[Array]) -> Array:
    """Each window with mean 0 and deviation 1, as the bundle's graph does it."""
    rows = np.stack(list(windows))
    return np.asarray((rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True))


def nearest_mean(pvc: list[Array], other: list[Array]) -> Callable[[Array], Array]:
    """Whether a window's cosine with the mean PVC is larger than that with the mean of the others."""
    means = np.stack([normal(pvc).mean(axis=0), normal(other).mean(axis=0)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return lambda asked: np.asarray((normal(asked) @ means.T).argmax(axis=1) == 0)


def rocket(pvc: list[Array], other: list[Array], rng: np.random.Generator) -> Callable[[Array], Array]:
    """Random kernels, random dilations; of each the maximum and the share of positive values; ridge regression."""
    kernels = []
    for _ in range(KERNELS):
        length = int(rng.choice([7, 9, 11]))
        weights = rng.standard_normal(length)
        dilation = int(2 ** rng.uniform(0, np.log2((WINDOW - 1) / (length - 1))))
        spaced = np.zeros((length - 1) * dilation + 1)
        spaced[::dilation] = weights - weights.mean()
        kernels.append((np.fft.rfft(spaced, 2 * WINDOW), rng.uniform(-1, 1), len(spaced)))

    def features(windows: Iterable[Array]) -> Array:
        spectrum, columns = np.fft.rfft(normal(windows), 2 * WINDOW), []
        for kernel, bias, length in kernels:
            valid = np.fft.irfft(spectrum * kernel)[:, length - 1 : WINDOW] + bias
            columns += [valid.max(axis=1), (valid > 0).mean(axis=1)]
        return np.stack(columns, axis=1)

    known, target = features([*pvc, *other]), np.repeat([1.0, -1.0], [len(pvc), len(other)])
    mean, spread = known.mean(axis=0), known.std(axis=0) + 1e-9
    scaled = (known - mean) / spread
    dual = np.linalg.solve(scaled @ scaled.T + KERNELS / 10 * np.eye(len(target)), target)
    return lambda asked: np.asarray((features(asked) - mean) / spread @ scaled.T @ dual > 0)


def figures(said: Array, is_pvc: Array) -> dict[str, Any]:
    """Sensitivity and specificity for PVC, each with its interval and counts."""
    told = {}
    for name, side, hit in (("sensitivity", is_pvc, True), ("specificity", ~is_pvc, False)):
        right, of = int((said[side] == hit).sum()), int(side.sum())
        told[name] = {"right": right, "of": of, "ci95": wilson(right, of)}
    return told


def edgefew(*words: object) -> None:
    """Run the command, its messages to standard error."""
    command = [str(Path(sys.executable).with_name("edgefew")), *map(str, words)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def stream(seed: int, name: str) -> np.random.Generator:
    """A patient's own random numbers."""
    return np.random.default_rng([seed, int(name.removeprefix("made"))])


def record(bundle: Path, archive: Path, name: str, place: Path, seed: int) -> dict[str, Any]:
    """What is kept of the patient: more beats enrolled, the later ones watched (see `record.py`)."""
    pvc, other, windows, is_pvc = patient(archive, name, WATCHED)
    later = moved(windows, stream(seed, name))
    further = windows[np.flatnonzero(~is_pvc)[-1]]
    return {"patient": name} | kept(
        bundle, place, name, {"pvc": pvc, "other": other}, later, further, datetime.now(timezone.utc)
    )


def asked(bundle: Path, archive: Path, name: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Of each place of the electrode, how each method tells the patient's later beats."""
    pvc, other, windows, is_pvc = patient(archive, name)
    with Classifier.open(bundle, false_accept_rate=None) as classifier:
        classifier.enroll("pvc", pvc)
        classifier.enroll("other", other)
        ask: dict[str, Callable[[Array], Array]] = {
            "edgefew": lambda windows: np.array([a.label == "pvc" for a in classifier.classify_many(windows)]),
            "raw nearest mean": nearest_mean(pvc, other),
            "random convolutions": rocket(pvc, other, rng),
        }
        rows = []
        for change, changed in moved(windows, rng).items():
            told = {method: figures(answer(changed.astype(np.float32)), is_pvc) for method, answer in ask.items()}
            rows.append({"patient": name, "electrode": change, **told})
    return rows


def fold(
    archive: Path, tested: tuple[str, ...], episodes: int, augment: str, seed: int, filed: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train on the other patients; of each of these, the rows and what is kept."""
    rows, records = [], []
    with tempfile.TemporaryDirectory() as held:
        scratch = Path(held)
        training, _ = lay_out(archive, scratch, tested)
        checkpoint, bundle = scratch / "beats.ckpt", scratch / "beats.edgefew"
        settings: tuple[object, ...] = (
            "--way",
            6,
            "--query",
            4,
            "--episodes",
            episodes,
            "--seconds",
            SECONDS,
            "--seed",
            seed,
        )
        settings += ("--augment", augment)
        edgefew("train", training, "--out", checkpoint, *settings, "--source-pattern", r"-(q\d)-")
        edgefew("export", checkpoint, bundle)
        for name in tested:
            rows += asked(bundle, archive, name, stream(seed, name))
            records.append(record(bundle, archive, name, filed, seed))
            click.echo(f"{name}: asked, and filed", err=True)
    return rows, records


@click.command()
@click.argument("archive", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--made", "is_made", is_flag=True, help="Beats that the program makes, where there are no real ones.")
@click.option("--episodes", default=150, show_default=True, help="Training episodes of each fold.")
@click.option("--augment", default="rough", show_default=True, help="As `edgefew train` takes it.")
@click.option("--seed", default=0, show_default=True)
@click.option("--evidence", type=click.Path(path_type=Path), help="A folder to leave each patient's evidence in.")
def main(archive: Path | None, is_made: bool, episodes: int, augment: str, seed: int, evidence: Path | None) -> None:
    """Train, teach and ask, on the beats in ARCHIVE."""
    if is_made == (archive is not None):
        raise click.UsageError("One of ARCHIVE and --made was expected.")
    with tempfile.TemporaryDirectory() as held:
        if archive is None:
            archive = Path(held) / "made.zip"
            made.beats(archive, seed)
        filed = Path(held) if evidence is None else evidence
        filed.mkdir(parents=True, exist_ok=True)
        folds = (made.PATIENTS[:3], made.PATIENTS[3:6]) if is_made else FOLDS
        with ProcessPoolExecutor(len(folds), mp_context=multiprocessing.get_context("spawn")) as pool:
            told = [pool.submit(fold, archive, tested, episodes, augment, seed, filed) for tested in folds]
            rows, records = ([one for each in told for one in each.result()[part]] for part in (0, 1))
    about = {"made": is_made, "training_episodes": episodes, "augment": augment, "seed": seed, "shots": SHOTS}
    click.echo(json.dumps(about | {"watched": WATCHED, "rows": rows, "records": records}, indent=1))


if __name__ == "__main__":
    main()
