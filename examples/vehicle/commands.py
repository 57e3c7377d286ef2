"""A driver teaches a vehicle spoken words: `python examples/vehicle/commands.py [--recordings FOLDER]`.

FOLDER holds files named WORD_SPEAKER_TAKE.wav. Half of the speakers prepare: a projection is fitted on two words of
theirs. Each of the other half in turn is the driver and enrolls commands, three takes each, which the rest of that half
then say. Of the other words all but one are strangers, as the preparing half and the driver say them, to calibrate on;
that one is asked about, and each in turn is that one. Then the halves change parts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import Answer, Classifier, EdgeFewError, head
from edgefew_runtime.gallery import Example
from edgefew_runtime.sounds import load_sound

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.vehicle import noises
from examples.vehicle.shown import show
from examples.vehicle.spoken import SHOTS, Half, Spoken, halves, lay_out, left_out, read
from examples.vehicle.steps import ROOT, edgefew
from examples.vehicle.table import commands_table

RATE, LOOSER = 0.05, 0.1
RECORDINGS = ROOT.parent / "shared" / "data" / "spoken_digits"
NOISES = 20
"""Of each kind, for each driver."""

VOICES = 4
PROOF_TAKES = 5
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's t at 97.5 %, by degrees of freedom; of more than nine the last is taken, which is too wide."""

Shares = dict[str, float]
Row = npt.NDArray[np.float32]


@dataclass
class Heard:
    """What a bundle makes of recordings, each embedded once.

    Attributes:
        bundle: the bundle.
        rows: float32 [d] of each file.
        digests: hash of each recording.
    """

    bundle: Path
    rows: dict[Path, Row] = field(default_factory=dict)
    digests: dict[Path, str] = field(default_factory=dict)

    def hear(self, vehicle: Classifier, files: Sequence[Path]) -> None:
        """Embed these files."""
        load = vehicle.bundle.manifest.input.load

        def loaded() -> Iterable[Any]:
            for file in files:
                frame = load(file)
                self.digests[file] = frame.sha256()
                yield frame

        self.rows |= dict(zip(files, vehicle.embed(loaded()), strict=True))

    def examples(self, files: Sequence[Path]) -> list[Example]:
        """What `Classifier.calibrate` makes of the files, without another run of the network."""
        rows = head.to_grid(np.stack([self.rows[file] for file in files]))
        return [Example(row, file.name, self.digests[file]) for row, file in zip(rows, files, strict=True)]


