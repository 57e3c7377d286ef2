"""What one driver's vehicle says of a few recordings, for the picture: the first of each kind, right or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import Classifier
from edgefew_runtime.frames import FrameLike
from edgefew_runtime.sounds import load_sound

from examples.vehicle.noises import RATE_HZ
from examples.vehicle.spoken import SHOTS, Half, Spoken

BANDS, TIMES, FRAME = 32, 48, 256


def show(bundle: Path, rate: float, spoken: Spoken, half: Half, noise: dict[str, list[bytes]]) -> list[dict[str, Any]]:
    """The takes that enroll the first driver's first command, then recordings and their answers.

    Each has `title`, `command` (its right answer, None for unknown), `answer` (None for unknown; what enrolls has
    none) and `spectrum`, [bands, times] from 0 to 255.
    """
    (driver, *others), (commands, words) = half.drivers, half.turns[0]
    unknown, *given = words
    first, second = commands[:2]
    shown: list[dict[str, Any]] = []
    with Classifier.open(bundle, false_accept_rate=rate) as vehicle:
        for word in commands:
            vehicle.enroll(word, list(spoken.files[word, driver][:SHOTS]), actor=driver)
        vehicle.calibrate([file for _, file in spoken.takes(given, (*half.people, driver))], actor=driver)
        for file in spoken.files[first, driver][:SHOTS]:
            shown.append({"title": "the driver", "command": first, "spectrum": spectrum(file)})
        asked: list[tuple[str, str | None, FrameLike]] = [
            (f"another: “{word}”", word if word in commands else None, spoken.files[word, who][0])
            for word, who in ((first, others[0]), (first, others[-1]), (second, others[0]), (unknown, others[0]))
        ]
        asked += [("wind", None, noise["noise"][0]), ("four at once", None, noise["babble"][0])]
        for title, command, sound in asked:
            answer = vehicle.classify(sound)
            told = answer.label if answer.known else None
            shown.append({"title": title, "command": command, "answer": told, "spectrum": spectrum(sound)})
    return shown


def spectrum(sound: FrameLike) -> list[list[int]]:
    """The loudness of each band and time, 0 to 255: 50 dB, the lowest band first."""
    samples = load_sound(sound, RATE_HZ).values
    samples = np.pad(samples, (0, max(0, FRAME + TIMES - len(samples))))
    starts = np.linspace(0, len(samples) - FRAME, TIMES).astype(int)
    frames = np.stack([samples[start : start + FRAME] for start in starts]) * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames)[:, : FRAME // 2]) ** 2
    loud: npt.NDArray[np.float64] = power.reshape(TIMES, BANDS, -1).mean(axis=2).T
    decibels = 10 * np.log10(loud / max(1e-12, float(loud.max())) + 1e-12)
    return [[int(value) for value in row] for row in ((decibels + 50) * 5.1).clip(0, 255)]
