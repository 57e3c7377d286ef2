"""Has what the camera gives changed since enrolment? A running watch, with an alarm at a stated rate of false ones.

```python
watch = DriftWatch(classifier.enrolment_scores())
status = watch.add(answer.score)  # of each track that was answered as known
if status.alarm:
    print(status.advice)
```

Both watches are one-sided CUSUM charts: Page, Continuous Inspection Schemes, Biometrika 41, 1954. Each observation adds
a step to a sum that never falls below 0; the step is negative on average while nothing changes. Over the limit, the
alarm is raised. They look at the count of observations and at no clock.
"""

from __future__ import annotations

import bisect
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from .errors import EdgeFewError
from .operating_point import is_number

FALSE_ALARM_INTERVAL = 10_000
"""One false alarm in so many observations, on average."""

LEAST_REFERENCE = 20
"""Fewer scores cannot show a fall: see `docs/video-and-drift.md` for what was measured."""

FULL_REFERENCE = 1000
"""A smaller reference takes in the scores that it is told of until it has so many."""

_ALLOWANCE = 0.5
"""Half the fall that is to be found, in standard deviations (k). So a fall by one of them is found soonest."""

_OVERSHOOT = 1.166
"""By how much a sum of standard normal steps passes its limit, and 0, together: twice 0.583 (Siegmund, 1985)."""

_LEAST_INTERVAL = 100
_NORMAL = NormalDist()


@dataclass(frozen=True)
class DriftStatus:
    """What a watch says after an observation.

    Attributes:
        alarm: whether there is drift. It stays until `reset`.
        seen: observations since the start or the last `reset`.
        since: the number of the observation (the first is 1) at which the change seems to have begun; None without
            alarm.
        expected: the mean score of the reference, or the stated share of unknown answers.
        observed: the same from `since` to the alarm; None without alarm.
        advice: what was seen and what to do, for people; empty without alarm.
    """

    alarm: bool
    seen: int
    since: int | None
    expected: float
    observed: float | None
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass
class _Cusum:
    """A sum of steps that never falls below 0, and what was seen since it was last 0."""

    limit: float
    value: float = 0.0
    seen: int = 0
    run: int = 0
    run_total: float = 0.0
    since: int | None = None

    def add(self, step: float, observation: float) -> None:
        self.seen += 1
        if self.since is not None:
            return
        self.value = max(0.0, self.value + step)
        self.run, self.run_total = (self.run + 1, self.run_total + observation) if self.value > 0 else (0, 0.0)
        if self.value > self.limit:
            self.since = self.seen - self.run + 1

    def status(self, expected: float, advice: Callable[[int, float], str]) -> DriftStatus:
        if self.since is None:
            return DriftStatus(False, self.seen, None, expected, None, "")
        observed = self.run_total / self.run
        return DriftStatus(True, self.seen, self.since, expected, observed, advice(self.since, observed))

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "limit"}

    @classmethod
    def from_dict(cls, limit: float, data: Mapping[str, Any]) -> _Cusum:
        if set(data) != {"value", "seen", "run", "run_total", "since"}:
            raise ValueError("its chart is not complete")
        chart = cls(limit, **data)
        counts = [chart.seen, chart.run, *([] if chart.since is None else [chart.since])]
        if not all(is_number(n) and isinstance(n, int) for n in counts):
            raise ValueError("a count is no integer")
        if not (is_number(chart.value) and is_number(chart.run_total)):
            raise ValueError("a sum is no finite number")
        consistent = (
            0 <= chart.run <= chart.seen
            and chart.value >= 0
            and (chart.run > 0) == (chart.value > 0)
            and (chart.since is not None) == (chart.value > limit)
            and (chart.since is None or 1 <= chart.since <= chart.seen - chart.run + 1)
        )
        if not consistent:
            raise ValueError("its numbers contradict each other")
        return chart


