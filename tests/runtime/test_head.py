"""The arithmetic of enrolling and classifying."""

from __future__ import annotations

import numpy as np
import pytest
from edgefew_runtime import head
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

FINITE = st.floats(-1e6, 1e6, width=32)


def vectors(rows: int | None = None) -> st.SearchStrategy[np.ndarray]:
    shape = array_shapes(min_dims=2, max_dims=2, max_side=8) if rows is None else st.just((rows, 6))
    return arrays(np.float32, shape, elements=FINITE)


@given(vectors())
def test_unit_rows_have_length_one_or_are_zero(rows: np.ndarray) -> None:
    lengths = np.linalg.norm(head.unit(rows), axis=1)
    valid = head.valid_rows(rows)
    assert np.allclose(lengths[valid], 1, atol=1e-5)
    assert not lengths[~valid].any()


@given(vectors(rows=7), st.permutations(range(7)))
def test_sums_on_the_grid_are_the_same_to_the_bit_in_any_order(rows: np.ndarray, order: list[int]) -> None:
    grid = head.to_grid(rows)
    assert (grid / head.GRID == np.round(grid / head.GRID)).all()
    forward, shuffled = np.zeros(6), np.zeros(6)
    for row, other in zip(grid, grid[order], strict=True):
        forward += row
        shuffled += other
    assert forward.tobytes() == shuffled.tobytes()
    for row in grid:
        forward -= row
    assert not forward.any()


def test_the_grid_changes_an_embedding_by_less_than_machines_differ() -> None:
    rows = np.random.default_rng(0).standard_normal((100, 1280)).astype(np.float32)
    cosines = np.sum(head.unit(head.to_grid(rows)) * head.unit(rows), axis=1)
    assert cosines.min() > 1 - 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_rows_without_direction_are_not_valid_and_become_zeros(bad: float) -> None:
    rows = np.ones((2, 3), np.float32)
    rows[1] = 0
    rows[1, 0] = bad
    assert head.valid_rows(rows).tolist() == [True, False]
    assert not head.unit(rows)[1].any()


def test_a_class_without_examples_never_wins() -> None:
    queries = head.unit(np.array([[-1, 0], [0, 1]], np.float32))
    scores = head.cosine_scores(queries, head.unit(np.array([[1, 0], [0, 0]], np.float32)))
    assert scores.argmax(axis=1).tolist() == [0, 0]
    assert head.probabilities(scores, 10)[:, 1].tolist() == [0, 0]


@given(arrays(np.float32, (3, 5), elements=st.floats(-1, 1, width=32)), st.floats(0.1, 100))
def test_probabilities_add_up_to_one_and_follow_the_scores(scores: np.ndarray, scale: float) -> None:
    result = head.probabilities(scores, scale)
    assert np.allclose(result.sum(axis=1), 1, atol=1e-5)
    best = scores.argmax(axis=1)
    assert (result[np.arange(3), best] >= result.max(axis=1) - 1e-6).all()


@given(st.integers(1, 12), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_few_and_many_classes_are_ranked_alike(classes: int, absent: int, seed: int) -> None:
    from edgefew_runtime.answer import _rank_few, _rank_many

    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, classes).round(1).astype(np.float32)  # so that some are equal
    scores[rng.permutation(classes)[:absent]] = head.ABSENT
    few, many = _rank_few(scores.copy(), 12.5), _rank_many(scores.copy(), 12.5)
    present = np.sort(scores[scores > head.ABSENT])[::-1]
    if not len(present):
        assert few[1] == many[1] == head.ABSENT
        return
    assert few[0] == many[0] == scores.argmax()
    assert few[1] == many[1] == present[0]
    assert few[3] == many[3] == (present[1] if len(present) > 1 else head.ABSENT)
    assert len(present) < 2 or few[2] == many[2]
    assert few[4] == pytest.approx(np.exp(12.5 * (present - present[0])).sum(), rel=1e-5)
    assert many[4] == pytest.approx(few[4], rel=1e-5)
