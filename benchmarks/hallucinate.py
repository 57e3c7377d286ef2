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
from collections.abc import Callable, Sequence
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


def measured(base: Arrays, novel: Arrays, episodes: int) -> dict[str, Any]:
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
        shots[str(shot)] = _compared(novel[0], sampler, fitted, calibration, episodes)
    return {
        "fitted_on": {"classes": int(base[1].max()) + 1, "examples": len(base[1])},
        "weight": fitted.weight,
        "processor_seconds": round(seconds, 1),
        "shots": shots,
    }


def _compared(
    embeddings: head.Embeddings, sampler: EpisodeSampler, fitted: Hallucination, calibration: Calibration, episodes: int
) -> dict[str, Any]:
    rng = np.random.default_rng(SEED)

    def nearest(rows: head.Embeddings) -> Callable[[head.Embeddings], npt.NDArray[np.int64]]:
        return lambda queries: head.cosine_scores(queries, head.unit(rows)).argmax(axis=1)

    right: dict[str, list[float]] = {name: [] for name in ("mean", "generated", "moved", "calibrated", "regression")}
    for number in range(episodes):
        episode = sampler.episode(number)
        support = embeddings[episode.support]
        prototypes = head.unit(support.mean(axis=1))
        queries = embeddings[episode.query.ravel()]
        features = [calibration.features(rows, rng) for rows in support]
        answers = {
            "mean": nearest(prototypes)(queries),
            "generated": nearest(fitted.complete(prototypes, sampler.shot))(queries),
            "moved": nearest(calibration.moved(prototypes)[0])(queries),
            "calibrated": regression(features, queries),
            "regression": regression(list(support), queries),
        }
        for name, answer in answers.items():
            right[name].append(float((answer.reshape(episode.query.shape) == np.arange(sampler.way)[:, None]).mean()))
    compared = {name: paired(np.array([right["mean"], right[name]]), sampler) for name in right if name != "mean"}
    plain = compared["generated"]["without"]
    return {
        "mean": {key: plain[key] for key in ("accuracy", "ci95")},
        **{
            name: {"accuracy": row["with"]["accuracy"], "gain": row["gain"], "gain_ci95": row["gain_ci95"]}
            for name, row in compared.items()
        },
    }


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
def main(
    source: str,
    base: Path,
    novel: Path | None,
    source_pattern: str | None,
    image_size: int | None,
    exclude: tuple[str, ...],
    episodes: int,
) -> None:
    """Measure on NOVEL what is fitted on BASE; on each half of BASE's classes in its turn if NOVEL is not given."""
    declared = DeclaredInput(size=None if image_size is None else (image_size, image_size))
    opened = open_source(source, declared, None)

    def read(path: Path, excluded: tuple[str, ...]) -> Arrays:
        folder = read_labelled_folder(path, source_pattern, exclude=excluded)
        (embeddings,), kept = embed_folder(folder, [opened.reference])
        return embeddings, folder.labels[kept], None if folder.sources is None else folder.sources[kept]

    first = read(base, ())
    if novel is None:
        parts = [measured(_half(first, side), _half(first, 1 - side), episodes) for side in (0, 1)]
    else:
        parts = [measured(first, read(novel, exclude), episodes)]
    click.echo(json.dumps({"episodes": episodes, "way": WAY, "queries": QUERIES, "seed": SEED, "parts": parts}))


if __name__ == "__main__":
    main()