class DriftWatch:
    """Watches whether the scores of accepted answers fall below those of enrolment. Not for several threads.

    A score counts by its rank among the reference, turned into a standard normal quantile; so the watch does not depend
    on how scores are distributed. The limit is from Siegmund's approximation (Sequential Analysis, 1985), in which a
    chart with allowance k and limit h has a false alarm in (exp(2 k b) - 2 k b - 1) / (2 k²) observations on average,
    b = h + 1.166.

    A small reference is itself uncertain, and would break that promise. So up to `FULL_REFERENCE` it takes in each
    score after ranking it: ranks taken this way are independent and uniform while nothing changes (McDonald, A CUSUM
    Procedure Based on Sequential Ranks, Naval Research Logistics 37, 1990), whatever the reference's size.

    The observations must be independent: the frames of a video are not, so give one score for each track
    (`TrackAnswer.score`).

    Args:
        reference: scores of enrolment, `Classifier.enrolment_scores()`; those alone that the threshold in use accepts.
        interval: one false alarm in so many observations is accepted, on average; at least 100.

    Raises:
        EdgeFewError: fewer than `LEAST_REFERENCE` scores, one that is no finite number, or such an interval.
    """

    def __init__(self, reference: Iterable[float], interval: int = FALSE_ALARM_INTERVAL) -> None:
        self._reference = sorted(_finite(score) for score in reference)
        if len(self._reference) < LEAST_REFERENCE:
            raise EdgeFewError(
                f"The reference has {len(self._reference)} scores; at least {LEAST_REFERENCE} were expected. "
                "Enroll more examples: each counts whose class has another one."
            )
        self._expected = math.fsum(self._reference) / len(self._reference)
        self._interval = _checked_interval(interval)
        self.reset()

    def reset(self) -> None:
        """Take the alarm back and begin anew, with the reference as it was given."""
        self._taken: list[float] = []
        self._ranked = list(self._reference)
        self._chart = _Cusum(alarm_limit(self._interval))

    @property
    def status(self) -> DriftStatus:
        """What the watch says now."""
        return self._chart.status(self._expected, self._advice)

    def add(self, score: float) -> DriftStatus:
        """What the watch says after the score of one more accepted answer.

        After an alarm, scores are counted and otherwise ignored until `reset`.

        Raises:
            EdgeFewError: the score is None, NaN or infinite; it was not counted.
        """
        score = _finite(score)
        low, high = bisect.bisect_left(self._ranked, score), bisect.bisect_right(self._ranked, score)
        # Equal scores share the middle of their ranks.
        quantile = _NORMAL.inv_cdf(((low + high) / 2 + 0.5) / (len(self._ranked) + 1))
        if self._chart.since is None and len(self._ranked) < FULL_REFERENCE:
            self._ranked.insert(high, score)
            self._taken.append(score)
        self._chart.add(-quantile - _ALLOWANCE, score)
        return self.status

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON has it: a watch made from it goes on as this one would."""
        return {
            "format": 1,
            "interval": self._interval,
            "reference": self._reference,
            "taken": self._taken,
            "chart": self._chart.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DriftWatch:
        """The watch that `to_dict` told of.

        Raises:
            EdgeFewError: it is no state of a watch.
        """
        with _checked(data, ("interval", "reference", "taken", "chart")):
            watch = cls(data["reference"], data["interval"])
            watch._taken = [_finite(score) for score in data["taken"]]
            watch._ranked = sorted([*watch._reference, *watch._taken])
            if len(watch._taken) > max(0, FULL_REFERENCE - len(watch._reference)):
                raise ValueError("it took in more scores than a watch does")
            watch._chart = _Cusum.from_dict(watch._chart.limit, data["chart"])
        return watch

    def _advice(self, since: int, observed: float) -> str:
        return (
            f"Since accepted answer {since}, scores are {observed:.2f} on average; at enrolment they were "
            f"{self._expected:.2f}. Clean the lens; check what has changed (light, distance, focus, the things "
            "themselves); if it is to stay so, enroll examples under the new conditions and make a new watch. "
            "Otherwise reset this one."
        )


class UnknownWatch:
    """Watches whether more answers are unknown than is usual here. Not for several threads.

    Drift can turn answers into unknowns before a `DriftWatch` sees many low scores. There is no way to know the usual
    share but to state it. The step is the logarithm of how much likelier the answer is at twice the odds of the
    stated rate (a Bernoulli CUSUM: Reynolds and Stoumbos, A CUSUM Chart for Monitoring a Proportion When Inspecting
    Continuously, Journal of Quality Technology 31, 1999). The limit is from the equation of `alarm_limit`, without the
    allowance for overshoot, which depends on the rate; so false alarms are rarer than stated.

    Args:
        rate: the usual share of unknown answers, between 0 and 1, both excluded.
        interval: one false alarm in so many answers is accepted, on average; at least 100.

    Raises:
        EdgeFewError: a rate or interval that is not such a number.
    """

    def __init__(self, rate: float, interval: int = FALSE_ALARM_INTERVAL) -> None:
        if not is_number(rate) or not 0 < rate < 1:
            raise EdgeFewError(
                f"A share of unknown answers of {rate!r} was given; a number between 0 and 1 was expected. "
                "Count them while all is well, and give at least one in the number counted."
            )
        self._rate = float(rate)
        self._interval = _checked_interval(interval)
        risen = 2 * self._rate / (1 + self._rate)
        self._steps = math.log((1 - risen) / (1 - self._rate)), math.log(risen / self._rate)
        self.reset()

    def reset(self) -> None:
        """Take the alarm back and begin anew."""
        rare, often = self._steps
        mean_step = self._rate * often + (1 - self._rate) * rare
        self._chart = _Cusum(_limit(self._interval, -mean_step))

    @property
    def status(self) -> DriftStatus:
        """What the watch says now."""
        return self._chart.status(self._rate, self._advice)

    def add(self, known: bool) -> DriftStatus:
        """What the watch says after one more answer, known or unknown; after an alarm it only counts."""
        unknown = not known
        self._chart.add(self._steps[unknown], float(unknown))
        return self.status

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON has it: a watch made from it goes on as this one would."""
        return {"format": 1, "interval": self._interval, "rate": self._rate, "chart": self._chart.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UnknownWatch:
        """The watch that `to_dict` told of.

        Raises:
            EdgeFewError: it is no state of a watch.
        """
        with _checked(data, ("interval", "rate", "chart")):
            watch = cls(data["rate"], data["interval"])
            watch._chart = _Cusum.from_dict(watch._chart.limit, data["chart"])
        return watch

    def _advice(self, since: int, observed: float) -> str:
        return (
            f"Since answer {since}, {observed:.0%} are unknown where {self._rate:.0%} are usual. Clean the lens; check "
            "what has changed; if new things have come into view, enroll them. Then reset the watch."
        )


def alarm_limit(interval: float) -> float:
    """The limit h of a chart on standard normal scores that has one false alarm in `interval` on average.

    >>> round(alarm_limit(10_000), 3)
    7.353
    """
    return _limit(interval, 2 * _ALLOWANCE**2) / (2 * _ALLOWANCE) - _OVERSHOOT


def _limit(interval: float, fall: float) -> float:
    """The b of (exp(b) - b - 1) / fall = interval: the limit where steps are log-likelihood ratios of mean -fall."""
    low, high = 0.0, 1.0
    while math.expm1(high) - high < interval * fall:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if math.expm1(middle) - middle < interval * fall else (low, middle)
    return low


def _finite(score: Any) -> float:
    try:
        number = float(score)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise EdgeFewError(
            f"A score of {score!r} was given; a finite number was expected. Give the scores of known answers alone."
        )
    return number


def _checked_interval(interval: int) -> int:
    if not is_number(interval) or not isinstance(interval, int) or not _LEAST_INTERVAL <= interval <= 10**12:
        raise EdgeFewError(
            f"One false alarm in {interval!r} was asked for; an integer of {_LEAST_INTERVAL} or more was expected."
        )
    return interval


@contextlib.contextmanager
def _checked(data: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[None]:
    """What is wrong with a watch's state, seen before or while it is read, as one error of ours."""
    try:
        if not isinstance(data, Mapping) or set(data) != {"format", *keys} or data["format"] != 1:
            raise ValueError(f"an object of format 1 with {', '.join(keys)} was expected")
        yield
    except (TypeError, ValueError, EdgeFewError) as error:
        raise EdgeFewError(f"This is not the state of a drift watch: {error}. Begin with a new watch.") from None
