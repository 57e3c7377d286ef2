"""Small galleries and examples that the gallery's tests share."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from edgefew_runtime import (
    Example,
    Gallery,
    head,
)

BUNDLE, OTHER = "a" * 64, "b" * 64
DIMENSION = 8


def example(number: int) -> Example:
    row = np.random.default_rng(number).standard_normal((1, DIMENSION)).astype(np.float32)
    return Example(head.to_grid(row)[0], f"{number}.png", hashlib.sha256(str(number).encode()).hexdigest())


def open_gallery(path: Path | None) -> Gallery:
    return Gallery(path, BUNDLE, DIMENSION)


def make_gallery(path: Path) -> None:
    with open_gallery(path) as gallery:
        gallery.enroll("stop", [example(1)])


def snapshot(gallery: Gallery) -> tuple[object, ...]:
    state = gallery.state()
    return state.labels, state.sums.tobytes(), state.counts.tolist()
