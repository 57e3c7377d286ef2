"""Promises hold on classes that were not used to make them; the scale makes probabilities mean something."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from edgefew_export.calibration import FALSE_ACCEPT_RATES, MANY_SHOTS, calibrate
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import episode_scores
from edgefew_export.scale import EPISODES, expected_calibration_error, fit_scale
from edgefew_runtime import OperatingPoint, head


def clouds(classes: int, spread: float, seed: int, frames: int = 8) -> tuple[head.Embeddings, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, 32))
    labels = np.repeat(np.arange(classes), frames)
    return head.unit(centres[labels] + spread * rng.standard_normal((len(labels), 32))), labels


def false_accepts(point: OperatingPoint, embeddings: head.Embeddings, labels: npt.NDArray[np.int64]) -> float:
    """The rate over random galleries of other classes, with one stranger of each class that is not enrolled."""
    rng = np.random.default_rng(9)
    rates = []
    for _ in range(40):
        order = rng.permutation(labels.max() + 1)
        enrolled, strangers = order[: point.way], order[point.way :]
        rows = [rng.permutation(np.flatnonzero(labels == c))[: point.shot] for c in enrolled]
        prototypes = head.unit(np.stack([embeddings[r].sum(axis=0) for r in rows]))
        asked = embeddings[[rng.choice(np.flatnonzero(labels == c)) for c in strangers]]
        rates.append(((asked @ prototypes.T).max(axis=1) >= point.threshold).mean())
    return float(np.mean(rates))


def test_the_false_accept_rate_holds_on_other_classes() -> None:
    points, _ = calibrate(*clouds(120, 0.7, seed=1), None, seed=0)
    fresh = clouds(400, 0.7, seed=2)
    # 50 classes are among the 120 that it was measured on; 200 are beyond.
    for way in (1, 5, 50, 200):
        for rate in (0.05, 0.1):
            (point,) = (p for p in points if (p.way, p.shot, p.false_accept_rate) == (way, 3, rate))
            assert false_accepts(point, *fresh) <= rate
            assert (point.recall is None) == (way > 120)


def test_what_is_promised_ends_where_the_classes_end() -> None:
    points, _ = calibrate(*clouds(30, 0.5, seed=1), None, seed=0)
    # 30 classes: enough for 1 in 5 with somewhat more classes than were measured, not for 1 in 10.
    assert {p.false_accept_rate for p in points} == {0.2}
    assert all(p.strangers == 240 and p.stranger_classes == 30 for p in points)
    assert {p.way for p in points} == {1, 2, 5, 10, 20, 50}
    many, _ = calibrate(*clouds(70, 0.5, seed=1), None, seed=0)
    assert {p.false_accept_rate for p in many} == {0.05, 0.1, 0.2}
    for rate in FALSE_ACCEPT_RATES:
        few, more = (max((p.way for p in some if p.false_accept_rate == rate), default=0) for some in (points, many))
        assert more >= few


def test_many_frames_of_few_classes_promise_nothing() -> None:
    for classes, frames in ((2, 300), (10, 60)):
        points, _ = calibrate(*clouds(classes, 0.5, seed=1, frames=frames), None, seed=0)
        assert points == []


def test_a_number_of_examples_that_few_classes_have_is_not_measured() -> None:
    few, rows = clouds(19, 0.5, seed=1, frames=12), clouds(60, 0.5, seed=2, frames=6)
    labels = np.concatenate([few[1], 100 + rows[1]])
    points, coverages = calibrate(np.concatenate([few[0], rows[0]]), labels, None, seed=0)
    assert {p.shot for p in points} == {1, 2, 3, 5, MANY_SHOTS}
    assert 10 in {p.shot for p in coverages}


def clustered(classes: int, frames: int, spread: float, seed: int) -> tuple[head.Embeddings, npt.NDArray[np.int64]]:
    """Classes with a common direction, in few dimensions: strangers come near, and by class."""
    rng = np.random.default_rng(seed)
    centres = head.unit(rng.standard_normal((classes, 16)) + 2 * np.eye(16)[0])
    labels = np.repeat(np.arange(classes), frames)
    return head.unit(centres[labels] + spread / 4 * rng.standard_normal((len(labels), 16))), labels


@pytest.mark.parametrize(("classes", "frames", "way", "rate"), [(62, 4, 5, 0.05), (30, 30, 20, 0.2), (62, 4, 50, 0.1)])
def test_at_most_one_bundle_in_twenty_breaks_its_promise(classes: int, frames: int, way: int, rate: float) -> None:
    population = clustered(1000, 3, 0.7, seed=999)
    broken = 0
    for seed in range(20):
        points, _ = calibrate(
            *clustered(classes, frames, 0.7, seed), None, seed=0, shots=(2,), ways=(way,), rates=(rate,)
        )
        (point,) = (p for p in points if p.shot == 2)
        broken += false_accepts(point, *population) > rate
    assert broken <= 1


def test_more_examples_than_were_measured_keep_the_promise() -> None:
    """Prototypes of more examples are nearer to everything: the threshold of two would not hold."""
    population = clustered(400, 26, 1.5, seed=999)
    accepted: dict[int, list[float]] = {2: [], MANY_SHOTS: []}
    for seed in range(3):
        points, _ = calibrate(*clustered(150, 3, 1.5, seed), None, seed=0, shots=(2,), ways=(5,), rates=(0.2,))
        for point in points:
            accepted[point.shot].append(false_accepts(replace(point, shot=25), *population))
    assert max(accepted[MANY_SHOTS]) <= 0.2 < max(accepted[2])


def test_thresholds_rise_with_the_gallery_and_with_the_promise() -> None:
    points, _ = calibrate(*clouds(60, 0.7, seed=3), None, seed=0)
    for shot in {p.shot for p in points}:
        table = {(p.way, p.false_accept_rate): p.threshold for p in points if p.shot == shot}
        for (way, rate), threshold in table.items():
            assert all(t >= threshold for (w, r), t in table.items() if w >= way and r <= rate)


def test_the_own_class_is_in_the_set_as_often_as_stated() -> None:
    _, coverages = calibrate(*clouds(120, 0.9, seed=4), None, seed=0)
    embeddings, labels = clouds(300, 0.9, seed=5)
    assert {p.coverage for p in coverages} == {0.8, 0.9, 0.95, 0.99}
    for point in (p for p in coverages if p.shot == 3):
        support = embeddings.reshape(300, 8, -1)[:, :3].sum(axis=1)
        own = (head.unit(support)[labels] * embeddings).sum(axis=1).reshape(300, 8)[:, 3:]
        assert point.coverage - 0.02 <= (own >= point.score).mean() <= point.coverage + 0.05


def test_an_own_source_is_never_asked_about() -> None:
    """Frames of a source are copies: with them recall would be whole, without them there is nothing to go by."""
    rng = np.random.default_rng(6)
    labels, sources = np.repeat(np.arange(70), 6), np.tile(np.repeat(np.arange(2), 3), 70)
    copies = head.unit(rng.standard_normal((140, 32)))[np.arange(420) // 3]
    apart, _ = calibrate(copies, labels, sources, seed=0)
    together, _ = calibrate(copies, labels, None, seed=0)

    def recall(points: list[OperatingPoint]) -> float | None:
        (point,) = (p for p in points if (p.way, p.shot, p.false_accept_rate) == (5, 1, 0.05))
        return point.recall

    assert recall(apart) == pytest.approx(0.05, abs=0.05)
    assert recall(together) == pytest.approx(0.4, abs=0.1)


def test_the_fitted_scale_makes_the_truth_most_likely() -> None:
    embeddings, labels = clouds(40, 0.9, seed=3)
    sampler = EpisodeSampler(labels, way=10, shot=1, query=2, seed=0)

    def loss(scale: float) -> float:
        total = 0.0
        for number in range(EPISODES):
            episode = sampler.episode(number)
            scores = episode_scores(embeddings, episode.support, episode.query)
            likely = head.probabilities(scores, scale)[np.arange(20), np.repeat(np.arange(10), 2)]
            total -= float(np.log(likely).sum())
        return total

    best, report = fit_scale(embeddings, sampler)
    assert loss(best) < loss(best * 1.1)
    assert loss(best) < loss(best / 1.1)
    errors = report["expected_calibration_error"]
    assert errors["after"] < 0.05 < errors["before"]


def test_the_calibration_error_is_that_of_a_known_forecast() -> None:
    rng = np.random.default_rng(7)
    sure = rng.uniform(0.5, 1, 20_000).astype(np.float32)
    forecast = np.stack([sure, 1 - sure], axis=1)
    truth = (rng.random(20_000) > sure).astype(np.int64)
    assert expected_calibration_error(forecast, truth) < 0.02
    # Always 0.2 more sure than right.
    truth = (rng.random(20_000) > sure - 0.2).astype(np.int64)
    assert expected_calibration_error(forecast, truth) == pytest.approx(0.2, abs=0.02)
