"""What unlabelled embeddings give over episodes."""

from __future__ import annotations

import numpy as np
import pytest
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.refinement import evaluate_refinement
from edgefew_runtime import head


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
