"""Thresholds for "unknown" and scores for conformal sets, measured on classes that training never saw.

Every frame is asked about as a stranger: against prototypes of all the other classes, from whatever source, because on
site a stranger comes before the same camera as the rest. And as one of its own class: against prototypes from other
sources than its own, because what is enrolled is not what is asked.

Frames of one class resemble each other, so it is classes that are counted: the share of its frames that are accepted is
one observation. A false-accept rate is promised where these shares say with 95 % confidence that their mean is at most
the rate, whatever their distribution (Waudby-Smith and Ramdas, Estimating Means of Bounded Random Variables by Betting,
JRSSB 86, 2024, section 4.1, with a fixed bet), at the least threshold for which they do (Bates, Angelopoulos, Lei,
Malik, Jordan, Distribution-Free, Risk-Controlling Prediction Sets, JACM 68, 2021, theorem 1: shares fall as thresholds
rise). So 5 % needs at least 62 classes, 1 % at least 302.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from edgefew_runtime import CoveragePoint, OperatingPoint, head
from edgefew_runtime.operating_point import CONFIDENCE, above

WAYS = tuple(step * 10**power for power in range(7) for step in (1, 2, 5))
SHOTS = (1, 2, 3, 5, 10)
MANY_SHOTS = 1000
"""Stands for as many examples as come: what holds for the most that were measured is carried over to it."""
FALSE_ACCEPT_RATES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2)
COVERAGES = (0.8, 0.9, 0.95, 0.99)
ROUNDS = 10
"""Draws of the support examples. The strangers are the same frames in each, and count once."""

MIN_ENROLLED = 20
"""Classes with enough examples, for a number of examples to be measured: with fewer, galleries are much the same."""

_ALIKENESS = 0.25
"""How much the frames of a class are accepted or not together: a guess that makes the test strong, not valid."""

_GAIN = math.log(1 / (1 - CONFIDENCE))

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
    *,
    ways: Sequence[int] = WAYS,
    shots: Sequence[int] = SHOTS,
    rates: Sequence[float] = FALSE_ACCEPT_RATES,
    enrolled: head.Embeddings | None = None,
) -> tuple[list[OperatingPoint], list[CoveragePoint]]:
    """What can be promised with these frames of unseen classes: thresholds by way, shot and rate, and coverages.

    Args:
        embeddings: float32 [n, d].
        labels: int64 [n], class of each frame.
        sources: int64 [n], or None where every frame is its own source.
        seed: decides the draws.
        ways: numbers of enrolled classes to measure.
        shots: numbers of examples of each, rising.
        rates: false-accept rates.
        enrolled: float32 [n, d], what another variant makes of the frames, where galleries are enrolled by that one.

    Up to as many classes as there are, the rate is that of random galleries of `way` of them. Beyond, it is bounded: a
    class that a stranger is taken for is among m of c classes with probability m / c, so a gallery of c classes accepts
    a stranger at most c / m times as often as one of m.
    """
    points: list[OperatingPoint] = []
    coverages: list[CoveragePoint] = []
    floor: dict[tuple[int, float], float] = {}
    for shot in shots:
        trials = _trials(embeddings, embeddings if enrolled is None else enrolled, labels, sources, shot, seed)
        if trials is None:
            continue
        accepted = _Accepted(trials)
        for key in itertools.product(ways, rates):
            # A prototype of more examples is nearer to everything: a lower threshold than for fewer is chance.
            point = _operating_point(trials, accepted, key[0], shot, key[1], floor.get(key, -1.0))
            if point is not None:
                floor[key] = point.threshold
                points.append(point)
        coverages += [p for c in COVERAGES if (p := _coverage_point(trials, shot, c)) is not None]
    return points + _carried_over(points, embeddings, labels), coverages


def _carried_over(
    points: Sequence[OperatingPoint], embeddings: head.Embeddings, labels: npt.NDArray[np.int64]
) -> list[OperatingPoint]:
    """The points of the most examples that were measured, for as many as come."""
    if not points:
        return []
    most = max(p.shot for p in points)
    gain = _gain_of_many(embeddings, labels, most)
    return [
        replace(
            p, shot=MANY_SHOTS, threshold=min(1.0, gain * p.threshold) if p.threshold > 0 else p.threshold, recall=None
        )
        for p in points
        if p.shot == most
    ]


def _gain_of_many(embeddings: head.Embeddings, labels: npt.NDArray[np.int64], shot: int) -> float:
    """By how much scores grow from prototypes of `shot` examples to those of very many.

    A score is the mean cosine with the examples over the length of their mean. That length is the square root of
    a + (1 - a) / shot on average, a being the cosine of two frames of a class.
    """
    groups = [embeddings[labels == name].astype(np.float64) for name in np.unique(labels)]
    pairs = [((g.sum(axis=0) ** 2).sum() - len(g)) / (len(g) * (len(g) - 1)) for g in groups if len(g) > 1]
    alike = float(np.mean(pairs)) if pairs else 0.0
    return math.sqrt((alike + (1 - alike) / shot) / alike) if alike > 0 else math.inf


def classes_needed(rate: float) -> int:
    """The fewest unseen classes with which a false-accept rate can be promised.

    >>> classes_needed(0.05), classes_needed(0.01)
    (62, 302)
    """
    return max(MIN_ENROLLED, math.ceil(_GAIN / math.log1p(rate)))


class _Accepted:
    """What is accepted of each class of strangers; remembers what is costly, because the same thresholds come again."""

    def __init__(self, trials: _Trials) -> None:
        self._trials = trials
        self.candidates = np.unique(trials.strangers)
        self._hits: dict[int, npt.NDArray[np.int64]] = {}

    def shares(self, candidate: int, chance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The share of each class's frames that score above a candidate in a random gallery: float64 [classes].

        Args:
            candidate: place in `candidates`.
            chance: float64 [others + 1], that a gallery holds one of k classes, by k.
        """
        trials = self._trials
        if candidate not in self._hits:
            self._hits[candidate] = (trials.strangers > self.candidates[candidate]).sum(axis=2)
        by_frame = chance[self._hits[candidate]].mean(axis=0)
        return np.bincount(trials.label, by_frame, trials.classes) / np.bincount(trials.label, minlength=trials.classes)


