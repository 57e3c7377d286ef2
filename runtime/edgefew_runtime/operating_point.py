"""When to say "unknown": thresholds that hold a stated false-accept rate, or the plain word that none can be stated.

A false-accept rate r is *promised* where what was measured says with 95 % confidence that the true rate is at most r.
Frames of one thing are accepted or not together, so it is things that are counted, not frames. In the bundle these are
the classes that training never saw (`edgefew_export.calibration`). On site it is not known which strangers show the
same thing: those that the bundle would take for one another count as one, accepted if any of its frames is, and the
test is binomial: Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial,
Biometrika 26, 1934. So a rate of 1 % needs 299 things of which none is accepted, or 473 of which one is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import head
from .errors import EdgeFewError

if TYPE_CHECKING:
    from .gallery import Task

CONFIDENCE = 0.95

LEAST_RATE = 1e-6
"""The least false-accept rate that can be asked for; it needs three million things."""

NEAR_DUPLICATE = 0.998
"""Two frames with a larger cosine show the same thing: the one tells nothing that the other does not tell."""

_ALIKE_RATE = 0.05

_MAX_SCORE = 2.0
"""No cosine is larger, rounding included."""

_BLOCK = 65536
"""Classes scored at once against the strangers, so that a large gallery is not held twice."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the best score, measured on classes that training never saw.

    Attributes:
        way: classes enrolled for which it holds, and for fewer.
        shot: examples of each.
        false_accept_rate: what is promised: of frames of classes that are not enrolled, at most this share is known
            (each class counting the same).
        threshold: cosine; a best score of at least this is "known".
        recall: share of frames of enrolled classes that were called known and by their right name; None where there
            were fewer classes than `way` to measure it with.
        strangers: frames that the promise rests on.
        stranger_classes: classes that they are of, which is what is counted.
    """

    way: int
    shot: int
    false_accept_rate: float
    threshold: float
    recall: float | None
    strangers: int
    stranger_classes: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OperatingPoint:
        """From the manifest's JSON."""
        point = cls(**data)
        if not all(is_number(value) for key, value in data.items() if (key, value) != ("recall", None)):
            raise ValueError("an operating point must be numbers")
        if not (
            abs(point.threshold) <= _MAX_SCORE and 0 < point.false_accept_rate < 1 and min(point.way, point.shot) > 0
        ):
            raise ValueError("an operating point has a number that cannot be")
        return point

    def to_dict(self) -> dict[str, Any]:
        """As the manifest's JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class CoveragePoint:
    """A score that a frame's own class reaches with a stated probability: what makes a conformal set.

    Attributes:
        shot: examples of each class.
        coverage: the stated probability.
        score: cosine; the set is every class that scores at least this.
        classes: unseen classes that it was measured on.
    """

    shot: int
    coverage: float
    score: float
    classes: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CoveragePoint:
        """From the manifest's JSON."""
        point = cls(**data)
        if not all(map(is_number, data.values())):
            raise ValueError("a coverage point must be numbers")
        if not (abs(point.score) <= _MAX_SCORE and 0 < point.coverage < 1 and point.shot > 0):
            raise ValueError("a coverage point has a number that cannot be")
        return point

    def to_dict(self) -> dict[str, Any]:
        """As the manifest's JSON has it."""
        return asdict(self)


_Point = TypeVar("_Point", OperatingPoint, CoveragePoint)


