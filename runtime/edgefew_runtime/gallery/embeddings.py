"""Embeddings as the bytes that a gallery keeps: little-endian float32, sums as float64."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import GalleryFormatError
from ..head import Embeddings, Sums


def to_blob(embedding: npt.NDArray[np.float32]) -> bytes:
    """One embedding, float32 [d], as bytes."""
    return embedding.astype("<f4").tobytes()


def from_blobs(blobs: Sequence[bytes], dimension: int) -> Embeddings:
    """What `to_blob` made bytes of: float32 [n, d].

    Raises:
        GalleryFormatError: one has another length.
    """
    return np.asarray(_rows(blobs, dimension, "<f4"), np.float32)


def from_sums(blobs: Sequence[bytes], dimension: int) -> Sums:
    """Stored sums: float64 [n, d].

    Raises:
        GalleryFormatError: one has another length.
    """
    return np.asarray(_rows(blobs, dimension, "<f8"), np.float64)


def total(blobs: Sequence[bytes], dimension: int) -> Sums:
    """The sum of stored embeddings: float64 [d]; exact, and so the same in any order, because all lie on the grid."""
    return np.asarray(from_blobs(blobs, dimension).sum(axis=0, dtype=np.float64))


def sha256(data: bytes) -> str:
    """The hash of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _rows(blobs: Sequence[bytes], dimension: int, dtype: str) -> npt.NDArray[np.floating]:
    expected = dimension * np.dtype(dtype).itemsize
    if wrong := {len(blob) if isinstance(blob, bytes) else 0 for blob in blobs} - {expected}:
        raise GalleryFormatError(
            f"The gallery is damaged: a stored vector has {min(wrong)} bytes, {expected} were expected. "
            "Restore a copy; nothing was written to it now."
        )
    return np.frombuffer(b"".join(blobs), dtype).reshape(len(blobs), dimension)
