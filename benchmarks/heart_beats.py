"""Are heart beats of new patients told apart? Few-shot accuracy beside raw samples and ROCKET, patients kept apart.

    python benchmarks/heart_beats.py ECG_MITBIH12.zip --rocket-python PYTHON [--episodes 300] [--seeds 1]

The data (MIT-BIH Arrhythmia Database: Moody and Mark 2001, Goldberger et al. 2000) is one CSV a patient with a beat a
row: premature ventricular contractions (PVC) and others. Two questions, each of two folds of patients that training
never saw: is it a PVC, from examples of one patient and about a beat of another; and whose beat is it, from examples of
one time and about another time. A backbone is trained on the other patients, where a class is one patient's beats of
one type. Beside it are the raw samples, and MiniRocket's features (aeon's, in an environment of its own: `make
heart-beats`) with the nearest mean or ridge regression. Prints one JSON object; intervals are 95 %, over 600 episodes.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import BATCH, decisions, torch_embedder
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_export.open_set import episodes_with_strangers
from edgefew_export.projection import fit_projection
from edgefew_runtime import head

from edgefew.baseline import raw_signal
from edgefew.training.config import TrainingConfig
from edgefew.training.loop import train

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.intervals import with_interval

FOLDS = (("106", "119", "200"), ("105", "114", "116"))
"""The patients asked about: the six with many PVC, three at a time."""

BY_PATIENT, BY_QUARTER = r"^(patient\d+)", r"-(q\d)-"
LEAST = 8
SECONDS = 256 / 360
EPISODES = 600
SHOTS = (1, 5)

QUESTIONS = {
    "kinds": FOLDS,
    "patients": (("100", "104", "106", "119", "121", "200"), ("102", "105", "108", "114", "116", "123")),
}
WAYS = {"kinds": (2, 1), "patients": (5, 3)}
"""Of each question, classes in an episode; and with as many strangers beside."""

SETTINGS: dict[str, Any] = {"kind": "signal", "channels": 1, "shot": 1, "query": 4}
TRAINING_WAYS = {"kinds": 6, "patients": 5}
"""Of `edgefew train`; of six patients only five classes are left beside those that are held out."""

PROJECTIONS = ("wccn", "whiten")
"""Of `edgefew export --project`, fitted on the training patients' beats."""

ROCKET = Path(__file__).with_name("heart_beats_rocket.py")

ALPHAS = np.logspace(-3, 3, 10)
"""Strengths of ridge regression to choose from: those of the ROCKET papers."""

Array = np.ndarray[Any, Any]


def lay_out(archive: Path, out: Path, tested: tuple[str, ...]) -> tuple[Path, Path]:
    """The folders to train and to test on: a class for each patient and type of beat, and one for each type.

    A file's name says the patient and the quarter of the record: patient106-q2-0041.npy.
    """
    training, test = out / "training", out / "test"
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(n for n in opened.namelist() if n.endswith(".csv")):
            patient = Path(name).stem
            with opened.open(name) as file:
                beats = sorted(csv.DictReader(io.TextIOWrapper(file)), key=lambda beat: int(beat["r_sample"]))
            for kind in ("other", "pvc"):
                chosen = [beat for beat in beats if (beat["is_pvc"] == "1") == (kind == "pvc")]
                if len(chosen) < LEAST:
                    continue
                folder = test / kind if patient in tested else training / f"{patient}-{kind}"
                folder.mkdir(parents=True, exist_ok=True)
                for number, beat in enumerate(chosen):
                    window = np.array([float(beat[f"v{i}"]) for i in range(256)], np.float32)
                    np.save(folder / f"patient{patient}-q{4 * number // len(chosen)}-{number:04}.npy", window)
    return training, test


@dataclass(frozen=True)
class Asked:
    """Windows of patients that training never saw; n of them.

    Attributes:
        windows: float32 [n, 256].
        labels: int64 [n].
        sources: int64 [n]: support and queries never share one.
    """

    windows: Array
    labels: Array
    sources: Array


