"""The drift watch: false alarms as rare as stated, a fall found soon, a restart that changes nothing.

The long form of the simulation, with the interval that is the default, and its figures:

    EDGEFEW_SOAK=1 python -m pytest tests/runtime/test_drift.py -k "stated_interval or delay or theory" -rP
"""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_runtime import Classifier, EdgeFewError
from edgefew_runtime.drift import FULL_REFERENCE, LEAST_REFERENCE, DriftStatus, DriftWatch, UnknownWatch, alarm_limit
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFilter

from tests.conftest import ROOT, draw_class

SOAK = os.environ.get("EDGEFEW_SOAK") == "1"
INTERVAL = 10_000 if SOAK else 200
RUNS = 200 if SOAK else 150
DELAY_RUNS = 1000 if SOAK else 100


def scores(rng: np.random.Generator, count: int, fall: float = 0.0) -> list[float]:
    """Scores that are far from normally distributed, as cosines are; `fall` in standard deviations before the bend."""
    drawn: list[float] = np.tanh(np.exp(0.5 * (rng.standard_normal(count) - fall))).tolist()
    return drawn


def first_alarm(watch: DriftWatch | UnknownWatch, draw: Callable[[], Sequence[float]]) -> int:
    while watch.status.seen < 100 * INTERVAL:
        for value in draw():
            if watch.add(value).alarm:  # type: ignore[arg-type]
                return watch.status.seen
    raise AssertionError(f"no alarm in {watch.status.seen} observations")


def report(**figures: object) -> None:
    """Shown by pytest -rP."""
    sys.stdout.write(json.dumps(figures) + "\n")


def spread(values: list[int]) -> float:
    """Half of a 95 % interval for the mean."""
    return 1.96 * statistics.stdev(values) / math.sqrt(len(values))


