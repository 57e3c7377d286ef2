"""Sounds made here: short melodies with a timbre of their own, as a labelled folder of WAV and FLAC files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 8000


def make_sound(kind: int, source: int, take: int, seconds: float = 0.5, rate: int = RATE) -> npt.NDArray[np.float32]:
    """A recording [samples] of three notes that are the class's own, in its source's pitch, loudness and room."""
    shape = np.random.default_rng([23, kind])
    notes = 220 * 2 ** (shape.integers(0, 18, 3) / 6)
    overtones = shape.uniform(0, 1, 5) ** 2
    rng = np.random.default_rng([29, kind, source, take])
    time = np.arange(round(seconds * rate)) / rate
    pitch = notes[np.minimum(2, (3 * time / seconds).astype(int))] * (
        1 + 0.02 * (source - 1) + rng.uniform(-0.01, 0.01)
    )
    turns = 2 * np.pi * np.cumsum(pitch) / rate
    tone = sum(height * np.sin((n + 1) * turns) for n, height in enumerate([1, *overtones]))
    loud = 0.05 * 2**source * np.sin(np.pi * time / seconds)
    return np.asarray(loud * tone + rng.normal(0, 0.002, len(time)), np.float32).clip(-1, 1)


def make_folder(root: Path, kinds: range, sources: int = 3, takes: int = 2) -> Path:
    """A class folder for each kind; the last source's files are FLAC at 12 kHz, the others WAV at `RATE`."""
    import soundfile

    for kind in kinds:
        folder = root / f"tune{kind:03}"
        folder.mkdir(parents=True)
        for source in range(sources):
            for take in range(takes):
                rate = 12_000 if source == 2 else RATE
                name = folder / f"player{source}-{take}.{'flac' if source == 2 else 'wav'}"
                soundfile.write(name, make_sound(kind, source, take, rate=rate), rate)
    return root
