"""Prototypes refined by unlabelled embeddings, and what that gives over episodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import head
from edgefew_runtime.episode_accuracy import Evaluation

from .episodes import EpisodeSampler

SCALE = 10.0
"""What cosines are multiplied by before the softmax of `soft_k_means`, unless it is told."""

ORIGIN = 0.5
"""The cosine with a prototype at which a unit vector lies as far from it as from the origin: 2 - 2 cos = 1."""


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
        scale: of `soft_k_means`.
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


def soft_k_means(
    unlabelled: head.Embeddings,
    sums: npt.NDArray[np.float32],
    counts: npt.NDArray[np.float32],
    scale: float = SCALE,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Sums and counts with each unlabelled embedding added to the classes by its soft assignment to them.

    One step of soft k-means with a distractor cluster at the origin: Ren et al., "Meta-Learning for Semi-Supervised
    Few-Shot Classification", ICLR 2018, sections 3.1.1 and 3.1.2. As on the device, embeddings and prototypes are
    unit vectors, so that a squared distance is 2 - 2 cos, and 1 from the origin. Half the distances are multiplied by
    `scale`. The length scales, which the paper learns, are all 1.

    >>> sums = np.eye(2, dtype=np.float32)
    >>> near, astray = np.array([[1, 0]], np.float32), np.array([[-1, 0]], np.float32)
    >>> soft_k_means(near, sums, np.ones(2, np.float32), scale=100)[1].round(3)
    array([2., 1.], dtype=float32)
    >>> soft_k_means(astray, sums, np.ones(2, np.float32), scale=100)[1].round(3)
    array([1., 1.], dtype=float32)

    Args:
        unlabelled: float32 [m, d], unit vectors; m may be 0.
        sums: float32 [c, d], of each class's labelled embeddings.
        counts: float32 [c], how many these are. A class of none takes nothing.
        scale: how sharp the assignment is; above 0.

    Returns:
        Sums float32 [c, d] and counts float32 [c].
    """
    enrolled = counts > 0
    logits = np.full((len(unlabelled), len(sums) + 1), -np.inf)
    logits[:, :-1][:, enrolled] = scale * head.cosine_scores(unlabelled, head.unit(sums[enrolled]))
    logits[:, -1] = scale * ORIGIN
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = (weights / weights.sum(axis=1, keepdims=True))[:, :-1]
    return (sums + shares.T @ unlabelled).astype(np.float32), (counts + shares.sum(axis=0)).astype(np.float32)


def evaluate_refinement(
    embeddings: head.Embeddings,
    sampler: EpisodeSampler,
    episodes: int,
    *,
    unlabelled: int,
    distractors: int,
    scale: float = SCALE,
) -> RefinedEvaluation:
    """Accuracy without and with unlabelled frames, which are never among the queries.

    Args:
        embeddings: float32 [n, d], unit vectors.
        sampler: of episodes with `distractors` more ways and `unlabelled` more queries than are asked: the last
            classes are the distractors, the last queries of every class are its unlabelled frames.
        episodes: how many.
        unlabelled: of each class, distractors too; at least 1.
        distractors: classes that are not among the answers.
        scale: of `soft_k_means`.
    """
    way, query = sampler.way - distractors, sampler.query - unlabelled
    rows = np.empty((2, episodes, way, query), np.int64)
    for number in range(episodes):
        episode = sampler.episode(number)
        support = embeddings[episode.support[:way]]
        sums = support.sum(axis=1)
        counts = np.full(way, sampler.shot, np.float32)
        refined, _ = soft_k_means(embeddings[episode.query[:, query:].ravel()], sums, counts, scale)
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
        without, refined_accuracy, float(gains.mean()), _ci95(gains), unlabelled, distractors, scale
    )


def _ci95(values: npt.NDArray[np.float64]) -> float | None:
    """Half the width of the 95 % interval of the mean, None of a single value."""
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
