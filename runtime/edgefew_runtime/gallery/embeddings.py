"""Embeddings as the bytes that a gallery keeps: little-endian float32, sums as float64."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..head import Embeddings, Sums


def to_blob(embedding: npt.NDArray[np.float32]) -> bytes:
    """One embedding, float32 [d], as bytes."""
    return embedding.astype("<f4").tobytes()


def from_blob(blob: bytes) -> npt.NDArray[np.float32]:
    """What `to_blob` made bytes of: float32 [d]."""
    return np.frombuffer(blob, "<f4")


def total(blobs: Sequence[bytes], dimension: int) -> Sums:
    """The sum of stored embeddings: float64 [d]; exact, and so the same in any order, because all lie on the grid."""
    embeddings: Embeddings = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension)
    return np.asarray(embeddings.sum(axis=0, dtype=np.float64))


def sha256(data: bytes) -> str:
    """The hash of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
