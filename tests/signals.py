"""Signals made here: sums of sines and spikes, as a labelled folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

SAMPLES = 64


def make_signal(
    kind: int, source: int, take: int, samples: int = SAMPLES, channels: int = 2
) -> npt.NDArray[np.float32]:
    """A window [samples, channels] of a wave that is the class's own, with its source's gain and offset."""
    shape = np.random.default_rng([17, kind])
    cycles, phase, height = shape.uniform([1, 0, 0.4], [6, 2 * np.pi, 1], (3, channels, 3)).transpose(2, 0, 1)
    place = shape.uniform(0.2, 0.8, channels)
    rng = np.random.default_rng([19, kind, source, take])
    time = (np.arange(samples)[:, None] + 0.5) / samples + rng.uniform(-0.02, 0.02)
    waves = sum(h * np.sin(2 * np.pi * c * time + p) for c, p, h in zip(cycles, phase, height, strict=True))
    spike = 2.5 * np.exp(-0.5 * ((time - place) / 0.03) ** 2)
    noise = rng.normal(0, 0.1, (samples, channels))
    return np.asarray((1 + 0.3 * source) * (waves + spike + noise) + 2 * source, np.float32)


def make_folder(root: Path, kinds: range, sources: int = 3, takes: int = 2) -> Path:
    """A class folder for each kind; every third file is a CSV, the others are .npy."""
    for kind in kinds:
        folder = root / f"wave{kind:03}"
        folder.mkdir(parents=True)
        for source in range(sources):
            for take in range(takes):
                window = make_signal(kind, source, take)
                name = folder / f"machine{source}-{take}"
                if source == 2:
                    np.savetxt(name.with_suffix(".csv"), window, delimiter=",")
                else:
                    np.save(name.with_suffix(".npy"), window)
    return root
