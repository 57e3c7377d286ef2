"""Are spoken digits told apart: of speakers with no example, and where nothing was fitted on these digits or speakers?

    python benchmarks/spoken_digits.py FOLDER [--steps 0] [--seed 0]

FOLDER is the Free Spoken Digit Dataset (CC BY-SA 4.0) or a part of it: a folder for each digit, files named
3_george_12.wav. Of each query, no example is of its speaker. Three questions:

- ten: all ten digits, with Google's speech embedding as it comes, beside raw spectra.
- new_words: fitted or trained on five digits of three speakers, and on the pairs of these digits (one recording after
  another): 30 classes. Asked about the other five digits of the other three speakers; both ways round.
- known_words: projections fitted on ten digits of three speakers, asked about the other three; both ways round.

Prints one JSON object; intervals are 95 %, over 600 episodes of each split.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import decisions, embed_folder, summarize, torch_embedder
from edgefew_export.labelled_folder import LabelledFolder, read_labelled_folder
from edgefew_export.projection import KINDS, fit_projection
from edgefew_export.sources import DeclaredInput, open_source
from edgefew_runtime import head

from edgefew.baseline import raw_sound
from edgefew.training.config import TrainingConfig
from edgefew.training.loop import train

SPEAKER = r"^[\d-]+_(?P<source>[a-z]+)_"
DIGITS = (range(5), range(5, 10))
SPEAKERS = (range(3), range(3, 6))
TAKES = 6
EPISODES, QUERY = 600, 5
SHOTS = (1, 3, 5)
Rows = list[dict[str, float]]


def lay_out(whole: LabelledFolder, out: Path, digits: range, speakers: range, seed: int) -> LabelledFolder:
    """A class for each of the digits and for each ordered pair of them, `TAKES` files a speaker, as a folder."""
    rng = np.random.default_rng(seed)
    for words in [(digit,) for digit in digits] + list(itertools.product(digits, digits)):
        name = "-".join(map(str, words))
        (out / name).mkdir(parents=True)
        for speaker, take in itertools.product(speakers, range(TAKES)):
            chosen = [rng.choice(rows_of(whole, [word], [speaker])) for word in words]
            parts = [soundfile.read(whole.root / whole.files[row]) for row in chosen]
            named = Path(whole.files[chosen[0]]).name.split("_")[1]
            samples = np.concatenate([samples for samples, _ in parts])
            soundfile.write(out / name / f"{name}_{named}_{take}.wav", samples, parts[0][1])
    return read_labelled_folder(out, SPEAKER)


def rows_of(whole: LabelledFolder, digits: Iterable[int], speakers: Iterable[int]) -> np.ndarray[Any, Any]:
    """Which recordings are of these digits and speakers."""
    digit = np.array([int(name) for name in whole.classes])[whole.labels]
    return np.flatnonzero(np.isin(digit, list(digits)) & np.isin(whole.sources, list(speakers)))


def part(whole: LabelledFolder, rows: np.ndarray[Any, Any]) -> LabelledFolder:
    """The folder with these recordings alone."""
    names, labels = np.unique(whole.labels[rows], return_inverse=True)
    assert whole.sources is not None
    return replace(
        whole,
        files=tuple(whole.files[row] for row in rows),
        classes=tuple(whole.classes[name] for name in names),
        labels=labels,
        sources=whole.sources[rows],
    )


def accuracies(embeddings: head.Embeddings, folder: LabelledFolder, seed: int) -> Rows:
    """Episode accuracy of all the classes for each number of examples, with its interval."""
    rows = []
    for shot in SHOTS:
        way = len(folder.classes)
        sampler = EpisodeSampler(folder.labels, sources=folder.sources, way=way, shot=shot, query=QUERY, seed=seed)
        result = summarize(decisions(embeddings, sampler, EPISODES), sampler)
        rows.append({"shot": shot, "accuracy": round(result.accuracy, 4), "ci95": round(result.ci95 or 0.0, 4)})
    return rows


def mean(splits: Sequence[Mapping[str, Rows]]) -> dict[str, dict[str, Any]]:
    """Over the splits the mean of each model's accuracies, the interval of that mean, and each split's own."""
    told = {}
    for name in splits[0]:
        own = [split[name] for split in splits]
        rows = []
        for at, shot in enumerate(SHOTS):
            values, widths = ([rows[at][key] for rows in own] for key in ("accuracy", "ci95"))
            ci95 = float(np.sqrt(np.square(widths).sum()) / len(widths))
            rows.append({"shot": shot, "accuracy": round(float(np.mean(values)), 4), "ci95": round(ci95, 4)})
        told[name] = {"mean": rows, "splits": own}
    return told


def speech(folder: LabelledFolder) -> head.Embeddings:
    """The published network's embeddings."""
    source = open_source("speech_embedding", DeclaredInput())
    return embed_folder(folder, [source.reference], load=source.input.load)[0][0]