def read_asked(test: Path, question: str) -> Asked:
    """What is asked: the kinds across patients, or the patients across the quarters of their records."""
    folder = read_labelled_folder(test, BY_PATIENT)
    windows = np.stack([np.load(folder.root / file) for file in folder.files])
    if question == "kinds":
        assert folder.sources is not None
        return Asked(windows, folder.labels, folder.sources)
    other = np.array([file.startswith("other/") for file in folder.files])
    found = [re.search(r"(patient\d+)-(q\d)-", file) for file in folder.files]
    names = np.array([match.groups() for match in found if match])
    labels, sources = (np.unique(names[other, part], return_inverse=True)[1] for part in (0, 1))
    return Asked(windows[other], labels, sources)


def scaled(windows: Array) -> Array:
    """Each window with mean 0 and deviation 1, as the network and the baselines take it."""
    return np.asarray((windows - windows.mean(axis=1, keepdims=True)) / windows.std(axis=1, keepdims=True))


def ridge(support: Array, labels: Array, query: Array) -> Array:
    """Which class each query is taken for, by ridge regression on ±1, its strength by leaving one out.

    The same as scikit-learn's RidgeClassifierCV(ALPHAS), the classifier of the ROCKET papers.
    """
    mean, count = support.mean(axis=0), len(support)
    rows = (support - mean).astype(np.float64)
    target = np.where(labels[:, None] == np.unique(labels), 1.0, -1.0)
    centre = target.mean(axis=0)
    gram = rows @ rows.T
    tried = []
    for alpha in ALPHAS:
        inverse = np.linalg.inv(gram + alpha * np.eye(count)) - 1 / (alpha * count)  # less the constant: the intercept
        dual = inverse @ (target - centre)
        tried.append((float(np.square(dual / np.diag(inverse)[:, None]).sum()), dual))
    _, dual = min(tried, key=lambda one: one[0])
    return np.asarray(((query - mean) @ rows.T @ dual + centre).argmax(axis=1))


def ridge_decisions(features: Array, sampler: EpisodeSampler) -> Array:
    """As `decisions` gives them for the nearest mean: int64 [episodes, way, query]."""
    labels, rows = np.repeat(np.arange(sampler.way), sampler.shot), []
    for number in range(EPISODES):
        episode = sampler.episode(number)
        said = ridge(features[episode.support.ravel()], labels, features[episode.query.ravel()])
        rows.append(said.reshape(sampler.way, sampler.query))
    return np.stack(rows)


