"""The linear classifier that a support set defines: enroll computes it, classify applies it.

The same arithmetic as the bundle's `enroll` and `classify` graphs, in numpy, because for a few dozen classes calling a
second graph costs more than the product itself. `edgefew verify` compares the two.

Prototypes: Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning, 2017, equation 1, here on unit vectors
with the cosine, so that a class is one direction whatever its number of examples.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Embeddings: TypeAlias = npt.NDArray[np.float32]
Sums: TypeAlias = npt.NDArray[np.float64]

GRID = 2.0**-16
"""An enrolled embedding's values are multiples of this.

Sums of such values are exact: in float64 for any number of examples, in the float32 of the graphs while no component of
a sum passes 256. So taking an example out, undoing and merging are exact to the bit, in any order, and the change to
the embedding (at most 2⁻¹⁷ a component) is below what two machines differ by.
"""

ABSENT = np.float32(-2.0)
"""The score of a class without examples: below every cosine, so it never wins."""

SHORTEST, LONGEST = 1e-12, 1e18
"""A vector whose length is not between these has no direction."""


def valid_rows(embeddings: Embeddings) -> npt.NDArray[np.bool_]:
    """Bool [n]: which rows have a direction; NaN, Inf and the zero vector have none.

    >>> valid_rows(np.array([[3, 4], [0, 0], [np.nan, 1]], np.float32))
    array([ True, False, False])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.sum(np.square(embeddings), axis=1))
        return np.asarray((norms > SHORTEST) & (norms < LONGEST))


def to_grid(embeddings: Embeddings) -> Embeddings:
    """Unit vectors with every component a multiple of `GRID`: float32 [n, d]; the rows must be valid.

    >>> to_grid(np.array([[3, 4]], np.float32))
    array([[0.6000061 , 0.80000305]], dtype=float32)
    """
    return np.asarray(np.round(unit(embeddings) / np.float32(GRID)) * np.float32(GRID), np.float32)


def grid_error(dimension: int) -> float:
    """The most by which a cosine changes when an embedding of this dimension is put on the grid.

    >>> grid_error(256) < 0.00013
    True
    """
    return math.sqrt(dimension) * GRID / 2


def unit(vectors: npt.NDArray[np.floating]) -> Embeddings:
    """Each row divided by its length: float32 [n, d]; a row without direction becomes zeros."""
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.asarray(vectors, np.float32)
        norms = np.sqrt(np.sum(np.square(rows), axis=1, keepdims=True))
        good = (norms > SHORTEST) & (norms < LONGEST)
        return np.where(good, rows / np.where(good, norms, 1), np.float32(0)).astype(np.float32, copy=False)


def cosine_scores(embeddings: Embeddings, prototypes: Embeddings) -> npt.NDArray[np.float32]:
    """Cosine of each embedding with each class: float32 [n, c], from unit rows [n, d] and [c, d].

    A prototype of zeros (no examples) scores `ABSENT`.
    """
    scores = embeddings @ prototypes.T
    present = prototypes.any(axis=1)
    return scores if present.all() else np.where(present, scores, ABSENT)


def probabilities(scores: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
    """Softmax over the classes of scale × score: float32 [n, c], rows add up to 1; an absent class has 0.

    >>> probabilities(np.array([[0.5, 0.5, ABSENT]], np.float32), scale=10.0)
    array([[0.5, 0.5, 0. ]], dtype=float32)
    """
    logits = np.where(scores == ABSENT, np.float32(-1e30), np.float32(scale) * scores)
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))