@dataclass(frozen=True)
class Promise:
    """What a gallery's answers promise at a false-accept rate.

    Attributes:
        false_accept_rate: the rate that was asked for.
        threshold: a best score of at least this is "known"; None where the rate cannot be promised: then every answer
            is "unknown".
        basis: "site" (the gallery's own strangers), "bundle" (its calibration) or "none".
        reason: the same for people: what it rests on, or what would be enough.
    """

    false_accept_rate: float
    threshold: float | None
    basis: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew calibrate --json` prints it."""
        return asdict(self)


def allowed_false_accepts(things: int, rate: float) -> int | None:
    """Of so many things, how many at most may be accepted for the rate to be promised; None if they are too few.

    >>> allowed_false_accepts(298, 0.01), allowed_false_accepts(299, 0.01), allowed_false_accepts(473, 0.01)
    (None, 0, 1)
    """
    # Binomial terms in logarithms: (1 - rate)^n is 0 in floating point from some thousand strangers on.
    log_term, log_rest = things * math.log1p(-rate), math.log(rate) - math.log1p(-rate)
    total, k = math.exp(log_term), 0
    if total > 1 - CONFIDENCE:
        return None
    while True:
        log_term += math.log((things - k) / (k + 1)) + log_rest
        total += math.exp(log_term)
        if total > 1 - CONFIDENCE:
            return k
        k += 1


def strangers_needed(rate: float) -> int:
    """The fewest things with which the rate can be promised.

    >>> strangers_needed(0.05), strangers_needed(0.01)
    (59, 299)
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-rate))


def threshold_for(
    scores: npt.NDArray[np.float32], things: npt.NDArray[np.int64], rate: float, slack: float = 0.0
) -> float | None:
    """The least threshold that promises the rate; None if the things are too few.

    Args:
        scores: float32 [n], each stranger's best score.
        things: int64 [n], which thing it shows, from 0 without gaps.
        rate: the false-accept rate.
        slack: by how much a score may differ when the same frame is asked about again.
    """
    best = np.full(things.max(initial=-1) + 1, -1, np.float32)
    np.maximum.at(best, things, scores)
    allowed = allowed_false_accepts(len(best), rate)
    if allowed is None:
        return None
    return above(float(np.sort(best)[::-1][allowed]) + slack)


def things_shown(strangers: npt.NDArray[np.float32], points: Sequence[OperatingPoint]) -> npt.NDArray[np.int64]:
    """Which thing each stranger shows, as far as the bundle can tell: int64 [s], from 0 without gaps.

    Two strangers show one thing if one example of the one would make the bundle take the other for it, at a
    false-accept rate of 5 % in the largest gallery that it promises that for; and so do those linked by others.

    Args:
        strangers: float32 [s, d], unit vectors.
        points: the bundle's.
    """
    strict = [p.threshold for p in points if p.shot == 1 and p.false_accept_rate <= _ALIKE_RATE]
    return _linked(strangers.tobytes(), strangers.shape[1], min(NEAR_DUPLICATE, max(strict, default=NEAR_DUPLICATE)))


@lru_cache(maxsize=2)
def _linked(strangers: bytes, dimension: int, alike: float) -> npt.NDArray[np.int64]:
    """Numbers of the linked groups: int64 [s]. Remembered: a gallery changes more often than its strangers."""
    rows = np.frombuffer(strangers, np.float32).reshape(-1, dimension)
    thing = np.arange(len(rows))
    for number, row in enumerate(rows):
        linked = np.unique(thing[:number][rows[:number] @ row >= alike])
        thing[np.isin(thing, linked)] = number
    return np.unique(thing, return_inverse=True)[1].reshape(-1)


def above(score: float) -> float:
    """The next larger float32: a threshold that this score does not reach."""
    return float(np.nextafter(np.float32(score), np.float32(2)))


def promise(points: Sequence[OperatingPoint], task: Task, rate: float) -> Promise:
    """What can be promised for this gallery: from its own strangers if they are enough, else from the bundle.

    Raises:
        EdgeFewError: the rate is not between `LEAST_RATE` and 1.
    """
    if not LEAST_RATE <= rate < 1:
        raise EdgeFewError(
            f"A false-accept rate of {rate:g} was asked for; a number between {LEAST_RATE:g} and 1 was expected."
        )
    way, most = max(1, len(task.labels)), task.shots[1]
    point = bundle_point(points, way, task.shots, rate)
    things = things_shown(task.strangers, points)
    if task.labels and len(things):
        # A stranger is stored on the grid and asked about as it comes.
        own = threshold_for(_best_scores(task), things, rate, head.grid_error(task.strangers.shape[1]))
        if own is not None:
            lower = f"; by the bundle alone it would be {point.threshold:.3f}" if point else ""
            return Promise(rate, own, "site", f"measured on {_counted(things)} of this site{lower}")
    if point is None:
        return Promise(rate, None, "none", _not_enough(points, task, rate, things))
    reason = f"measured on {point.strangers} frames of {point.stranger_classes} classes that training never saw"
    measured = max((p.shot for p in points if p.recall is not None), default=most)
    if most > measured:
        reason += f"; carried over from {measured} examples a class to {most}"
    return Promise(rate, point.threshold, "bundle", reason)


def bundle_point(
    points: Sequence[OperatingPoint], way: int, shots: tuple[int, int], rate: float
) -> OperatingPoint | None:
    """The operating point for a gallery of `way` classes with between shots[0] and shots[1] examples each.

    More classes mean more chances for a false accept: the smallest measured way that is not below the gallery's counts.
    The largest measured rate that is not above the one asked for. And of the measured shots around the
    gallery's, the one with the highest threshold. None where nothing is measured for so many classes.
    """
    enough = [p for p in points if p.way >= way and p.false_accept_rate <= rate * (1 + 1e-9)]
    if not enough:
        return None
    best_rate = max(p.false_accept_rate for p in enough)
    enough = [p for p in enough if p.false_accept_rate == best_rate]
    smallest = min(p.way for p in enough)
    enough = [p for p in enough if p.way == smallest]
    return max(around(enough, shots), key=lambda p: p.threshold)


def around(points: Sequence[_Point], shots: tuple[int, int]) -> list[_Point]:
    """The points measured with as many examples as a gallery has, or with the next fewer and the next more."""
    measured = sorted({p.shot for p in points})
    low = max((s for s in measured if s <= shots[0]), default=measured[0])
    high = min((s for s in measured if s >= shots[1]), default=measured[-1])
    return [p for p in points if low <= p.shot <= high]


def coverage_score(points: Sequence[CoveragePoint], task: Task, coverage: float) -> float:
    """The score that a class must reach to be in the conformal set of this coverage.

    Split conformal prediction with the cosine to the own class (Vovk, Gammerman, Shafer, Algorithmic Learning in a
    Random World, 2005, chapter 4). It does not depend on how many classes there are.

    Raises:
        EdgeFewError: the bundle was not calibrated for this coverage.
    """
    enough = [p for p in points if p.coverage >= coverage]
    if not enough:
        known = ", ".join(f"{c:g}" for c in sorted({p.coverage for p in points})) or "none"
        raise EdgeFewError(
            f"A coverage of {coverage:g} cannot be promised: the bundle was calibrated for {known}. Ask for one "
            "of these."
        )
    least = min(p.coverage for p in enough)
    return float(min(p.score for p in around([p for p in enough if p.coverage == least], task.shots)))


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _best_scores(task: Task) -> npt.NDArray[np.float32]:
    """Each stranger's best score: float32 [s]."""
    best = np.full(len(task.strangers), -1, np.float32)
    for start in range(0, len(task.prototypes), _BLOCK):
        np.maximum(best, (task.strangers @ task.prototypes[start : start + _BLOCK].T).max(axis=1), out=best)
    return best


def _counted(things: npt.NDArray[np.int64]) -> str:
    """How many things the strangers show, for people."""
    number = int(things.max(initial=-1)) + 1
    return f"{number} thing{'s' * (number != 1)}" + (f" ({len(things)} frames)" if number < len(things) else "")


def _not_enough(points: Sequence[OperatingPoint], task: Task, rate: float, things: npt.NDArray[np.int64]) -> str:
    classes = len(task.labels)
    needed = strangers_needed(rate)
    given = f"given: {_counted(things)}" if len(things) else "none were given"
    possible = sorted({p.false_accept_rate for p in points if p.way >= classes})
    offer = f"; the bundle promises {possible[0]:.2g} or more for this gallery" if possible else ""
    return (
        f"not enough to promise a false-accept rate of {rate:g} with {classes} class{'es' * (classes != 1)}{offer}. "
        f"Frames of {needed} different things that are not enrolled would be enough ({given}): "
        "edgefew calibrate --negatives"
    )
