"""Recordings of spoken words, and who does what with them: no word and no speaker ever has two parts."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from edgefew_runtime import DataError
from edgefew_runtime.frames import SOUND_SUFFIXES

SHOTS = 3
"""Takes that enroll a command."""

FITTED = 2
"""Words that the projection is fitted on."""

LEAST_WORDS, LEAST_SPEAKERS = 6, 4
PACKAGES = {"soundfile": "edgefew-runtime[audio]", "soxr": "edgefew-runtime[audio]", "livekit-wakeword": "speech"}


@dataclass(frozen=True)
class Spoken:
    """Recordings by word and speaker.

    Attributes:
        words: their names.
        speakers: theirs.
        files: the takes of each word and speaker.
    """

    words: tuple[str, ...]
    speakers: tuple[str, ...]
    files: dict[tuple[str, str], tuple[Path, ...]]

    def takes(self, words: Iterable[str], speakers: Iterable[str]) -> list[tuple[str, Path]]:
        """All takes of these words by these speakers, with the word."""
        pairs = [(word, speaker) for word in words for speaker in speakers]
        return [(word, file) for word, speaker in pairs for file in self.files[word, speaker]]


@dataclass(frozen=True)
class Half:
    """The parts, where one half of the speakers prepares and the other drives.

    Attributes:
        people: of the depot: the projection is fitted on them, and their other words are strangers.
        drivers: each in turn enrolls, the others of them ask.
        fitted: words that the projection is fitted on, and that are nothing else.
        turns: commands and other words; then the other way round.
    """

    people: tuple[str, ...]
    drivers: tuple[str, ...]
    fitted: tuple[str, ...]
    turns: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def left_out(place: Path) -> str:
    """Why commands cannot be taught from here, and what would help; nothing if they can."""
    if not place.exists():
        return (
            f"there are no recordings at {place}. Give a folder of your own with `--recordings FOLDER` (make vehicle "
            f"RECORDINGS=FOLDER): FOLDER/**/WORD_SPEAKER_TAKE.wav, at least {LEAST_WORDS} words, {LEAST_SPEAKERS} "
            "speakers, and more than three takes of each word by each. The figures in the README are those of the Free "
            "Spoken Digit Dataset, whose folder can be given as it is."
        )
    for package, extra in PACKAGES.items():
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            name = extra if "[" in extra else f"edgefew-export[{extra}]"
            return f"the package {package} is not installed: pip install '{name}'."
    return ""


def read(place: Path, scratch: Path) -> Spoken:
    """The recordings of a folder, named WORD_SPEAKER_TAKE.wav, loose or in one archive (zip), unpacked to `scratch`.

    Raises:
        DataError: a file is not named so, or words, speakers or takes are too few.
    """
    files = _recordings(place)
    archives = [place] if place.is_file() else sorted(place.glob("*.zip"))
    if not files and archives:
        with zipfile.ZipFile(archives[0]) as archive:
            archive.extractall(scratch)
        files = _recordings(scratch)
    found: dict[tuple[str, str], list[Path]] = {}
    for file in files:
        word, *rest = file.stem.rsplit("_", 2)
        if len(rest) < 2:
            raise DataError(f"{file} does not say what is said and who speaks; WORD_SPEAKER_TAKE.wav was expected.")
        found.setdefault((word, rest[0]), []).append(file)
    words, speakers = (tuple(sorted(set(names))) for names in zip(*found, strict=True)) if found else ((), ())
    fewest = min((len(found.get((word, speaker), ())) for word in words for speaker in speakers), default=0)
    if len(words) < LEAST_WORDS or len(speakers) < LEAST_SPEAKERS or fewest <= SHOTS:
        raise DataError(
            f"{place} holds {len(words)} words by {len(speakers)} speakers, and at least {fewest} takes of each "
            f"word by each; {LEAST_WORDS}, {LEAST_SPEAKERS} and {SHOTS + 1} were expected. Record more."
        )
    return Spoken(words, speakers, {key: tuple(takes) for key, takes in found.items()})


def _recordings(place: Path) -> list[Path]:
    return sorted(file for suffix in SOUND_SUFFIXES for file in place.rglob(f"*{suffix}"))


def halves(spoken: Spoken, seed: int) -> tuple[Half, Half]:
    """Both halves of the speakers as the people of the depot."""
    middle = len(spoken.speakers) // 2
    sides = spoken.speakers[:middle], spoken.speakers[middle:]
    return _half(spoken, *sides, [seed, 0]), _half(spoken, *sides[::-1], [seed, 1])


def _half(spoken: Spoken, people: tuple[str, ...], drivers: tuple[str, ...], seed: list[int]) -> Half:
    rng = np.random.default_rng(seed)
    words = [spoken.words[place] for place in rng.permutation(len(spoken.words))]
    fitted, rest = words[:FITTED], words[FITTED:]
    one, other = tuple(rest[: len(rest) // 2]), tuple(rest[len(rest) // 2 :])
    return Half(people, drivers, tuple(fitted), ((one, other), (other, one)))


def lay_out(spoken: Spoken, words: Sequence[str], speakers: Sequence[str], takes: int, out: Path) -> Path:
    """Takes of these words by these speakers as a labelled folder for `edgefew export`: WORD/SPEAKER_TAKE.wav."""
    shutil.rmtree(out, ignore_errors=True)
    for word in words:
        (out / word).mkdir(parents=True)
        for speaker in speakers:
            for number, file in enumerate(spoken.files[word, speaker][:takes]):
                shutil.copyfile(file, out / word / f"{speaker}_{number}{file.suffix}")
    return out
