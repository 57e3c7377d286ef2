"""Are heart beats of new patients told apart? Few-shot accuracy beside raw samples, patients kept apart twice.

    python benchmarks/heart_beats.py ECG_MITBIH12.zip [--episodes 300] [--seed 0]

The data (MIT-BIH Arrhythmia Database: Moody and Mark 2001, Goldberger et al. 2000) is one CSV a patient with a beat a
row: premature ventricular contractions (PVC) and others. In each of two folds a backbone is trained on some patients,
where a class is one patient's beats of one type, and asked about three others: PVC or not, from examples of one of
them, about a beat of another. Prints one JSON object; intervals are 95 %, over 600 episodes.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import decisions, embed_folder, summarize, torch_embedder
from edgefew_export.labelled_folder import read_labelled_folder

from edgefew.baseline import raw_signal
from edgefew.training.config import TrainingConfig
from edgefew.training.loop import train

FOLDS = (("106", "119", "200"), ("105", "114", "116"))
"""The patients asked about: the six with many PVC, three at a time."""

BY_PATIENT, BY_QUARTER = r"^(patient\d+)", r"-(q\d)-"
LEAST = 8
SECONDS = 256 / 360
EPISODES = 600
SHOTS = (1, 5)


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


def accuracy(embeddings: np.ndarray[Any, Any], labels: Any, sources: Any, shot: int, seed: int) -> dict[str, Any]:
    """Episode accuracy with its interval."""
    sampler = EpisodeSampler(labels, sources=sources, way=2, shot=shot, query=5, seed=seed)
    result = summarize(decisions(embeddings, sampler, EPISODES), sampler)
    return {"accuracy": round(result.accuracy, 4), "ci95": round(result.ci95 or 0.0, 4)}


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--episodes", default=300, show_default=True, help="Training episodes of each fold.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--lay-out", "folder", type=click.Path(path_type=Path), help="Only write the folders of the first fold here."
)
def main(archive: Path, episodes: int, seed: int, folder: Path | None) -> None:
    """Train and measure both folds on the beats in ARCHIVE."""
    if folder is not None:
        lay_out(archive, folder, FOLDS[0])
        return
    rows = []
    for tested in FOLDS:
        with tempfile.TemporaryDirectory() as scratch:
            training, test = lay_out(archive, Path(scratch), tested)
            out = Path(scratch) / "beats.ckpt"
            settings = {"kind": "signal", "channels": 1, "seconds": SECONDS, "way": 6, "shot": 1, "query": 4}
            config = TrainingConfig(**settings, episodes=episodes, seed=seed, device="cpu")
            trained = train(read_labelled_folder(training, BY_QUARTER), out, config)
            checkpoint = read_checkpoint(out)
            beats = read_labelled_folder(test, BY_PATIENT)
            embedders = [torch_embedder(checkpoint.network(), checkpoint.input), raw_signal]
            (ours, raw), _ = embed_folder(beats, embedders)
            for shot in SHOTS:
                rows.append(
                    {
                        "tested": tested,
                        "shot": shot,
                        "trained": accuracy(ours, beats.labels, beats.sources, shot, seed),
                        "raw": accuracy(raw, beats.labels, beats.sources, shot, seed),
                        "windows": len(beats),
                        "training_classes": trained.classes,
                    }
                )
    click.echo(
        json.dumps(
            {"training_episodes": episodes, "seed": seed, "way": 2, "episodes": EPISODES, "rows": rows}, indent=1
        )
    )


if __name__ == "__main__":
    main()
