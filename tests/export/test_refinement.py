"""Prototypes refined by unlabelled embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.refinement import evaluate_refinement, soft_k_means
from edgefew_runtime import head


def test_one_step_is_the_papers_formula_on_squared_distances() -> None:
    rng = np.random.default_rng(0)
    unlabelled = head.unit(rng.normal(size=(7, 5)).astype(np.float32))
    sums, counts = rng.normal(size=(3, 5)).astype(np.float32), np.full(3, 2, np.float32)
    centres = np.concatenate([head.unit(sums), np.zeros((1, 5))])
    nearness = np.exp(-((unlabelled[:, None] - centres) ** 2).sum(axis=2))
    shares = (nearness / nearness.sum(axis=1, keepdims=True))[:, :3]
    refined, weights = soft_k_means(unlabelled, sums, counts, scale=2)
    np.testing.assert_allclose(refined, sums + shares.T @ unlabelled, atol=1e-5)
    np.testing.assert_allclose(weights, counts + shares.sum(axis=0), atol=1e-5)


def test_no_unlabelled_embedding_changes_nothing() -> None:
    sums, counts = np.eye(3, dtype=np.float32), np.ones(3, np.float32)
    refined, weights = soft_k_means(np.empty((0, 3), np.float32), sums, counts)
    np.testing.assert_array_equal(refined, sums)
    np.testing.assert_array_equal(weights, counts)


def test_a_class_without_examples_takes_nothing() -> None:
    sums, counts = np.array([[1, 0], [0, 0]], np.float32), np.array([1, 0], np.float32)
    refined, weights = soft_k_means(np.eye(2, dtype=np.float32), sums, counts)
    assert weights[0] > 1 and weights[1] == 0 and not refined[1].any()


@pytest.mark.parametrize("distractors", [0, 3])
def test_unlabelled_frames_help_where_classes_are_clusters_and_examples_are_noisy(distractors: int) -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(20), 20)
    embeddings = head.unit((np.eye(20)[labels] + 0.25 * rng.normal(size=(400, 20))).astype(np.float32))
    sampler = EpisodeSampler(labels, way=5 + distractors, shot=1, query=15, seed=0)
    result = evaluate_refinement(embeddings, sampler, 60, unlabelled=10, distractors=distractors)
    assert (result.refined.way, result.refined.query) == (5, 5)
    assert result.gain_ci95 is not None and result.gain > result.gain_ci95
    assert result.gain == pytest.approx(result.refined.accuracy - result.without.accuracy)