# ---- what is promised -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [LEAST_REFERENCE, 50, 200, FULL_REFERENCE])
def test_false_alarms_are_as_rare_as_the_stated_interval(size: int) -> None:
    rng = np.random.default_rng([1, size])
    lengths = [
        first_alarm(DriftWatch(scores(rng, size), INTERVAL), lambda: scores(rng, INTERVAL // 4)) for _ in range(RUNS)
    ]
    mean = statistics.mean(lengths)
    early = sum(length <= INTERVAL // 10 for length in lengths) / RUNS
    report(reference=size, interval=INTERVAL, runs=RUNS, mean=round(mean), ci95=round(spread(lengths)), early=early)
    assert 0.75 * INTERVAL < mean < 1.6 * INTERVAL
    # A constant rate gives 1 - exp(-1/10) = 9.5 % in the first tenth of the interval.
    assert early < 0.2


@pytest.mark.parametrize("size", [LEAST_REFERENCE, 50, 200])
@pytest.mark.parametrize("before", [0, 100])
@pytest.mark.parametrize("fall", [1.0, 2.0])
def test_a_fall_is_found_with_a_short_delay(size: int, before: int, fall: float) -> None:
    rng = np.random.default_rng([2, size, before, int(fall)])
    delays = []
    for _ in range(DELAY_RUNS):
        watch = DriftWatch(scores(rng, size))
        for score in scores(rng, before):
            watch.add(score)
        if not watch.status.alarm:
            after = [watch.add(score).alarm for score in scores(rng, 400, fall)]
            delays.append(after.index(True) + 1 if True in after else math.inf)
    found = sum(delay <= 100 for delay in delays) / len(delays)
    median = statistics.median(delays)
    report(reference=size, before=before, fall=fall, runs=DELAY_RUNS, median=median, found_within_100=round(found, 3))
    if fall == 2:
        assert found > 0.9 and median <= 12
    elif size >= 50 or before:
        assert found > 0.8 and median <= 25


def answers(rng: np.random.Generator, unknown: float, count: int) -> Callable[[], list[bool]]:
    """Known or not, with the stated share of unknowns."""

    def draw() -> list[bool]:
        known: list[bool] = (rng.random(count) >= unknown).tolist()
        return known

    return draw


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 0.8])
def test_false_alarms_of_unknowns_are_rarer_than_the_stated_interval(rate: float) -> None:
    draw = answers(np.random.default_rng(3), rate, INTERVAL)
    lengths = [first_alarm(UnknownWatch(rate, INTERVAL), draw) for _ in range(RUNS)]
    mean, ci95 = statistics.mean(lengths), spread(lengths)
    report(rate=rate, interval=INTERVAL, runs=len(lengths), mean=round(mean), ci95=round(ci95))
    assert mean > INTERVAL
    assert mean < 3 * INTERVAL


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_a_rise_of_unknowns_is_found_as_soon_as_theory_says(rate: float) -> None:
    """The limit over the mean step (Wald), when the share rises to 60 %."""
    draw = answers(np.random.default_rng(4), 0.6, 50)
    delays = [first_alarm(UnknownWatch(rate), draw) for _ in range(DELAY_RUNS)]
    twice = 2 * rate / (1 + rate)
    more, less = math.log(twice / rate), math.log((1 - twice) / (1 - rate))
    limit = math.log(-10_000 * (rate * more + (1 - rate) * less))
    report(rate=rate, risen_to=0.6, runs=DELAY_RUNS, median=statistics.median(delays))
    assert statistics.mean(delays) == pytest.approx(limit / (0.6 * more + 0.4 * less), rel=0.2)


def test_the_limit_solves_siegmunds_equation() -> None:
    for interval in (100, 1000, 10_000, 10**12):
        b = alarm_limit(interval) + 1.166
        assert (math.exp(b) - b - 1) / 0.5 == pytest.approx(interval)


def test_fewer_false_alarms_need_a_higher_limit() -> None:
    limits = [alarm_limit(interval) for interval in (100, 1000, 10_000, 100_000)]
    assert limits == sorted(limits)
    assert limits[0] > 0


# ---- how it behaves -------------------------------------------------------------------------------

SCORES = st.integers(-500, 500).map(lambda n: n / 500)


@given(
    st.lists(SCORES, min_size=LEAST_REFERENCE, max_size=40),
    st.lists(SCORES, max_size=40),
    st.sampled_from([math.exp, math.atan, lambda score: 3 * score - 7, lambda score: score**3]),
)
def test_any_rising_transformation_of_all_scores_gives_the_same_alarms(
    reference: list[float], told: list[float], transform: Callable[[float], float]
) -> None:
    plain = DriftWatch(reference, 100)
    bent = DriftWatch(map(transform, reference), 100)
    for score in told:
        one, other = plain.add(score), bent.add(transform(score))
        assert (one.alarm, one.seen, one.since) == (other.alarm, other.seen, other.since)


@given(
    st.lists(SCORES, min_size=LEAST_REFERENCE, max_size=30), st.lists(SCORES, max_size=40), st.lists(SCORES, max_size=9)
)
def test_a_restart_changes_nothing(reference: list[float], before: list[float], after: list[float]) -> None:
    watch = DriftWatch(reference, 100)
    for score in before:
        watch.add(score)
    restarted = DriftWatch.from_dict(json.loads(json.dumps(watch.to_dict())))
    assert restarted.to_dict() == watch.to_dict()
    assert restarted.status == watch.status
    assert [restarted.add(score) for score in after] == [watch.add(score) for score in after]


@given(st.floats(0.01, 0.99), st.lists(st.booleans(), max_size=60), st.lists(st.booleans(), max_size=9))
def test_a_restart_changes_nothing_for_unknowns(rate: float, before: list[bool], after: list[bool]) -> None:
    watch = UnknownWatch(rate, 100)
    for known in before:
        watch.add(known)
    restarted = UnknownWatch.from_dict(json.loads(json.dumps(watch.to_dict())))
    assert restarted.to_dict() == watch.to_dict()
    assert [restarted.add(known) for known in after] == [watch.add(known) for known in after]


def drifted(fall: float = 3.0) -> DriftWatch:
    """A watch whose scores fell after the 50th."""
    rng = np.random.default_rng(5)
    watch = DriftWatch(scores(rng, 100))
    for score in [*scores(rng, 50), *scores(rng, 30, fall)]:
        watch.add(score)
    return watch


def test_an_alarm_says_since_when_how_far_and_what_to_do() -> None:
    status = drifted().status
    assert status.alarm
    assert status.since is not None and 45 <= status.since <= 53
    assert status.observed is not None and status.observed < status.expected - 0.2
    assert f"Since accepted answer {status.since}" in status.advice
    assert f"{status.observed:.2f}" in status.advice
    assert f"{status.expected:.2f}" in status.advice
    assert "lens" in status.advice and "enroll" in status.advice
    assert status.to_dict()["advice"] == status.advice


def test_an_alarm_stays_until_reset_and_then_all_is_as_at_first() -> None:
    watch = drifted()
    first = watch.status
    for _ in range(300):
        last = watch.add(0.99)
    assert last.alarm
    assert (last.since, last.observed) == (first.since, first.observed)
    assert last.seen == first.seen + 300
    watch.reset()
    assert not watch.status.alarm
    assert watch.status.seen == 0
    assert watch.to_dict() == DriftWatch(watch.to_dict()["reference"]).to_dict()


def test_scores_that_rise_are_no_alarm() -> None:
    rng = np.random.default_rng(6)
    watch = DriftWatch(scores(rng, 100), 100)
    assert not any(watch.add(score).alarm for score in scores(rng, 400, -3.0))


def test_a_small_reference_takes_in_scores_until_it_is_full_and_no_more() -> None:
    rng = np.random.default_rng(7)
    watch = DriftWatch(scores(rng, LEAST_REFERENCE))
    for score in scores(rng, FULL_REFERENCE):
        watch.add(score)
    state = watch.to_dict()
    assert len(state["reference"]) + len(state["taken"]) == FULL_REFERENCE


def test_float32_scores_of_a_classifier_are_taken() -> None:
    reference = np.linspace(0.5, 0.9, 40, dtype=np.float32)
    assert DriftWatch(reference).add(reference[7]).expected == pytest.approx(0.7, abs=1e-6)
    json.dumps(DriftWatch(reference).to_dict())


def test_unknowns_that_rise_are_told_of_with_their_share() -> None:
    watch = UnknownWatch(0.1)
    for number in range(200):
        watch.add(number < 100 or number % 2 == 0)
    status = watch.status
    assert status.alarm
    assert status.observed == pytest.approx(0.5, abs=0.1)
    assert "where 10% are usual" in status.advice
    watch.reset()
    assert not watch.status.alarm


def test_the_pages_examples_run_and_tell_a_blurred_camera_from_a_good_one(bundle: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "video-and-drift.md").read_text()
    text = "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    here = {"signs.edgefew": bundle, "site.gallery": tmp_path / "site.gallery", "drift.json": tmp_path / "drift.json"}
    for name, path in here.items():
        assert text.count(f'"{name}"') == 1
        text = text.replace(f'"{name}"', f'"{path}"')
    text = text.replace('.gallery")', '.gallery", false_accept_rate=None)')
    with Classifier.open(bundle, here["site.gallery"]) as classifier:
        for kind in range(60, 65):
            classifier.enroll(f"figure {kind}", [draw_class(kind, s, take) for s in range(3) for take in range(4)])

    def run(blur: float) -> DriftStatus:
        tracks = [
            [draw_class(60 + n % 5, n % 3, 10 + 3 * n + i).filter(ImageFilter.GaussianBlur(blur)) for i in range(3)]
            for n in range(45)
        ]
        names: dict[str, Any] = {"frames": tracks[0], "tracks": tracks}
        exec(compile(text, "video-and-drift.md", "exec"), names)  # noqa: S102  (our own page)
        names["classifier"].close()
        assert str(names["verdict"]) in ("figure 60", "unknown")
        status: DriftStatus = names["watch"].status
        return status

    good = run(0)
    assert not good.alarm
    assert good.seen > 30
    bad = run(3)
    assert bad.alarm
    assert bad.since is not None and bad.since > good.seen - 3


# ---- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, "high", [0.5]])
def test_a_score_that_is_no_finite_number_is_refused_and_not_counted(bad: object) -> None:
    watch = drifted(0.0)
    before = watch.to_dict()
    with pytest.raises(EdgeFewError, match="finite number was expected"):
        watch.add(bad)  # type: ignore[arg-type]
    assert watch.to_dict() == before
    with pytest.raises(EdgeFewError, match="finite number was expected"):
        DriftWatch([0.5] * 30 + [bad])  # type: ignore[list-item]


def test_too_small_a_reference_is_refused_with_how_many_are_needed() -> None:
    with pytest.raises(EdgeFewError, match=r"has 19 scores; at least 20 were expected\. Enroll more"):
        DriftWatch([0.1 * i for i in range(19)])


@pytest.mark.parametrize("interval", [99, 0, -5, 1e4, math.nan, True, "often", None])
def test_an_interval_that_cannot_be_kept_is_refused(interval: object) -> None:
    for make in (lambda: DriftWatch([0.5] * 30, interval), lambda: UnknownWatch(0.1, interval)):  # type: ignore[arg-type]
        with pytest.raises(EdgeFewError, match="100 or more"):
            make()


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, math.nan, None, True, "few"])
def test_a_share_that_is_none_is_refused(rate: object) -> None:
    with pytest.raises(EdgeFewError, match="between 0 and 1"):
        UnknownWatch(rate)  # type: ignore[arg-type]


