"""A driver teaches a vehicle spoken words: `python examples/vehicle/commands.py BUNDLE FOLDER`.

BUNDLE takes recordings; FOLDER is the Free Spoken Digit Dataset, `<digit>/<digit>_<speaker>_<take>.wav`. Each speaker
in turn is the driver, who enrolls five words, three takes each; the others say them, and two words nobody enrolled.
Takes of the three words left, by the driver, are the strangers to calibrate on. No speaker both enrolls and asks.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from edgefew_runtime import Classifier

SHOTS, WORDS, STRANGERS = 3, 5, 3
RATE_HZ = 8000
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's t at 97.5 %, by degrees of freedom."""


def main() -> None:
    """Print the figures of all drivers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--takes", type=int, default=5, help="of each word and speaker that are asked about")
    parser.add_argument("--false-accept-rate", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    files = recordings(options.folder)
    drivers = sorted({speaker for _, speaker in files})
    rng = np.random.default_rng(options.seed)
    rounds = []
    for number, driver in enumerate(drivers):
        noise = [hiss(rng) for _ in range(20)]
        with Classifier.open(options.bundle, false_accept_rate=options.false_accept_rate) as vehicle:
            rounds.append(drive(vehicle, files, driver, number, options.takes, noise))
        print(json.dumps({"driver": driver, **rounds[-1]}), flush=True)
    print(json.dumps({"drivers": len(drivers), "seed": options.seed, **summary(rounds)}))


def recordings(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The takes of each word and speaker."""
    found: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(folder.rglob("*_*_*.wav")):
        word, speaker, _ = file.stem.split("_")
        found.setdefault((word, speaker), []).append(file)
    return found


def drive(
    vehicle: Classifier,
    files: dict[tuple[str, str], list[Path]],
    driver: str,
    number: int,
    takes: int,
    noise: Iterable[bytes],
) -> dict[str, float]:
    """What becomes of one driver's words: shares, 0 to 1."""
    words = sorted({word for word, _ in files})
    turned = words[number:] + words[:number]
    known, strangers, unknown = turned[:WORDS], turned[WORDS : WORDS + STRANGERS], turned[WORDS + STRANGERS :]
    for word in known:
        vehicle.enroll(word, files[word, driver][:SHOTS], actor=driver)
    vehicle.calibrate([file for word in strangers for file in files[word, driver]], actor=driver)
    others = sorted({speaker for _, speaker in files} - {driver})

    def said(asked: list[str]) -> list[tuple[str, Path]]:
        return [(word, file) for word in asked for speaker in others for file in files[word, speaker][:takes]]

    answers = [(word, vehicle.classify(file)) for word, file in said(known)]
    wrong = [vehicle.classify(file).known for _, file in said(unknown)]
    return {
        "nearest": statistics.fmean(answer.label == word for word, answer in answers),
        "right": statistics.fmean(answer.known and answer.label == word for word, answer in answers),
        "taken_for_another": statistics.fmean(answer.known and answer.label != word for word, answer in answers),
        "unknown_words_accepted": statistics.fmean(wrong),
        "noise_accepted": statistics.fmean(vehicle.classify(sound).known for sound in noise),
    }


def hiss(rng: np.random.Generator) -> bytes:
    """A second of wind and tyres: noise whose power falls with frequency, as WAV."""
    spectrum = np.fft.rfft(rng.normal(0, 1, RATE_HZ))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** rng.uniform(0, 1)
    samples = np.fft.irfft(spectrum, RATE_HZ)
    samples = samples / np.abs(samples).max() * rng.uniform(0.05, 0.8) * 32767
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Mean of each share over drivers, with a 95 % interval by Student's t."""
    told = {}
    for key in rounds[0]:
        values = [figures[key] for figures in rounds]
        half = STUDENT[len(values) - 1] * statistics.stdev(values) / len(values) ** 0.5
        told[key] = {"mean": round(statistics.fmean(values), 4), "ci95": round(half, 4)}
    return told


if __name__ == "__main__":
    main()
