"""Thresholds keep their promise on strangers that were not used to set them; the scale makes probabilities likely."""

from __future__ import annotations

import numpy as np
from edgefew_export.calibration import EPISODES, _open_set_scores, fit_scale, operating_points
from edgefew_export.checkpoint import HeldOut
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import episode_scores
from edgefew_runtime import head


def clouds(classes: int, spread: float, seed: int) -> tuple[head.Embeddings, HeldOut]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, 32))
    labels = np.repeat(np.arange(classes), 8)
    embeddings = head.unit(centres[labels] + spread * rng.standard_normal((len(labels), 32)))
    return embeddings, HeldOut(np.empty((0, 0, 0, 0), np.uint8), labels, None)


def test_the_false_accept_rate_holds_on_other_classes() -> None:
    embeddings, held_out = clouds(120, 0.7, seed=1)
    fresh, fresh_held_out = clouds(120, 0.7, seed=2)
    points = operating_points(embeddings, held_out, seed=0)
    assert {p.way for p in points} == {2, 5, 10, 20, 50}
    for point in points:
        if point.false_accept_rate >= 0.05 and point.way >= 5:
            scores = _open_set_scores(fresh, fresh_held_out, point.way, point.shot, seed=9)
            measured = float((scores.strangers >= point.threshold).mean())
            assert measured < 2 * point.false_accept_rate + 0.01


def test_too_few_strangers_give_no_threshold() -> None:
    embeddings, held_out = clouds(4, 0.5, seed=1)
    points = operating_points(embeddings, held_out, seed=0)
    assert {p.way for p in points} == {2}
    # 600 strangers were asked: enough for 1 in 20, not for 1 in 100.
    assert {p.false_accept_rate for p in points} == {0.05, 0.1}


def test_the_fitted_scale_makes_the_truth_most_likely() -> None:
    embeddings, held_out = clouds(40, 0.9, seed=3)
    sampler = EpisodeSampler(held_out.labels, way=10, shot=1, query=2, seed=0)

    def loss(scale: float) -> float:
        total = 0.0
        for number in range(EPISODES):
            episode = sampler.episode(number)
            scores = episode_scores(embeddings, episode.support, episode.query)
            likely = head.probabilities(scores, scale)[np.arange(20), np.repeat(np.arange(10), 2)]
            total -= float(np.log(likely).sum())
        return total

    best = fit_scale(embeddings, sampler)
    assert loss(best) < loss(best * 1.1)
    assert loss(best) < loss(best / 1.1)