def main() -> None:
    """Export the bundles, let all drivers teach, write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--recordings", type=Path, default=RECORDINGS, help="files WORD_SPEAKER_TAKE.wav, or a zip of them"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "vehicle" / "commands")
    parser.add_argument("--figures", type=Path, help="where the figures go as JSON")
    parser.add_argument("--shown", type=Path, help="where a few recordings with their answers go as JSON")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if reason := left_out(options.recordings):
        sys.exit(f"Spoken commands are left out: {reason}")
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        spoken = read(options.recordings, options.out / "recordings")
        parts = halves(spoken, options.seed)
        bundles = export(spoken, parts, options.out)
        result = figures(bundles, spoken, parts, options.seed)
        if options.shown:
            half = parts[0]
            noise = noise_of(spoken, half, half.drivers[0], half.turns[0][1], options.seed)
            shown = show(bundles["wccn"][0], RATE, spoken, half, noise)
            options.shown.write_text(json.dumps(shown) + "\n", encoding="utf-8")
    except EdgeFewError as error:
        sys.exit(str(error))
    if options.figures:
        options.figures.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"\n{commands_table(result)}")


def export(spoken: Spoken, parts: tuple[Half, Half], out: Path) -> dict[str, list[Path]]:
    """The bundles of each way, one for each half; only what is fitted differs between the halves."""
    made: dict[str, list[Path]] = {"wccn": [], "speech": [], "raw": []}
    for number, half in enumerate(parts):
        rest = [word for word in spoken.words if word not in half.fitted]
        proof = lay_out(spoken, rest, half.people, PROOF_TAKES, out / f"proof-{number}")
        fit = lay_out(spoken, half.fitted, half.people, 1000, out / f"fit-{number}")
        held_out = ["--data", proof, "--source-pattern", r"^([^_]+)_", "--replace"]
        bundle = out / f"wccn-{number}.edgefew"
        edgefew("export", "speech_embedding", bundle, "--project", "wccn", "--project-data", fit, *held_out)
        made["wccn"].append(bundle)
        if number == 0:
            # Of these two only the scale of the probabilities is of the first half; no figure here depends on it.
            plain, raw = out / "speech.edgefew", out / "raw.edgefew"
            edgefew("export", "speech_embedding", plain, *held_out)
            spectra = ["--kind", "audio", "--rate", 16000, "--seconds", 1, "--bands", 40]
            edgefew("export", "examples.vehicle.raw_spectra:raw_spectra", raw, *spectra, *held_out)
            made |= {"speech": [plain] * 2, "raw": [raw] * 2}
    return made


def figures(bundles: dict[str, list[Path]], spoken: Spoken, parts: tuple[Half, Half], seed: int) -> dict[str, Any]:
    """What becomes of all drivers' words, for each way."""
    told = {}
    for name, pair in bundles.items():
        drivers = measure(pair, spoken, parts, seed)
        told[name] = {key: interval([driver[key] for driver in drivers]) for key in drivers[0]}
        print(f"{name}: {len(drivers)} drivers", flush=True)
    return {
        "promised": RATE,
        "looser": LOOSER,
        "shots": SHOTS,
        "commands": len(parts[0].turns[0][0]),
        "strangers": len(parts[0].turns[0][1]) - 1,
        "words": len(spoken.words),
        "speakers": len(spoken.speakers),
        "recordings": sum(map(len, spoken.files.values())),
        "seed": seed,
        "bundles": told,
    }


def measure(bundles: Sequence[Path], spoken: Spoken, parts: Sequence[Half], seed: int) -> list[Shares]:
    """The shares of each driver, 0 to 1, averaged over turns and unknown words."""
    told = []
    heard: dict[Path, Heard] = {}
    for bundle, half in zip(bundles, parts, strict=True):
        if bundle not in heard:
            heard = {bundle: Heard(bundle)}
            with Classifier.open(bundle) as embedder:
                heard[bundle].hear(embedder, [file for takes in spoken.files.values() for file in takes])
        for driver in half.drivers:
            rounds = [share for turn in half.turns for share in drive(heard[bundle], spoken, half, driver, turn, seed)]
            told.append({key: statistics.fmean(share[key] for share in rounds) for key in rounds[0]})
    return told


def drive(
    heard: Heard, spoken: Spoken, half: Half, driver: str, turn: tuple[tuple[str, ...], tuple[str, ...]], seed: int
) -> list[Shares]:
    """One driver enrolls these commands; the shares for each of the other words as the unknown one."""
    commands, others = turn
    colleague = half.people[0]
    told: list[Shares] = []
    with Classifier.open(heard.bundle, false_accept_rate=RATE) as vehicle:
        noise = {name: vehicle.embed(made) for name, made in noise_of(spoken, half, driver, others, seed).items()}
        for second in (False, True):
            for word in commands:
                who = colleague if second else driver
                vehicle.enroll(word, list(spoken.files[word, who][:SHOTS]), actor=who)
            for place, unknown in enumerate(others):
                given = [word for word in others if word != unknown]
                strangers = [file for _, file in spoken.takes(given, (*half.people, driver))]
                vehicle.gallery.calibrate(heard.examples(strangers), driver, replace=True)
                ask = Question(vehicle, heard, spoken, half, driver)
                if second:
                    told[place] |= {"right_two": ask.right(commands), "new_word_two": ask.taken([unknown])}
                else:
                    told.append(ask.all(commands, given, unknown, noise))
    return told


