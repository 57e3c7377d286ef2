"""MiniRocket's features of windows, in a Python that has aeon: benchmarks/heart_beats.py calls it on a folder.

python heart_beats_rocket.py FOLDER

The folder holds two arrays float32 [n, samples], each window of mean 0 and deviation 1: fit.npy, which the transform
and the scale of its features are fitted on, and ask.npy. features.npy gets the features of the second, float32
[n, 9996], standardised. It is aeon's own transform as it comes (Dempster, Schmidt and Webb, MiniRocket: A Very Fast
(Almost) Deterministic Transform for Time Series Classification, 2021).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from aeon.transformations.collection.convolution_based import MiniRocket


def main(folder: Path) -> None:
    """Fit, transform and standardise."""
    fitted, asked = (np.load(folder / f"{part}.npy")[:, None] for part in ("fit", "ask"))
    transform = MiniRocket(random_state=0).fit(fitted)
    known, found = (np.asarray(transform.transform(windows), np.float32) for windows in (fitted, asked))
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    np.save(folder / "features.npy", (found - mean) / np.where(deviation > 1e-6, deviation, 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
