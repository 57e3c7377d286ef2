"""What unlabelled embeddings give over episodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import head
from edgefew_runtime.episode_accuracy import Evaluation
from edgefew_runtime.refinement import Refinement

from .episodes import EpisodeSampler


@dataclass(frozen=True)
class RefinedEvaluation:
    """Accuracy without and with unlabelled frames, over the same queries.

    Attributes:
        without: the nearest prototype of the support alone.
        refined: the nearest refined prototype.
        gain: mean difference of the two over episodes, -1 to 1.
        gain_ci95: half the width of its paired 95 % interval; None for a single episode.
        unlabelled: unlabelled frames of each class in an episode.
        distractors: further classes in an episode that give unlabelled frames alone.
        scale: what cosines were multiplied by (`Refinement.scale`).
    """

    without: Evaluation
    refined: Evaluation
    gain: float
    gain_ci95: float | None
    unlabelled: int
    distractors: int
    scale: float

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew evaluate --unlabelled N --json` prints it."""
        return asdict(self)


def evaluate_refinement(
    embeddings: head.Embeddings,
    sampler: EpisodeSampler,
    episodes: int,
    *,
    unlabelled: int,
    distractors: int,
    refinement: Refinement = Refinement(),  # noqa: B008
) -> RefinedEvaluation:
    """Accuracy without and with unlabelled frames, which are never among the queries.

    Args:
        embeddings: float32 [n, d], unit vectors.
        sampler: of episodes with `distractors` more ways and `unlabelled` more queries than are asked: the last
            classes are the distractors, the last queries of every class are its unlabelled frames.
        episodes: how many.
        unlabelled: of each class, distractors too; at least 1.
        distractors: classes that are not among the answers.
        refinement: how they are assigned.
    """
    way, query = sampler.way - distractors, sampler.query - unlabelled
    rows = np.empty((2, episodes, way, query), np.int64)
    for number in range(episodes):
        episode = sampler.episode(number)
        support = embeddings[episode.support[:way]]
        sums = support.sum(axis=1)
        counts = np.full(way, sampler.shot, np.float32)
        refined, _ = refinement.refine(embeddings[episode.query[:, query:].ravel()], sums, counts)
        queries = embeddings[episode.query[:way, :query].ravel()]
        for side, prototypes in enumerate((sums, refined)):
            scores = head.cosine_scores(queries, head.unit(prototypes))
            rows[side, number] = scores.argmax(axis=1).reshape(way, query)
    right = (rows == np.arange(way)[:, None]).mean(axis=(2, 3))
    gains = right[1] - right[0]
    without, refined_accuracy = (
        Evaluation(float(side.mean()), _ci95(side), way, sampler.shot, query, episodes, sampler.seed) for side in right
    )
    return RefinedEvaluation(
        without, refined_accuracy, float(gains.mean()), _ci95(gains), unlabelled, distractors, refinement.scale
    )


def _ci95(values: npt.NDArray[np.float64]) -> float | None:
    """Half the width of the 95 % interval of the mean, None of a single value."""
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
