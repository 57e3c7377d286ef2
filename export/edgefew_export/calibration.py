"""Thresholds for "unknown" and scores for conformal sets, measured on classes that training never saw.

Every frame is asked about as a stranger: against prototypes of all the other classes, from whatever source, because on
site a stranger comes before the same camera as the rest. And as one of its own class: against prototypes from other
sources than its own, because what is enrolled is not what is asked.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edgefew_runtime import CoveragePoint, OperatingPoint, head
from edgefew_runtime.operating_point import above, allowed_false_accepts

WAYS = tuple(step * 10**power for power in range(7) for step in (1, 2, 5))
SHOTS = (1, 2, 3, 5, 10)
FALSE_ACCEPT_RATES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2)
COVERAGES = (0.8, 0.9, 0.95, 0.99)
ROUNDS = 10
"""Draws of the support examples. The strangers are the same frames in each, and count once."""

_MAX_SCORES = 50_000_000


@dataclass(frozen=True)
class _Trials:
    """Scores of all frames over several draws of the support examples.

    Attributes:
        strangers: float32 [rounds, frames, others]: each frame against `others` classes that are not its own.
        own: float32 [rounds, frames], cosine with the own class; NaN where the frame or its source is in the support.
        better: int64 [rounds, frames], how many of the other classes score higher than the own one.
        label: int64 [frames], class of each frame, from 0 without gaps.
    """

    strangers: npt.NDArray[np.float32]
    own: npt.NDArray[np.float32]
    better: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]

    @property
    def classes(self) -> int:
        return int(self.label.max()) + 1

    @property
    def frames(self) -> int:
        return int(self.strangers.shape[1])

    @property
    def others(self) -> int:
        return int(self.strangers.shape[2])


def calibrate(
    embeddings: head.Embeddings,
    labels: npt.NDArray[np.int64],
    sources: npt.NDArray[np.int64] | None,
    seed: int,
) -> tuple[list[OperatingPoint], list[CoveragePoint]]:
    """What can be promised with these frames of unseen classes: thresholds by way, shot and rate, and coverages.

    Args:
        embeddings: float32 [n, d].
        labels: int64 [n], class of each frame.
        sources: int64 [n], or None where every frame is its own source.
        seed: decides the draws.

    Up to as many classes as there are, the rate is that of random galleries of `way` of them. Beyond, the union bound
    holds it: a gallery of c classes accepts a stranger at most c times as often as a gallery of one.
    """
    points, coverages = [], []
    for shot in SHOTS:
        trials = _trials(embeddings, labels, sources, shot, seed)
        if trials is None:
            continue
        hits = _Hits(trials)
        points += [
            point
            for way in WAYS
            for rate in FALSE_ACCEPT_RATES
            if (point := _operating_point(trials, hits, way, shot, rate)) is not None
        ]
        coverages += [p for c in COVERAGES if (p := _coverage_point(trials, shot, c)) is not None]
    return points, coverages


class _Hits:
    """How many of the other classes strangers reach, by threshold; remembered, because the same ones are asked for."""

    def __init__(self, trials: _Trials) -> None:
        self._trials = trials
        self.candidates = np.unique(trials.strangers)
        self._known: dict[int, npt.NDArray[np.float64]] = {}

    def above(self, candidate: int) -> npt.NDArray[np.float64]:
        """Float64 [others + 1]: for how many strangers 0, 1, … classes score above it; a mean over rounds."""
        if candidate not in self._known:
            hits = (self._trials.strangers > self.candidates[candidate]).sum(axis=2)
            counts = np.bincount(hits.ravel(), minlength=self._trials.others + 1)
            self._known[candidate] = counts / len(self._trials.strangers)
        return self._known[candidate]


def _trials(
    embeddings: head.Embeddings,
    labels: npt.NDArray[np.int64],
    sources: npt.NDArray[np.int64] | None,
    shot: int,
    seed: int,
) -> _Trials | None:
    """The trials with this many examples of each class; None if fewer than two classes have so many."""
    names, label, counts = np.unique(labels, return_inverse=True, return_counts=True)
    enrolled = names[counts >= shot]
    if len(enrolled) < 2:
        return None
    rng = np.random.default_rng([seed, shot])
    frames, others = len(labels), len(enrolled) - 1
    rounds = int(np.clip(_MAX_SCORES // (frames * others), 1, ROUNDS))
    # A frame of a class that is too small to be enrolled leaves out some other class, so that all have the same number.
    column = np.searchsorted(enrolled, labels)
    is_own = (column < len(enrolled)) & (enrolled[np.minimum(column, others)] == labels)
    strangers = np.empty((rounds, frames, others), np.float32)
    own = np.full((rounds, frames), np.nan, np.float32)
    better = np.zeros((rounds, frames), np.int64)
    for number in range(rounds):
        support = np.stack([rng.permutation(np.flatnonzero(labels == name))[:shot] for name in enrolled])
        sums = head.to_grid(embeddings[support.ravel()]).reshape(len(enrolled), shot, -1).sum(axis=1)
        scores = embeddings @ head.unit(sums).T
        left_out = np.where(is_own, column, rng.integers(len(enrolled), size=frames))
        keep = np.ones(scores.shape, bool)
        keep[np.arange(frames), left_out] = False
        strangers[number] = scores[keep].reshape(frames, others)
        asked = is_own & _apart(support, np.where(is_own, column, 0), sources)
        own[number, asked] = scores[np.flatnonzero(asked), column[asked]]
        better[number] = (strangers[number] > own[number][:, None]).sum(axis=1)
    return _Trials(strangers, own, better, label)


def _apart(
    support: npt.NDArray[np.int64], column: npt.NDArray[np.int64], sources: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.bool_]:
    """For each frame whether it, and its source, is not in the support of the class in its column."""
    frames = np.arange(len(column)) if sources is None else sources
    return np.asarray((frames[support][column] != frames[:, None]).all(axis=1))


def _operating_point(trials: _Trials, hits: _Hits, way: int, shot: int, rate: float) -> OperatingPoint | None:
    others = trials.others
    if way <= others:
        allowed = allowed_false_accepts(trials.frames, rate)
        chance = _chance_of_a_hit(others, way)
    else:
        allowed = allowed_false_accepts(trials.frames, rate * others / way)
        chance = np.arange(others + 1, dtype=np.float64)
    if allowed is None:
        return None
    # The least score at which few enough are accepted; above the largest one, nothing is.
    last = len(hits.candidates) - 1
    least = bisect_left(range(last), True, key=lambda i: bool(hits.above(i) @ chance <= allowed))
    threshold = above(hits.candidates[least])
    recall = None
    asked = ~np.isnan(trials.own)
    if way - 1 <= others and asked.any():
        is_first = 1 - _chance_of_a_hit(others, way - 1)[trials.better[asked]]
        recall = float((is_first * (trials.own[asked] >= threshold)).mean())
    return OperatingPoint(way, shot, rate, threshold, recall, trials.frames, trials.classes)


def _chance_of_a_hit(others: int, way: int) -> npt.NDArray[np.float64]:
    """The chance that `way` of `others` classes, drawn without putting back, contain one of k: float64 [others + 1]."""
    miss = np.ones(others + 1)
    for k in range(1, others + 1):
        # One class more to be avoided: the hypergeometric probability of none, step by step.
        miss[k] = miss[k - 1] * max(0, others - way - k + 1) / (others - k + 1)
    return 1 - miss


def _coverage_point(trials: _Trials, shot: int, coverage: float) -> CoveragePoint | None:
    """The largest score that a frame's own class reaches often enough.

    Frames of one class resemble each other, so the class is what is counted: each weighs the same, and their number is
    the sample's size (Dunn, Wasserman, Ramdas, Distribution-Free Prediction Sets for Two-Layer Hierarchical Models,
    2022, section 3, pooled).
    """
    asked = ~np.isnan(trials.own)
    numbers = np.broadcast_to(trials.label, asked.shape)
    times = np.bincount(numbers[asked], minlength=trials.classes)
    classes = int((times > 0).sum())
    allowed = (classes + 1) * (1 - coverage) - 1
    if allowed < 0:
        return None  # the score would have to be below all that can be

    def missed(score: float) -> float:
        misses = np.bincount(numbers[asked & (trials.own < score)], minlength=trials.classes)
        return float((misses / np.maximum(times, 1)).sum())

    # At the least score nothing is missed; so the one before the first that misses too many is there.
    candidates = np.unique(trials.own[asked])
    too_high = bisect_left(candidates, True, lo=1, key=lambda score: missed(float(score)) > allowed)
    return CoveragePoint(shot, coverage, float(candidates[too_high - 1]), classes)