def strictest(
    calibrations: Sequence[tuple[Sequence[OperatingPoint], Sequence[CoveragePoint]]],
) -> tuple[list[OperatingPoint], list[CoveragePoint]]:
    """Points that hold for each of these calibrations: of each threshold the highest, of each score the lowest."""
    (points, coverages), *others = calibrations
    for more, wider in others:
        highest = {(p.way, p.shot, p.false_accept_rate): p for p in more}
        pairs = [(p, highest.get((p.way, p.shot, p.false_accept_rate))) for p in points]
        points = [max(p, q, key=lambda r: r.threshold) for p, q in pairs if q is not None]
        lowest = {(c.shot, c.coverage): c for c in wider}
        scores = [(c, lowest.get((c.shot, c.coverage))) for c in coverages]
        coverages = [min(c, d, key=lambda r: r.score) for c, d in scores if d is not None]
    return list(points), list(coverages)


def _trials(
    embeddings: head.Embeddings,
    enrolled: head.Embeddings,
    labels: npt.NDArray[np.int64],
    sources: npt.NDArray[np.int64] | None,
    shot: int,
    seed: int,
) -> _Trials | None:
    """The trials with this many examples of each class; None if fewer than two classes have so many."""
    names, label, counts = np.unique(labels, return_inverse=True, return_counts=True)
    large = names[counts >= shot]
    if len(large) < 2:
        return None
    rng = np.random.default_rng([seed, shot])
    frames, others = len(labels), len(large) - 1
    rounds = int(np.clip(_MAX_SCORES // (frames * others), 1, ROUNDS))
    # A frame of a class that is too small to be enrolled leaves out some other class, so that all have the same number.
    column = np.searchsorted(large, labels)
    is_own = (column < len(large)) & (large[np.minimum(column, others)] == labels)
    strangers = np.empty((rounds, frames, others), np.float32)
    own = np.full((rounds, frames), np.nan, np.float32)
    better = np.zeros((rounds, frames), np.int64)
    for number in range(rounds):
        support = np.stack([rng.permutation(np.flatnonzero(labels == name))[:shot] for name in large])
        sums = head.to_grid(enrolled[support.ravel()]).reshape(len(large), shot, -1).sum(axis=1)
        scores = embeddings @ head.unit(sums).T
        left_out = np.where(is_own, column, rng.integers(len(large), size=frames))
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


def _operating_point(
    trials: _Trials, accepted: _Accepted, way: int, shot: int, rate: float, floor: float
) -> OperatingPoint | None:
    others = trials.others
    chance, bound = _chance_of_a_hit(others, min(way, others)), rate * min(1.0, others / way)
    if others < MIN_ENROLLED - 1 or not _holds(np.zeros(trials.classes), bound):
        return None
    # Above the largest score nothing is accepted, so the rate holds there.
    last = len(accepted.candidates) - 1
    least = bisect_left(range(last), True, key=lambda i: _holds(accepted.shares(i, chance), bound))
    threshold = max(above(accepted.candidates[least]), floor)
    recall = None
    asked = ~np.isnan(trials.own)
    if way - 1 <= others and asked.any():
        is_first = 1 - _chance_of_a_hit(others, way - 1)[trials.better[asked]]
        recall = float((is_first * (trials.own[asked] >= threshold)).mean())
    return OperatingPoint(way, shot, rate, threshold, recall, trials.frames, trials.classes)


def _holds(shares: npt.NDArray[np.float64], rate: float) -> bool:
    """Whether shares of independent classes say with 95 % confidence that their mean is at most the rate.

    If the mean were larger, who bets on each share that it is below the rate would gain nothing on average, and so
    have 20 times the stake in at most 1 of 20 cases. The bet is fixed beforehand; in size as if accepted frames came
    by class with a correlation of `_ALIKENESS`.
    """
    bet = min(1.0, math.sqrt(2 * _GAIN / (len(shares) * _ALIKENESS * rate)))
    return float(np.log1p(bet * (rate - shares)).sum()) >= _GAIN


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
