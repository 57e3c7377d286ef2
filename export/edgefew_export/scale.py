"""Probabilities that mean something: the scale of the softmax, and how far off the probabilities still are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import head

from .episodes import EpisodeSampler
from .evaluation import episode_scores

EPISODES = 300
"""As many to fit the scale on, and as many others to measure the error on."""

SCALES = (0.5, 500.0)
BINS = 15


def fit_scale(embeddings: head.Embeddings, sampler: EpisodeSampler) -> tuple[float, dict[str, Any]]:
    """The factor on cosines that makes probabilities most likely on unseen classes, and the report of it.

    Temperature scaling: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, 2017, section 4.2, with
    scale = 1 / temperature; found by golden section on its logarithm within `SCALES`. The expected calibration error
    (their equation 3, with `BINS` bins) is measured on other episodes, before (scale 1) and after.
    """
    scores, truth = _scores(embeddings, sampler, 0)

    def loss(log_scale: float) -> float:
        likely = head.probabilities(scores, float(np.exp(log_scale)))[np.arange(len(truth)), truth]
        return float(-np.log(np.maximum(likely, 1e-30)).mean())

    scale = float(np.exp(_golden_section(loss, np.log(SCALES[0]), np.log(SCALES[1]))))
    others, truth = _scores(embeddings, sampler, EPISODES)
    errors = {
        name: expected_calibration_error(head.probabilities(others, factor), truth)
        for name, factor in (("before", 1.0), ("after", scale))
    }
    return scale, {
        "scale": scale,
        "expected_calibration_error": errors,
        "bins": BINS,
        "episodes": EPISODES,
        "way": sampler.way,
        "shot": sampler.shot,
    }


def expected_calibration_error(probabilities: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> float:
    """Mean distance of confidence from accuracy over `BINS` bins of confidence, from [n, c] and the right columns [n].

    >>> expected_calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]], np.float32), np.array([0, 1]))
    0.3
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    which = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.abs(np.bincount(which, right, minlength=BINS) - np.bincount(which, confidence, minlength=BINS))
    return round(float(gaps.sum() / len(truth)), 6)


def _scores(
    embeddings: head.Embeddings, sampler: EpisodeSampler, first: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    gathered = []
    for number in range(first, first + EPISODES):
        episode = sampler.episode(number)
        gathered.append(episode_scores(embeddings, episode.support, episode.query))
    return np.concatenate(gathered), np.tile(np.repeat(np.arange(sampler.way), sampler.query), EPISODES)


def _golden_section(loss: Callable[[float], float], low: float, high: float, steps: int = 30) -> float:
    """The place of the least value of a function with one valley between low and high."""
    shrink = (np.sqrt(5) - 1) / 2
    for _ in range(steps):
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float((low + high) / 2)