def projected(embeddings: head.Embeddings, labels: Any, asked: head.Embeddings) -> dict[str, head.Embeddings]:
    """What is asked about, as it is and after each projection fitted on the embeddings."""
    fitted = {kind: fit_projection(kind, embeddings, labels, None) for kind in KINDS}
    made = {f"speech_embedding, {kind}": projection.apply(asked) for kind, projection in fitted.items()}
    return {"speech_embedding": asked, **made}


def trained(training: LabelledFolder, config: TrainingConfig, test: LabelledFolder) -> head.Embeddings:
    """The test's embeddings by a network trained here."""
    out = training.root.parent / f"{config.backbone}.ckpt"
    train(training, out, config)
    checkpoint = read_checkpoint(out)
    embed = torch_embedder(checkpoint.network(), checkpoint.input)
    return embed_folder(test, [embed], load=checkpoint.input.load)[0][0]


def new_words(
    whole: LabelledFolder, plain: head.Embeddings, digits: range, speakers: range, steps: int, seed: int
) -> dict[str, Rows]:
    """The other digits of the other speakers, with what these teach."""
    asked = rows_of(whole, set(range(10)) - set(digits), set(range(6)) - set(speakers))
    test = part(whole, asked)
    with tempfile.TemporaryDirectory() as scratch:
        training = lay_out(whole, Path(scratch) / "training", digits, speakers, seed)
        ways = {"raw spectra": embed_folder(test, [raw_sound])[0][0]}
        ways |= projected(speech(training), training.labels, plain[asked])
        if steps:
            settings: dict[str, Any] = {"kind": "audio", "way": 12, "query": 2, "episodes": steps, "seed": seed}
            settings |= {"source_pattern": SPEAKER, "device": "cpu", "seconds": 1.6}
            own = TrainingConfig(backbone="melnet", **settings)
            more = TrainingConfig(backbone="speech_embedding", pretrained=True, learning_rate=1e-4, **settings)
            ways["melnet, trained"] = trained(training, own, test)
            ways["speech_embedding, trained on"] = trained(training, more, test)
    return {name: accuracies(embeddings, test, seed) for name, embeddings in ways.items()}


def known_words(whole: LabelledFolder, embeddings: head.Embeddings, speakers: range, seed: int) -> dict[str, Rows]:
    """Ten digits of the other speakers, with projections fitted on these."""
    rows = rows_of(whole, range(10), speakers)
    others = np.setdiff1d(np.arange(len(whole)), rows)
    ways = projected(embeddings[rows], whole.labels[rows], embeddings[others])
    return {name: accuracies(made, part(whole, others), seed) for name, made in ways.items()}


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--steps", default=0, show_default=True, help="Also train networks, for so many episodes each.")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, steps: int, seed: int) -> None:
    """Measure on the digits in DATA."""
    whole = read_labelled_folder(data, SPEAKER)
    plain = speech(whole)
    ten = {"raw spectra": embed_folder(whole, [raw_sound])[0][0], "speech_embedding": plain}
    splits = list(zip(DIGITS, SPEAKERS, strict=True))
    told = {
        "recordings": len(whole),
        "seed": seed,
        "steps": steps,
        "episodes": EPISODES,
        "query": QUERY,
        "ten": {name: {"mean": accuracies(embeddings, whole, seed)} for name, embeddings in ten.items()},
        "new_words": mean([new_words(whole, plain, digits, speakers, steps, seed) for digits, speakers in splits]),
        "known_words": mean([known_words(whole, plain, speakers, seed) for speakers in SPEAKERS]),
    }
    click.echo(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
