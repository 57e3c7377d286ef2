"""Are spoken digits of new speakers told apart, of digits that nothing was trained on? Speakers and digits kept apart.

    python benchmarks/spoken_digits.py FOLDER [--minutes 4] [--seed 0]

FOLDER is the Free Spoken Digit Dataset (CC BY-SA 4.0) or a part of it: a folder for each digit, files named
3_george_12.wav. First, all ten digits with Google's speech embedding as it comes, beside raw spectra. Then two folds:
five digits to fit on and the other five asked about. Fitted on, or trained on, are the five digits and their pairs, one
recording after another of the same speaker: 30 classes. Of each query, no example is of its speaker. Prints one JSON
object; intervals are 95 %, over 600 episodes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import decisions, embed_folder, summarize, torch_embedder
from edgefew_export.labelled_folder import LabelledFolder, read_labelled_folder
from edgefew_export.projection import fit_projection
from edgefew_export.sources import DeclaredInput, open_source
from edgefew_runtime import head

from edgefew.baseline import raw_sound
from edgefew.training.config import TrainingConfig
from edgefew.training.loop import train

SPEAKER = r"^[\d-]+_(?P<source>[a-z]+)_"
FOLDS = (range(5), range(5, 10))
TAKES = 6
EPISODES, QUERY = 600, 5
SHOTS = (1, 3, 5)
Embedder = Callable[[LabelledFolder], head.Embeddings]


def lay_out(data: Path, out: Path, digits: range, seed: int) -> Path:
    """A folder with a class for each of the digits and for each ordered pair of them, `TAKES` files a speaker."""
    rng = np.random.default_rng(seed)
    takes: dict[tuple[int, str], list[Path]] = {}
    for digit in digits:
        for file in sorted((data / str(digit)).glob("*.wav")):
            takes.setdefault((digit, file.name.split("_")[1]), []).append(file)
    speakers = sorted({speaker for _, speaker in takes})
    for words in [(digit,) for digit in digits] + [(a, b) for a in digits for b in digits]:
        name = "-".join(map(str, words))
        (out / name).mkdir(parents=True)
        for speaker in speakers:
            for take in range(TAKES):
                parts = [
                    soundfile.read(takes[word, speaker][rng.integers(len(takes[word, speaker]))]) for word in words
                ]
                samples = np.concatenate([samples for samples, _ in parts])
                soundfile.write(out / name / f"{name}_{speaker}_{take}.wav", samples, parts[0][1])
    return out


def accuracies(embeddings: head.Embeddings, folder: LabelledFolder, seed: int) -> list[dict[str, Any]]:
    """Episode accuracy for each number of examples, with its interval."""
    rows = []
    for shot in SHOTS:
        way = len(folder.classes)
        sampler = EpisodeSampler(folder.labels, sources=folder.sources, way=way, shot=shot, query=QUERY, seed=seed)
        result = summarize(decisions(embeddings, sampler, EPISODES), sampler)
        rows.append({"shot": shot, "accuracy": round(result.accuracy, 4), "ci95": round(result.ci95 or 0.0, 4)})
    return rows


def speech(folder: LabelledFolder) -> head.Embeddings:
    """The published network's embeddings."""
    source = open_source("speech_embedding", DeclaredInput())
    return embed_folder(folder, [source.reference], load=source.input.load)[0][0]


def trained(training: Path, config: TrainingConfig) -> Embedder:
    """The embeddings of a network trained here."""
    out = training.parent / f"{config.backbone}.ckpt"
    train(read_labelled_folder(training, SPEAKER), out, config)
    checkpoint = read_checkpoint(out)
    embed = torch_embedder(checkpoint.network(), checkpoint.input)
    return lambda folder: embed_folder(folder, [embed], load=checkpoint.input.load)[0][0]


def fold(data: Path, digits: range, minutes: float, seed: int) -> list[dict[str, Any]]:
    """Every way of embedding the other five digits."""
    whole = read_labelled_folder(data, SPEAKER)
    asked = [number for number, name in enumerate(whole.classes) if int(name) not in digits]
    test, _ = whole.select_classes(asked)
    with tempfile.TemporaryDirectory() as scratch:
        training = lay_out(data, Path(scratch) / "training", digits, seed)
        fitting = read_labelled_folder(training, SPEAKER)
        plain, fitted = speech(test), speech(fitting)
        ways = {"raw spectra": embed_folder(test, [raw_sound])[0][0], "speech_embedding": plain}
        for kind, dimension in (("whiten", None), ("lda", None), ("wccn", None)):
            ways[f"speech_embedding, {kind}"] = fit_projection(kind, fitted, fitting.labels, dimension).apply(plain)
        settings: dict[str, Any] = {"kind": "audio", "way": 12, "query": 2, "minutes": minutes, "seed": seed}
        settings |= {"source_pattern": SPEAKER, "device": "cpu", "seconds": 1.6}
        own = TrainingConfig(backbone="melnet", **settings)
        tuned = TrainingConfig(
            backbone="speech_embedding", pretrained=True, learning_rate=2e-4, head="simpleshot", **settings
        )
        ways["melnet, trained"] = trained(training, own)(test)
        ways["speech_embedding, trained on"] = trained(training, tuned)(test)
    return [
        {"model": name, "digits": list(map(int, test.classes)), "shots": accuracies(e, test, seed)}
        for name, e in ways.items()
    ]


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--minutes", default=4.0, show_default=True, help="Of each training.")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, minutes: float, seed: int) -> None:
    """Measure on the digits in DATA."""
    whole = read_labelled_folder(data, SPEAKER)
    plain = speech(whole)
    ten = {
        "raw spectra": accuracies(embed_folder(whole, [raw_sound])[0][0], whole, seed),
        "speech_embedding": accuracies(plain, whole, seed),
    }
    folds = [row for digits in FOLDS for row in fold(data, digits, minutes, seed)]
    told = {"recordings": len(whole), "seed": seed, "minutes": minutes, "episodes": EPISODES, "query": QUERY}
    click.echo(json.dumps({**told, "ten": ten, "folds": folds}, indent=1))


if __name__ == "__main__":
    main()