@dataclass(frozen=True)
class Question:
    """A vehicle that is asked, by the drivers who taught it nothing where it is not said otherwise.

    Attributes:
        vehicle: the vehicle.
        heard: embeddings of all recordings.
        spoken: the recordings.
        half: who does what.
        driver: who taught it.
    """

    vehicle: Classifier
    heard: Heard
    spoken: Spoken
    half: Half
    driver: str

    def all(self, commands: Sequence[str], given: Sequence[str], unknown: str, noise: dict[str, Any]) -> Shares:
        """Every share."""
        looser = Question(self.vehicle.at_rate(LOOSER), self.heard, self.spoken, self.half, self.driver)
        asked = self._answers(self._others(commands))
        own = [(word, file) for word in commands for file in self.spoken.files[word, self.driver][SHOTS:]]
        return {
            "nearest": statistics.fmean(answer.label == word for word, answer in asked),
            "right": statistics.fmean(answer.known and answer.label == word for word, answer in asked),
            "wrong": statistics.fmean(answer.known and answer.label != word for word, answer in asked),
            "driver_right": statistics.fmean(a.known and a.label == word for word, a in self._answers(own)),
            "given_word": self.taken(given),
            "new_word": self.taken([unknown]),
            "new_word_driver": statistics.fmean(
                answer.known for _, answer in self._answers(self.spoken.takes([unknown], [self.driver]))
            ),
            **{name: statistics.fmean(self.vehicle.answer(row).known for row in rows) for name, rows in noise.items()},
            "right_looser": looser.right(commands),
            "new_word_looser": looser.taken([unknown]),
        }

    def right(self, words: Sequence[str]) -> float:
        """How many of the others' takes are known and by their right name."""
        return statistics.fmean(a.known and a.label == word for word, a in self._answers(self._others(words)))

    def taken(self, words: Sequence[str]) -> float:
        """How many of the others' takes are taken for a command, these words being none."""
        return statistics.fmean(answer.known for _, answer in self._answers(self._others(words)))

    def _others(self, words: Sequence[str]) -> list[tuple[str, Path]]:
        return self.spoken.takes(words, [who for who in self.half.drivers if who != self.driver])

    def _answers(self, takes: Sequence[tuple[str, Path]]) -> list[tuple[str, Answer]]:
        return [(word, self.vehicle.answer(self.heard.rows[file])) for word, file in takes]


def noise_of(spoken: Spoken, half: Half, driver: str, words: Sequence[str], seed: int) -> dict[str, list[bytes]]:
    """Noise, and other people who say these words at once, the same for each bundle."""
    rng = np.random.default_rng([seed, *driver.encode()])
    people = [who for who in spoken.speakers if who != driver]

    def crowd() -> list[list[Any]]:
        voices = rng.permutation(people)[:VOICES].tolist()
        files = [spoken.files[words[int(rng.integers(len(words)))], who] for who in voices]
        return [[samples(file) for file in takes[:6]] for takes in files]

    made = [kind(rng) for kind in (noises.wind, noises.hum, noises.clicks) for _ in range(NOISES)]
    return {"noise": made, "babble": [noises.babble(crowd(), rng) for _ in range(NOISES)]}


@lru_cache(maxsize=2048)
def samples(file: Path) -> npt.NDArray[np.float32]:
    """A recording at the rate of the noise; the babble of several drivers is made of the same ones."""
    return load_sound(file, noises.RATE_HZ).values


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean of one value a driver, with its 95 % interval by Student's t, cut at 0 and 1."""
    mean, n = statistics.fmean(values), len(values)
    half = STUDENT[min(n - 1, max(STUDENT))] * statistics.stdev(values) / n**0.5
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half), "drivers": n}


if __name__ == "__main__":
    main()
