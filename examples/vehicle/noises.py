"""What a microphone in a vehicle hears that is no command, as WAV files of one channel at `RATE_HZ`."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RATE_HZ = 8000
Samples = npt.NDArray[np.float64]


def wind(rng: np.random.Generator) -> bytes:
    """A second of wind and tyres: noise whose power falls with frequency, or does not."""
    spectrum = np.fft.rfft(rng.normal(0, 1, RATE_HZ))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** rng.uniform(0, 1)
    return as_wav(np.fft.irfft(spectrum, RATE_HZ), rng.uniform(0.05, 0.8))


def hum(rng: np.random.Generator) -> bytes:
    """A second of an engine: eight overtones that rise slowly, and a little noise."""
    time = np.arange(RATE_HZ) / RATE_HZ
    turns = 2 * np.pi * rng.uniform(40, 200) * time * (1 + rng.uniform(-0.1, 0.1) * time)
    tones = [rng.uniform(0, 1) / n * np.sin(n * turns + rng.uniform(0, 2 * np.pi)) for n in range(1, 9)]
    return as_wav(np.sum(tones, axis=0) + rng.normal(0, 0.02, RATE_HZ), rng.uniform(0.05, 0.8))


def clicks(rng: np.random.Generator) -> bytes:
    """A second with one to eight knocks: indicators, doors, stones."""
    samples, length = rng.normal(0, 0.005, RATE_HZ), RATE_HZ // 20
    for _ in range(int(rng.integers(1, 9))):
        place, decay = int(rng.integers(0, RATE_HZ - length)), rng.uniform(5, 100)
        knock = rng.normal(0, 1, length) * np.exp(-np.arange(length) / decay)
        samples[place : place + length] += rng.uniform(0.2, 1) * knock
    return as_wav(samples, rng.uniform(0.05, 0.8))


def babble(voices: Sequence[Sequence[Samples]], rng: np.random.Generator) -> bytes:
    """1.6 s in which several people speak at once: of each voice two of the words that it said, one after another."""
    mixed, half = np.zeros(RATE_HZ * 8 // 5), RATE_HZ * 4 // 5
    for said in voices:
        for start in (0, half):
            word = said[int(rng.integers(len(said)))]
            place = start + int(rng.integers(0, half // 2))
            heard = word[: len(mixed) - place] / max(1e-6, float(np.abs(word).max()))
            mixed[place : place + len(heard)] += heard
    return as_wav(mixed, rng.uniform(0.3, 0.9))


def as_wav(samples: Samples, peak: float) -> bytes:
    """The samples in 16 bits with this peak."""
    scaled = samples / max(1e-9, float(np.abs(samples).max())) * peak * 32767
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(scaled.astype("<i2").tobytes())
    return file.getvalue()
