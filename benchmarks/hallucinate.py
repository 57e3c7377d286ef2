"""Generated examples: what a generator fitted on base classes gives on classes that nothing was fitted on.

    python benchmarks/hallucinate.py SOURCE BASE NOVEL --source-pattern PATTERN

SOURCE is what `edgefew export` takes. BASE is a labelled folder to fit on, NOVEL one to ask about; without
NOVEL, every second class of BASE is asked about and the others are fitted on, both ways round. Support and
queries are of different sources. Prints one JSON object: 5-way at 1, 2 and 5 shots, over the same episodes, of the
plain mean, of the generator (`edgefew export --hallucinate`), and of distribution calibration without a generator
(Yang, Liu, Xu, Free Lunch for Few-shot Learning, ICLR 2021): the mean moved to those of the nearest base classes, by
itself and with a logistic regression on features drawn around it. Intervals are 95 %, of gains paired.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import embed_folder
from edgefew_export.hallucination import SHOTS, Hallucination, fit_hallucination, paired
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_export.sources import DeclaredInput, open_source
from edgefew_runtime import DataError, head
from torch.nn import functional as F

WAY, QUERIES, SEED = 5, 5, 0
NEAREST = 2
"""Base classes that a mean is moved to: k of Yang et al."""

DRAWN = 100
"""Features drawn around the mean of each class."""

SPREAD = 0.21
"""α of Yang et al., relative here: added to the covariance as this share of its mean variance."""

SCALE = 10.0
"""What unit vectors are multiplied by for the logistic regression."""

Arrays = tuple[head.Embeddings, npt.NDArray[np.int64], npt.NDArray[np.int64] | None]


class Calibration:
    """Distribution calibration: moments of base classes lent to a class of few examples."""

    def __init__(self, embeddings: head.Embeddings, labels: npt.NDArray[np.int64]) -> None:
        rows = [embeddings[labels == name] for name in range(int(labels.max()) + 1)]
        self.means = np.stack([row.mean(axis=0) for row in rows])
        self.centred = [(row - row.mean(axis=0)) / np.sqrt(max(len(row) - 1, 1)) for row in rows]

    def moved(self, prototypes: head.Embeddings) -> tuple[head.Embeddings, npt.NDArray[np.int64]]:
        """The means of equation 6, float32 [c, d], and the nearest base classes, int64 [c, k]."""
        nearest = np.argsort(-(prototypes @ head.unit(self.means).T), axis=1)[:, :NEAREST]
        return (prototypes + self.means[nearest].sum(axis=1)) / (NEAREST + 1), nearest

    def features(self, support: head.Embeddings, rng: np.random.Generator) -> head.Embeddings:
        """Features of one class drawn around each of its examples [s, d]: float32 [s · DRAWN / s, d], and those."""
        means, nearest = self.moved(support)
        drawn, each = [support], DRAWN // len(support)
        for mean, classes in zip(means, nearest, strict=True):
            made = sum(rng.normal(size=(each, len(self.centred[c]))) @ self.centred[c] for c in classes)
            deviation = np.sqrt(SPREAD * np.mean([np.square(self.centred[c]).sum(axis=0).mean() for c in classes]))
            drawn.append(mean + made / np.sqrt(NEAREST) + deviation * rng.normal(size=made.shape))
        return np.concatenate(drawn).astype(np.float32)


def regression(features: Sequence[head.Embeddings], queries: head.Embeddings) -> npt.NDArray[np.int64]:
    """What a logistic regression on each class's features takes the queries for: int64 [q]."""
    rows = torch.from_numpy(SCALE * np.concatenate(features))
    targets = torch.arange(len(features)).repeat_interleave(torch.tensor([len(part) for part in features]))
    weights = torch.zeros(rows.shape[1], len(features), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=30, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(rows @ weights, targets) + weights.square().sum() / 2 / len(rows)
        value.backward()
        return value

    optimizer.step(loss)
    return np.asarray((torch.from_numpy(queries) @ weights.detach()).argmax(dim=1))


def measured(base: Arrays, novel: Arrays, episodes: int, regressed: bool) -> dict[str, Any]:
    """Each method beside the plain mean."""
    started = time.process_time()
    fitted = fit_hallucination(*base, SEED)
    seconds = time.process_time() - started
    calibration = Calibration(base[0], base[1])
    shots = {}
    for shot in SHOTS:
        try:
            sampler = EpisodeSampler(
                novel[1], sources=novel[2], way=WAY, shot=shot, query=QUERIES, seed=SEED, checked=episodes
            )
        except DataError:
            continue
        shots[str(shot)] = _compared(novel[0], sampler, fitted, calibration, episodes, regressed)
    return {
        "fitted_on": {"classes": int(base[1].max()) + 1, "examples": len(base[1])},
        "weight": fitted.weight,
        "processor_seconds": round(seconds, 1),
        "shots": shots,
    }


def _compared(
    embeddings: head.Embeddings,
    sampler: EpisodeSampler,
    fitted: Hallucination,
    calibration: Calibration,
    episodes: int,
    regressed: bool,
) -> dict[str, Any]:
    rng = np.random.default_rng(SEED)
    right: dict[str, list[float]] = {}
    for number in range(episodes):
        episode = sampler.episode(number)
        support = embeddings[episode.support]
        prototypes = head.unit(support.mean(axis=1))
        queries = embeddings[episode.query.ravel()]
        means = {
            "mean": prototypes,
            "generated": fitted.complete(prototypes, sampler.shot),
            "moved": head.unit(calibration.moved(prototypes)[0]),
        }
        answers = {name: head.cosine_scores(queries, rows).argmax(axis=1) for name, rows in means.items()}
        if regressed:
            answers["calibrated"] = regression([calibration.features(rows, rng) for rows in support], queries)
            answers["regression"] = regression(list(support), queries)
        for name, answer in answers.items():
            share = (answer.reshape(episode.query.shape) == np.arange(sampler.way)[:, None]).mean()
            right.setdefault(name, []).append(float(share))
    compared = {name: paired(np.array([right["mean"], right[name]]), sampler) for name in right if name != "mean"}
    plain = compared["generated"]["without"]
    return {
        "mean": {key: plain[key] for key in ("accuracy", "ci95")},
        **{
            name: {"accuracy": row["with"]["accuracy"], "gain": row["gain"], "gain_ci95": row["gain_ci95"]}
            for name, row in compared.items()
        },
    }


def mixed(base: Arrays, novel: Arrays, episodes: int) -> dict[str, Any]:
    """Galleries of three classes with one example, which are completed, and three with five, which are not."""
    fitted = fit_hallucination(*base, SEED)
    embeddings, labels, sources = novel
    sampler = EpisodeSampler(labels, sources=sources, way=6, shot=5, query=2, seed=SEED, checked=episodes)
    right = np.empty((2, episodes))
    for number in range(episodes):
        episode = sampler.episode(number)
        few, many = episode.support[:3, 0], episode.support[3:]
        plain = np.concatenate([embeddings[few], head.unit(embeddings[many].mean(axis=1))])
        completed = np.concatenate([fitted.complete(plain[:3], 1), plain[3:]])
        for side, rows in enumerate((plain, completed)):
            best = head.cosine_scores(embeddings[episode.query.ravel()], rows).argmax(axis=1)
            right[side, number] = (best.reshape(6, -1) == np.arange(6)[:, None]).mean()
    return paired(right, sampler)


def _half(arrays: Arrays, first: int) -> Arrays:
    embeddings, labels, sources = arrays
    chosen = labels % 2 == first
    return (
        np.ascontiguousarray(embeddings[chosen]),
        labels[chosen] // 2,
        None if sources is None else sources[chosen],
    )


@click.command()
@click.argument("source")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("novel", type=click.Path(path_type=Path), required=False)
@click.option("--source-pattern", help="A regular expression that finds the source in a file name.")
@click.option("--image-size", type=int, help="For a source that does not know it.")
@click.option("--exclude", multiple=True, help="Classes of NOVEL to leave out.")
@click.option("--episodes", default=600, show_default=True)
@click.option("--mixed", "unequal", is_flag=True, help="Instead, classes of one example beside classes of five.")
@click.option("--without-regression", is_flag=True, help="Nearest means alone: the regressions take minutes.")
def main(
    source: str,
    base: Path,
    novel: Path | None,
    source_pattern: str | None,
    image_size: int | None,
    exclude: tuple[str, ...],
    episodes: int,
    without_regression: bool,
    unequal: bool,
) -> None:
    """Measure on NOVEL what is fitted on BASE; on each half of BASE's classes in its turn if NOVEL is not given."""
    declared = DeclaredInput(size=None if image_size is None else (image_size, image_size))
    opened = open_source(source, declared, None)

    def read(path: Path, excluded: tuple[str, ...]) -> Arrays:
        folder = read_labelled_folder(path, source_pattern, exclude=excluded)
        (embeddings,), kept = embed_folder(folder, [opened.reference])
        return embeddings, folder.labels[kept], None if folder.sources is None else folder.sources[kept]

    first = read(base, ())
    if unequal:
        asked = _half(first, 1) if novel is None else read(novel, exclude)
        click.echo(json.dumps(mixed(_half(first, 0) if novel is None else first, asked, episodes)))
        return
    if novel is None:
        parts = [
            measured(_half(first, side), _half(first, 1 - side), episodes, not without_regression) for side in (0, 1)
        ]
    else:
        parts = [measured(first, read(novel, exclude), episodes, not without_regression)]
    click.echo(json.dumps({"episodes": episodes, "way": WAY, "queries": QUERIES, "seed": SEED, "parts": parts}))


if __name__ == "__main__":
    main()
