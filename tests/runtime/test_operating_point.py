"""Unknown: thresholds that keep a stated false-accept rate, or the word that none can be stated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from edgefew_runtime import (
    Bundle,
    ClassConflictError,
    Classifier,
    CoveragePoint,
    EdgeFewError,
    Example,
    Gallery,
    Merged,
    OperatingPoint,
    Task,
    head,
)
from edgefew_runtime.operating_point import (
    allowed_false_accepts,
    bundle_point,
    coverage_score,
    promise,
    strangers_needed,
    things_shown,
    threshold_for,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import draw_class

D = 16


def at_most(k: int, n: int, rate: float) -> float:
    """The chance of at most k false accepts among n strangers."""
    return sum(math.comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in range(k + 1))


@given(st.integers(1, 400), st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.5]))
def test_the_allowed_number_is_the_exact_binomial_one(strangers: int, rate: float) -> None:
    allowed = allowed_false_accepts(strangers, rate)
    if allowed is None:
        assert at_most(0, strangers, rate) > 0.05
    else:
        assert at_most(allowed, strangers, rate) <= 0.05 * (1 + 1e-9)
        assert at_most(allowed + 1, strangers, rate) > 0.05
    assert (allowed is None) == (strangers < strangers_needed(rate))


def test_many_strangers_do_not_underflow() -> None:
    allowed = allowed_false_accepts(10_000_000, 0.1)
    assert allowed is not None
    assert 0.0998 < allowed / 10_000_000 < 0.1


def test_a_promised_rate_is_kept_19_times_of_20() -> None:
    """The promise itself, by simulation: the true rate at the threshold is over the stated one in at most 5 %."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(2000):
        threshold = threshold_for(rng.random(200).astype(np.float32), np.arange(200), 0.05)
        assert threshold is not None
        broken += 1 - threshold > 0.05
    assert broken / 2000 < 0.065


