"""A linear map after the network, fitted on a labelled folder: fewer numbers an embedding, and better ones.

A pretrained network's features share a direction, and their largest differences are not those between classes. Unit
vectors are centred and mapped, and made unit vectors again; the device pays one small matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edgefew_runtime import DataError, head

SHRINKAGE = 0.1
"""How much of a covariance is replaced by a round one of the same size, where the frames are few for its many values.

Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices, 2004, with a fixed weight.
"""

WCCN_SHRINKAGE = 0.9
"""Chosen on six classes of blood cells, of 0.1, 0.5 and 0.9, by accuracy on the other six, both ways round."""


@dataclass(frozen=True)
class Projection:
    """An affine map of unit vectors.

    Attributes:
        kind: a name of `KINDS`.
        mean: float32 [d], subtracted first.
        matrix: float32 [d, k], k at most d.
    """

    kind: str
    mean: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float32]

    def apply(self, embeddings: head.Embeddings) -> head.Embeddings:
        """The mapped unit vectors: float32 [n, k]. What had no direction has none."""
        mapped = head.unit((embeddings - self.mean) @ self.matrix)
        return np.where(head.valid_rows(embeddings)[:, None], mapped, np.float32(0))


def fit_projection(
    kind: str,
    embeddings: head.Embeddings,
    labels: npt.NDArray[np.int64],
    dimension: int | None = None,
    shrinkage: float | None = None,
) -> Projection:
    """The map fitted on these frames.

    Args:
        kind: a name of `KINDS`.
        embeddings: float32 [n, d], unit vectors.
        labels: int64 [n], the class of each, from 0 without gaps.
        dimension: k; as many as the kind gives if not said.
        shrinkage: how much of a covariance is replaced by a round one of the same size, 0 to 1; the kind's own if not
            said. `centre` has none.

    Raises:
        DataError: the frames or classes are too few for it.
    """
    classes = int(labels.max()) + 1
    most = KINDS[kind].most(len(labels), classes, embeddings.shape[1])
    wanted = most if dimension is None else dimension
    if not 2 <= wanted <= most:
        raise DataError(
            f"A {kind} projection to {wanted} values was asked for; with {len(labels)} frames of {classes} classes and "
            f"{embeddings.shape[1]} features 2 to {most} are possible. Ask for fewer, or give more."
        )
    rows = embeddings.astype(np.float64)
    mean = rows.mean(axis=0)
    by = KINDS[kind].shrinkage if shrinkage is None else shrinkage
    matrix = KINDS[kind].fit(rows - mean, labels, by or 0.0)[:, :wanted]
    return Projection(kind, mean.astype(np.float32), np.ascontiguousarray(matrix, np.float32))


def _centring(
    centred: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], shrinkage: float
) -> npt.NDArray[np.float64]:
    """The principal directions as they are: all of them change no angle between centred vectors."""
    _, vectors = np.linalg.eigh(np.cov(centred, rowvar=False))
    return np.asarray(vectors[:, ::-1])


def _whitening(
    centred: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], shrinkage: float
) -> npt.NDArray[np.float64]:
    """The principal directions, each divided by its deviation."""
    values, vectors = np.linalg.eigh(_shrunk(np.cov(centred, rowvar=False), shrinkage))
    return np.asarray(vectors[:, ::-1] / np.sqrt(values[::-1]))


def _lda(centred: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], shrinkage: float) -> npt.NDArray[np.float64]:
    """Linear discriminants: directions in which classes differ most for what frames of one class differ.

    Fisher, The Use of Multiple Measurements in Taxonomic Problems, 1936; Rao 1948 for several classes.
    """
    means = np.stack([centred[labels == name].mean(axis=0) for name in range(int(labels.max()) + 1)])
    within = _shrunk(np.cov(centred - means[labels], rowvar=False), shrinkage)
    values, vectors = np.linalg.eigh(within)
    round_within = vectors / np.sqrt(values)
    _, between = np.linalg.eigh(np.cov(means @ round_within, rowvar=False))
    return np.asarray(round_within @ between[:, ::-1])


def _wccn(centred: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], shrinkage: float) -> npt.NDArray[np.float64]:
    """All directions, each the shorter the more frames of one class differ in it; the longest first.

    Within-class covariance normalisation: Hatch, Kajarekar, Stolcke, Within-class Covariance Normalization for
    SVM-based Speaker Recognition, Interspeech 2006; shrunk by far more, for few classes.
    """
    means = np.stack([centred[labels == name].mean(axis=0) for name in range(int(labels.max()) + 1)])
    values, vectors = np.linalg.eigh(_shrunk(np.cov(centred - means[labels], rowvar=False), shrinkage))
    normal = vectors / np.sqrt(values)
    _, directions = np.linalg.eigh(np.cov(centred @ normal, rowvar=False))
    return np.asarray(normal @ directions[:, ::-1])


def _shrunk(covariance: npt.NDArray[np.float64], weight: float) -> npt.NDArray[np.float64]:
    size = len(covariance)
    return np.asarray((1 - weight) * covariance + weight * np.trace(covariance) / size * np.eye(size))


@dataclass(frozen=True)
class _Kind:
    fit: Callable[[npt.NDArray[np.float64], npt.NDArray[np.int64], float], npt.NDArray[np.float64]]
    most: Callable[[int, int, int], int]
    shrinkage: float | None = SHRINKAGE


KINDS = {
    "centre": _Kind(_centring, lambda frames, classes, features: features, None),
    "whiten": _Kind(_whitening, lambda frames, classes, features: min(frames - 1, features)),
    "lda": _Kind(_lda, lambda frames, classes, features: min(classes - 1, features)),
    "wccn": _Kind(_wccn, lambda frames, classes, features: features, WCCN_SHRINKAGE),
}
"""Projections by name: how they are fitted, and how many values they can give."""