CHANGES: list[dict[str, object]] = [
    {"format": 2},
    {"more": 1},
    {"interval": "long"},
    {"reference": None},
    {"reference": [0.5]},
    {"reference": [0.5, None] * 20},
    {"taken": [math.nan]},
    {"taken": [0.5] * FULL_REFERENCE},
    {"taken": 3},
    {"chart": None},
    {"chart": {}},
]
CHART_CHANGES: list[dict[str, object]] = [
    {"value": math.nan},
    {"value": -1.0},
    {"value": "0"},
    {"value": 1e9},
    {"seen": 1.5},
    {"seen": -1},
    {"seen": True},
    {"run": 10**6},
    {"run_total": math.inf},
    {"since": 3},
    {"limit": 1.0},
]


@pytest.mark.parametrize("change", [*CHANGES, *({"chart": change} for change in CHART_CHANGES)], ids=str)
def test_a_state_that_was_tampered_with_is_refused(change: dict[str, object]) -> None:
    state = drifted(0.0).to_dict()
    chart = change.get("chart")
    changed = {**state, **change}
    if isinstance(chart, dict) and chart:
        changed["chart"] = {**state["chart"], **chart}
    with pytest.raises(EdgeFewError, match="not the state of a drift watch"):
        DriftWatch.from_dict(changed)


@pytest.mark.parametrize("state", [None, [], "", {}, {"format": 1, "interval": 100, "rate": 2, "chart": {}}], ids=str)
def test_what_is_no_state_is_refused(state: object) -> None:
    for watch in (DriftWatch, UnknownWatch):
        with pytest.raises(EdgeFewError, match="not the state of a drift watch"):
            watch.from_dict(state)  # type: ignore[arg-type]