def test_frames_of_one_thing_count_once_and_all_against_it() -> None:
    scores = np.linspace(0, 0.9, 100, dtype=np.float32)
    assert threshold_for(scores[:58], np.arange(58), 0.05) is None
    assert threshold_for(scores, np.arange(100) // 2, 0.05) is None
    one_by_one = threshold_for(scores, np.arange(100), 0.1)
    in_pairs = threshold_for(scores, np.arange(100) // 2, 0.1)
    assert one_by_one is not None
    assert in_pairs is not None
    assert one_by_one < in_pairs


def points() -> list[OperatingPoint]:
    return [
        OperatingPoint(way, shot, rate, 0.3 + 0.05 * math.log(way) + 0.01 * shot - rate, None, 500, 50)
        for way in (1, 10, 100)
        for shot in (1, 5)
        for rate in (0.01, 0.05)
    ]


@pytest.mark.parametrize(
    ("way", "shots", "rate", "found"),
    [
        (7, (1, 1), 0.05, (10, 1, 0.05)),  # the next larger gallery
        (10, (3, 3), 0.05, (10, 5, 0.05)),  # between two shots: the higher threshold
        (10, (20, 90), 0.05, (10, 5, 0.05)),
        (10, (1, 9), 0.05, (10, 5, 0.05)),  # classes of different size
        (100, (1, 1), 0.03, (100, 1, 0.01)),  # a stricter rate than asked for, never a looser one
    ],
)
def test_the_point_is_chosen_on_the_careful_side(
    way: int, shots: tuple[int, int], rate: float, found: tuple[int, int, float]
) -> None:
    point = bundle_point(points(), way, shots, rate)
    assert point is not None
    assert (point.way, point.shot, point.false_accept_rate) == found


def test_nothing_is_promised_beyond_what_was_measured() -> None:
    assert bundle_point(points(), 101, (1, 1), 0.05) is None
    assert bundle_point(points(), 5, (1, 1), 0.001) is None


def task(classes: int, strangers: int = 0, seed: int = 0) -> Task:
    rng = np.random.default_rng(seed)
    rows = head.unit(rng.standard_normal((classes + strangers, D)))
    names = tuple(f"class {i}" for i in range(classes))
    return Task(names, rows[:classes], np.full(classes, 5), {}, rows[classes:])


def test_the_sites_own_strangers_come_first_when_they_are_enough() -> None:
    few, enough = (promise(strict(), task(10, n), 0.05) for n in (58, 59))
    assert (few.basis, enough.basis) == ("bundle", "site")
    assert enough.threshold is not None
    assert enough.reason == "measured on 59 things of this site; by the bundle alone it would be 0.995"
    best = (task(10, 59).strangers @ task(10, 59).prototypes.T).max()
    # As near as the grid on which strangers are stored lets it be.
    assert best < enough.threshold <= best + head.grid_error(D) + 1e-6


def strict() -> list[OperatingPoint]:
    """Points at which random vectors are not taken for one another."""
    return [replace(p, threshold=0.995) for p in points()]


def test_copies_and_views_of_one_stranger_count_once() -> None:
    one = task(10, 1)
    rng = np.random.default_rng(1)
    views = head.unit(one.strangers + 0.01 * rng.standard_normal((300, D)))
    said = promise(strict(), replace(one, strangers=views), 0.05)
    assert said.basis == "bundle"
    said = promise([], replace(one, strangers=views), 0.05)
    assert (said.basis, said.threshold) == ("none", None)
    assert "given: 1 thing (300 frames)" in said.reason
    mixed = things_shown(np.concatenate([views[:2], task(2).prototypes, views[2:3]]), strict())
    assert mixed[0] == mixed[1] == mixed[4]
    assert set(mixed) == {0, 1, 2}


def test_strangers_are_linked_by_those_between_them() -> None:
    turn = np.linspace(0, 1, 30)
    arc = np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)
    assert set(things_shown(arc, strict())) == {0}
    assert len(set(things_shown(arc[[0, 10, 20, 29]], strict()))) == 4


def test_with_too_little_the_answer_says_what_would_be_enough() -> None:
    said = promise(points(), task(200, 20), 0.01)
    assert (said.threshold, said.basis) == (None, "none")
    assert "not enough to promise a false-accept rate of 0.01 with 200 classes" in said.reason
    assert "Frames of 299 different things that are not enrolled would be enough" in said.reason


@pytest.mark.parametrize("rate", [1.0, 0.0, -0.1, 1e-320, 1e-7, math.nan, math.inf])
def test_a_rate_that_means_nothing_is_refused(rate: float) -> None:
    with pytest.raises(EdgeFewError, match="between 1e-06 and 1 was expected"):
        promise(points(), task(2), rate)


def test_beyond_the_examples_that_were_measured_the_answer_says_so() -> None:
    measured = [replace(p, recall=0.5) for p in points()]
    carried = [replace(p, shot=1000, threshold=p.threshold + 0.05, recall=None) for p in points() if p.shot == 5]
    many = replace(task(10), counts=np.full(10, 25))
    said, five = (promise([*measured, *carried], t, 0.05) for t in (many, task(10)))
    assert said.reason.endswith("carried over from 5 examples a class to 25")
    assert said.threshold is not None
    assert five.threshold is not None
    assert said.threshold == pytest.approx(five.threshold + 0.05)


def test_the_score_of_a_set_is_on_the_careful_side() -> None:
    measured = [CoveragePoint(shot, c, 1 - c + 0.01 * shot, 50) for shot in (1, 5) for c in (0.8, 0.9)]
    assert coverage_score(measured, task(3), 0.9) == pytest.approx(0.15)
    assert coverage_score(measured, task(3), 0.85) == pytest.approx(0.15)
    two = Task(("a", "b"), task(2).prototypes, np.array([1, 5]), {}, task(2).strangers)
    assert coverage_score(measured, two, 0.8) == pytest.approx(0.21)
    with pytest.raises(EdgeFewError, match=r"0.95 cannot be promised: .* for 0.8, 0.9"):
        coverage_score(measured, task(3), 0.95)


# ---- the same on a device ------------------------------------------------------------------------


def frame(kind: int, source: int, take: int = 0) -> np.ndarray:
    return np.asarray(draw_class(kind, source, take))


@pytest.fixture
def open_with(bundle: Bundle, gallery_path: object) -> Callable[..., Classifier]:
    def opened(**settings: object) -> Classifier:
        return Classifier.open(bundle, gallery_path, **settings)  # type: ignore[arg-type]

    return opened


def test_a_rate_that_cannot_be_promised_answers_unknown(open_with: Callable[..., Classifier]) -> None:
    with open_with(false_accept_rate=0.001) as classifier:
        classifier.enroll("figure 50", frame(50, 0))
        answer = classifier.classify(frame(50, 0))
        assert (answer.label, answer.known, answer.threshold, str(answer)) == ("figure 50", False, None, "unknown")
        said = classifier.promise()
        assert said is not None
        assert said.threshold is None


def test_the_threshold_follows_the_gallery_as_it_grows(open_with: Callable[..., Classifier]) -> None:
    strangers = [frame(kind, 0) for kind in range(70, 170)]
    with open_with() as classifier:
        classifier.enroll("figure 50", [frame(50, 0), frame(50, 0, 1)])
        added = classifier.calibrate(strangers)
        given = len(added.accepted)
        assert given == 100
        first = classifier.promise()
        assert first is not None
        assert (first.basis, first.threshold) == ("site", classifier.classify(frame(50, 0)).threshold)
        best = (classifier.gallery.task().strangers @ classifier.gallery.task().prototypes.T).max(axis=1)
        assert (best >= first.threshold).sum() <= 1
        # A class that looks like some strangers raises it at the next answer.
        classifier.enroll("figure 70", [frame(71, 0, 7), frame(71, 1, 8)])
        grown = classifier.classify(frame(50, 0)).threshold
        assert grown is not None
        assert first.threshold is not None
        assert grown > first.threshold
        assert classifier.gallery.clear() == given
        assert classifier.classify(frame(50, 0)).threshold != grown
        classifier.undo()
        assert classifier.classify(frame(50, 0)).threshold == grown


def test_what_is_enrolled_is_no_stranger_and_the_other_way_round(open_with: Callable[..., Classifier]) -> None:
    with open_with() as classifier:
        classifier.enroll("figure 50", frame(50, 0))
        with pytest.raises(ClassConflictError, match=r"enrolled as 'figure 50' \(example 1\), so it is no stranger"):
            classifier.calibrate([frame(51, 0), frame(50, 0)])
        assert not classifier.gallery.strangers()
        classifier.calibrate(frame(51, 0))
        with pytest.raises(ClassConflictError, match="forget --example 2"):
            classifier.enroll("figure 51", frame(51, 0))
        classifier.gallery.remove(2)
        classifier.enroll("figure 51", frame(51, 0))


def test_the_set_holds_what_it_may_be_and_nothing_for_a_blank(open_with: Callable[..., Classifier]) -> None:
    with open_with(coverage=0.8) as classifier:
        for kind in (50, 51, 52):
            classifier.enroll(f"figure {kind}", [frame(kind, 0), frame(kind, 1)])
        labels = classifier.classify(frame(50, 2)).labels
        assert labels is not None
        assert labels[0] == "figure 50"
        assert classifier.classify(np.full((32, 32, 3), 255, np.uint8)).labels == ()
    with pytest.raises(EdgeFewError, match="cannot be promised"):
        open_with(coverage=0.9999)


# ---- rejected examples of a class ------------------------------------------------------------------------


def test_what_was_said_not_to_be_a_class_is_not_taken_for_it(open_with: Callable[..., Classifier]) -> None:
    with open_with(false_accept_rate=None) as classifier:
        classifier.enroll("figure 50", [frame(50, 0), frame(50, 1)])
        classifier.enroll("figure 52", frame(52, 0))
        wrong = frame(50, 2)
        assert classifier.classify(wrong).label == "figure 50"
        sums = classifier.gallery.state().sums.copy()
        classifier.reject("figure 50", wrong)
        answer = classifier.classify(wrong)
        assert (answer.label, answer.probability, answer.runner_up, answer.margin) == ("figure 52", 1.0, None, None)
        # The class itself is as it was, and still recognised.
        assert np.array_equal(classifier.gallery.state().sums, sums)
        assert classifier.classify(frame(50, 0)).label == "figure 50"
        assert ("figure 50", 2, 1) in [(c.label, c.examples, c.rejected) for c in classifier.classes()]
        classifier.undo()
        assert classifier.classify(wrong).label == "figure 50"


def test_a_frame_cannot_be_and_not_be_of_a_class(open_with: Callable[..., Classifier]) -> None:
    with open_with() as classifier:
        classifier.enroll("figure 50", frame(50, 0))
        with pytest.raises(ClassConflictError, match="there already as example 1, of what the class is"):
            classifier.reject("figure 50", frame(50, 0))
        classifier.reject("figure 50", frame(51, 0))
        with pytest.raises(ClassConflictError, match="as example 2, of what the class is not"):
            classifier.enroll("figure 50", frame(51, 0))
        assert classifier.reject("figure 50", frame(51, 0)).accepted == ()
        classifier.enroll("figure 51", frame(51, 0))  # not the one, but the other


def test_rejected_examples_go_and_come_with_their_class_and_travel(open_with: Callable[..., Classifier]) -> None:
    with open_with() as classifier:
        classifier.enroll("figure 50", frame(50, 0))
        classifier.reject("figure 50", frame(51, 0))
        gallery = classifier.gallery
        with Gallery(None, gallery.bundle_id, gallery.dimension) as other:
            assert other.merge(gallery) == Merged({"figure 50": 1}, 0, {"figure 50": 1})
            assert other.merge(gallery) == Merged({}, 0)
            assert [e.negative for e in other.content()["figure 50"]] == [False, True]
            assert not other.problems()
            other.forget("figure 50")
            other.enroll("figure 50", [Example(gallery.content()["figure 50"][0].embedding, "a", "a" * 64)])
            assert [e.negative for e in other.content()["figure 50"]] == [False]
            row = gallery.content()["figure 50"][0]
            other.reject("figure 50", [Example(row.embedding, "b", row.source_sha256)])
            with pytest.raises(ClassConflictError, match="not 'figure 50' here and 'figure 50' there"):
                other.merge(gallery)
        assert not gallery.problems()
        gallery.erase("figure 50")
        assert not gallery.problems()
        assert not gallery.content()
