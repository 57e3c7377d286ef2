"""Thresholds and scale, measured on classes that training never saw.

An episode here enrolls some classes and asks about twice as many: those not enrolled are the strangers whose false
accepts are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edgefew_runtime import DataError, OperatingPoint, head

from .checkpoint import HeldOut
from .episodes import EpisodeSampler
from .evaluation import episode_scores

WAYS = (2, 5, 10, 20, 50)
SHOTS = (1, 3, 5)
FALSE_ACCEPT_RATES = (0.01, 0.05, 0.1)
EPISODES = 300
SCALES = (0.5, 500.0)
_QUERY = 1
_MIN_STRANGERS = 10
"""At a rate of 1 in 20, say, ten times as many strangers must have been asked before a threshold is stated."""


@dataclass(frozen=True)
class _Scores:
    """Best scores over many episodes: of frames of enrolled classes (and whether right), and of strangers."""

    enrolled: npt.NDArray[np.float32]
    right: npt.NDArray[np.bool_]
    strangers: npt.NDArray[np.float32]


def operating_points(embeddings: head.Embeddings, held_out: HeldOut, seed: int) -> list[OperatingPoint]:
    """The thresholds for each way, shot and rate that the held-out classes are enough for."""
    points = []
    for way in WAYS:
        for shot in SHOTS:
            try:
                scores = _open_set_scores(embeddings, held_out, way, shot, seed)
            except DataError:
                continue  # too few classes or images for this one
            for rate in FALSE_ACCEPT_RATES:
                if len(scores.strangers) * rate >= _MIN_STRANGERS:
                    # "higher": at most this share of the strangers seen lies at or above the threshold
                    threshold = float(
                        np.nextafter(np.quantile(scores.strangers, 1 - rate, method="higher"), np.float32(2))
                    )
                    recall = float(((scores.enrolled >= threshold) & scores.right).mean())
                    points.append(OperatingPoint(way, shot, rate, threshold, recall, EPISODES))
    return points


def _open_set_scores(embeddings: head.Embeddings, held_out: HeldOut, way: int, shot: int, seed: int) -> _Scores:
    sampler = EpisodeSampler(held_out.labels, sources=held_out.sources, way=2 * way, shot=shot, query=_QUERY, seed=seed)
    enrolled, right, strangers = [], [], []
    for number in range(EPISODES):
        episode = sampler.episode(number)
        scores = episode_scores(embeddings, episode.support[:way], episode.query)
        top = scores.max(axis=1)
        known = way * _QUERY
        enrolled.append(top[:known])
        right.append(scores[:known].argmax(axis=1) == np.repeat(np.arange(way), _QUERY))
        strangers.append(top[known:])
    return _Scores(np.concatenate(enrolled), np.concatenate(right), np.concatenate(strangers))


def fit_scale(embeddings: head.Embeddings, sampler: EpisodeSampler) -> float:
    """The factor on cosines that makes probabilities most likely on unseen classes (temperature scaling).

    Guo et al., On Calibration of Modern Neural Networks, 2017, section 4.2, with scale = 1 / temperature; found by
    golden section on its logarithm within `SCALES`.
    """
    gathered, rows = [], np.repeat(np.arange(sampler.way), sampler.query)
    for number in range(EPISODES):
        episode = sampler.episode(number)
        gathered.append(episode_scores(embeddings, episode.support, episode.query))
    scores, truth = np.concatenate(gathered), np.tile(rows, EPISODES)

    def loss(log_scale: float) -> float:
        likely = head.probabilities(scores, float(np.exp(log_scale)))[np.arange(len(truth)), truth]
        return float(-np.log(np.maximum(likely, 1e-30)).mean())

    return float(np.exp(_golden_section(loss, np.log(SCALES[0]), np.log(SCALES[1]))))


def _golden_section(loss: Callable[[float], float], low: float, high: float, steps: int = 30) -> float:
    """The place of the least value of a function with one valley between low and high."""
    shrink = (np.sqrt(5) - 1) / 2
    for _ in range(steps):
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float((low + high) / 2)
