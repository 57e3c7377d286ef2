"""Known against unknown, as the report states it."""

from __future__ import annotations

import numpy as np
import pytest
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.open_set import RECALL, episodes_with_strangers, open_set
from edgefew_runtime import Bundle, head


def clusters(classes: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((classes, 32)), each, axis=0)
    rows = centres + spread * rng.standard_normal(centres.shape)
    return head.unit(rows.astype(np.float32)), np.repeat(np.arange(classes), each)


def test_tight_classes_are_told_from_strangers_and_noise_is_not() -> None:
    tight = open_set(*clusters(40, 4, 0.1), None, (), 0)
    noise = open_set(*clusters(40, 4, 50.0), None, (), 0)
    assert (tight["way"], tight["galleries"]) == (20, 200)
    assert tight["auroc"]["mean"] > 0.99
    assert noise["auroc"]["mean"] == pytest.approx(0.5, abs=0.05)


def test_thresholds_of_half_the_classes_hold_on_the_other_half() -> None:
    embeddings, labels = clusters(140, 4, 0.8)
    measured = open_set(embeddings, labels, None, (0.05, 0.2), 0)
    assert [found["rate"] for found in measured["false_accepts"]] == [0.05, 0.2]
    strict, loose = measured["false_accepts"]
    assert strict["accepted"]["mean"] <= 0.05
    assert loose["accepted"]["mean"] <= 0.2
    assert strict["accepted"]["mean"] < loose["accepted"]["mean"]
    assert strict["recognised"]["mean"] < loose["recognised"]["mean"]


@pytest.mark.parametrize(("spread", "area", "accepted"), [(0.1, 1.0, 0.0), (50.0, 0.5, RECALL)])
def test_classes_that_are_not_enrolled_are_asked_about(spread: float, area: float, accepted: float) -> None:
    embeddings, labels = clusters(40, 4, spread)
    sampler = EpisodeSampler(labels, way=15, shot=2, query=2, seed=0)
    measured = episodes_with_strangers(embeddings, sampler, 5, 200)
    assert measured["strangers"] == 10
    assert measured["auroc"]["mean"] == pytest.approx(area, abs=0.03)
    assert measured["false_accepts"]["mean"] == pytest.approx(accepted, abs=0.05)
    assert 0 <= measured["auroc"]["ci95"] < 0.05


def test_the_same_frames_and_seed_give_the_same_figures() -> None:
    embeddings, labels = clusters(30, 3, 0.5)
    assert open_set(embeddings, labels, None, (0.2,), 1) == open_set(embeddings, labels, None, (0.2,), 1)


def test_too_few_classes_are_said_to_be() -> None:
    embeddings, labels = clusters(3, 2, 0.1)
    assert open_set(embeddings, labels, None, (), 0)["galleries"] == 0
    few = open_set(*clusters(30, 3, 0.5), None, (0.05,), 0)
    assert few["false_accepts"] == []
    assert few["galleries"] == 200


def test_the_report_and_the_card_say_it(bundle: object) -> None:
    opened = Bundle.open(str(bundle))
    measured = opened.report()["open_set"]
    assert 0.5 < measured["auroc"]["mean"] <= 1
    card = opened.files["model-card.md"].decode()
    assert f"the area under the ROC curve of the best score is {measured['auroc']['mean']:.3f}" in card