def measure(asked: Asked, question: str, shot: int, found: dict[str, list[Array]], rocket: Array) -> dict[str, Any]:
    """Each method's accuracy; and how known and unknown are told apart with as many strangers as classes.

    Of several trainings (a seed each) the mean, with the interval over episodes, and each one's own.

    Args:
        asked: the windows.
        question: a name of `QUESTIONS`.
        shot: support examples of each class.
        found: of each trained method the unit vectors of the windows, for each seed.
        rocket: MiniRocket's features.
    """
    way, enrolled = WAYS[question]
    sampler, with_strangers = (
        EpisodeSampler(asked.labels, sources=asked.sources, way=ways, shot=shot, query=5, seed=0)
        for ways in (way, 2 * enrolled)
    )

    def told(*answers: Array) -> dict[str, Any]:
        each = [(rows == np.arange(way)[:, None]).mean(axis=(1, 2)) for rows in answers]
        over = with_interval(np.mean(each, axis=0).tolist())
        return over if len(each) == 1 else over | {"seeds": [round(float(right.mean()), 4) for right in each]}

    methods = found | {"raw": [raw_signal(list(asked.windows[..., None]))], "rocket": [head.unit(rocket)]}
    accuracy = {name: told(*(decisions(e, sampler, EPISODES) for e in each)) for name, each in methods.items()}
    if shot > 1:  # to leave one out of one example leaves none
        accuracy["rocket ridge"] = told(ridge_decisions(rocket, sampler))
    apart = {}
    for name, each in methods.items():
        figures = [episodes_with_strangers(e, with_strangers, enrolled, EPISODES) for e in each]
        apart[name] = {
            key: {part: round(float(np.mean([one[key][part] for one in figures])), 4) for part in ("mean", "ci95")}
            for key in ("auroc", "false_accepts")
        }
    return {"shot": shot, "way": way, "accuracy": accuracy, "enrolled": enrolled, "open_set": apart}


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--rocket-python", help="A Python that has aeon installed.")
@click.option("--episodes", default=300, show_default=True, help="Training episodes of each fold.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="Trainings of each fold.")
@click.option("--processes", default=2, show_default=True, type=click.IntRange(1), help="Folds at the same time.")
@click.option(
    "--lay-out", "folder", type=click.Path(path_type=Path), help="Only write the folders of the first fold here."
)
def main(
    archive: Path, rocket_python: str | None, episodes: int, seeds: int, processes: int, folder: Path | None
) -> None:
    """Train and measure all folds on the beats in ARCHIVE."""
    if folder is not None:
        lay_out(archive, folder, FOLDS[0])
        return
    if rocket_python is None:
        raise click.UsageError("--rocket-python was expected: a Python that has aeon. `make heart-beats` makes one.")
    folds = [(question, tested) for question, folds in QUESTIONS.items() for tested in folds]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        told = [pool.submit(fold, archive, *each, rocket_python, episodes, seeds) for each in folds]
        rows = [row for each in told for row in each.result()]
    about = {"training_episodes": episodes, "seeds": seeds, "episodes": EPISODES}
    click.echo(json.dumps(about | {"rows": rows}, indent=1))


def fold(
    archive: Path, question: str, tested: tuple[str, ...], rocket_python: str, episodes: int, seeds: int
) -> list[dict[str, Any]]:
    """Train, embed, and measure one question about these patients."""
    with tempfile.TemporaryDirectory() as held:
        scratch = Path(held)
        training, test = lay_out(archive, scratch / "beats", tested)
        asked = read_asked(test, question)
        trained = embedded(training, asked, TRAINING_WAYS[question], episodes, seeds)
        fitted = np.stack([np.load(file) for file in sorted(training.rglob("*.npy"))])
        np.save(scratch / "fit.npy", scaled(fitted))
        np.save(scratch / "ask.npy", scaled(asked.windows))
        subprocess.run([rocket_python, str(ROCKET), str(scratch)], check=True)
        features = np.load(scratch / "features.npy")
    about = {"question": question, "tested": tested, "windows": len(asked.labels)}
    return [about | measure(asked, question, shot, trained, features) for shot in SHOTS]


def embedded(training: Path, asked: Asked, way: int, episodes: int, seeds: int) -> dict[str, list[Array]]:
    """The unit vectors of what is asked, by a network of each seed: its own, and with each of `PROJECTIONS`."""
    data = read_labelled_folder(training, BY_QUARTER)
    seen = np.stack([np.load(data.root / file) for file in data.files])
    found: dict[str, list[Array]] = {"trained": [], **{name: [] for name in PROJECTIONS}}
    for seed in range(seeds):
        out = training.parent / f"beats{seed}.ckpt"
        config = TrainingConfig(way=way, seconds=SECONDS, episodes=episodes, seed=seed, device="cpu", **SETTINGS)
        train(data, out, config)
        checkpoint = read_checkpoint(out)
        embed = torch_embedder(checkpoint.network(), checkpoint.input)
        fitted, own = (
            np.concatenate([embed(list(windows[at : at + BATCH, :, None])) for at in range(0, len(windows), BATCH)])
            for windows in (seen, asked.windows)
        )
        found["trained"].append(own)
        for name in PROJECTIONS:
            found[name].append(fit_projection(name, fitted, data.labels, None).apply(own))
    return found


if __name__ == "__main__":
    main()
