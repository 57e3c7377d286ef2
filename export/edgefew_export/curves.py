"""The figures that a report's pictures are drawn from: accuracy over shots, best scores of known and of unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import DataError, head

from .episodes import EpisodeSampler
from .evaluation import episode_scores, evaluate
from .proof import EPISODES

SHOTS = (1, 2, 3, 5, 10)
GALLERIES = 200
BINS = 40

Labels = npt.NDArray[np.int64]


def accuracy_over_shots(
    embeddings: head.Embeddings, labels: Labels, sources: Labels | None, way: int, seed: int
) -> list[dict[str, Any]]:
    """Episode accuracy with more and more examples of each class, as far as there are enough."""
    found = []
    for shot in SHOTS:
        try:
            sampler = EpisodeSampler(labels, sources=sources, way=way, shot=shot, query=1, seed=seed, checked=EPISODES)
        except DataError:
            break
        found.append(evaluate(embeddings, sampler, EPISODES).to_dict())
    return found


def score_histograms(
    embeddings: head.Embeddings, labels: Labels, sources: Labels | None, way: int, seed: int
) -> dict[str, Any] | None:
    """How best scores are spread, of frames of enrolled classes and of strangers; None if the classes are too few.

    Galleries of random classes with one example each, asked about themselves and about as many other classes.
    """
    for enrolled in range(min(way, (int(labels.max()) + 1) // 2), 1, -1):
        try:
            sampler = EpisodeSampler(
                labels, sources=sources, way=2 * enrolled, shot=1, query=1, seed=seed, checked=GALLERIES
            )
        except DataError:
            continue
        known, strangers = [], []
        for number in range(GALLERIES):
            episode = sampler.episode(number)
            best = episode_scores(embeddings, episode.support[:enrolled], episode.query).max(axis=1)
            known.append(best[:enrolled])
            strangers.append(best[enrolled:])
        edges = np.linspace(-1, 1, 2 * BINS + 1)
        return {
            "way": enrolled,
            "shot": 1,
            "galleries": GALLERIES,
            "edges": [round(float(edge), 6) for edge in edges],
            "known": np.histogram(np.clip(np.concatenate(known), -1, 1), edges)[0].tolist(),
            "strangers": np.histogram(np.clip(np.concatenate(strangers), -1, 1), edges)[0].tolist(),
        }
    return None
