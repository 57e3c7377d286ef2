"""The vehicle example's spoken commands, on made melodies: who does what, what is counted, what is left out."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Classifier, DataError
from edgefew_runtime.sounds import load_sound

from examples.vehicle import commands, noises, table, vehicle
from examples.vehicle.picture import draw
from examples.vehicle.shown import show
from examples.vehicle.spoken import SHOTS, Spoken, halves, lay_out, left_out, read
from tests.sounds import RATE, make_sound

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")
WORDS, SPEAKERS, TAKES = 6, 4, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("melodies")
    for word in range(WORDS):
        (root / f"tune{word}").mkdir()
        for speaker in range(SPEAKERS):
            for take in range(TAKES):
                name = root / f"tune{word}" / f"tune{word}_player{speaker}_{take}.wav"
                soundfile.write(name, make_sound(400 + word, speaker, take), RATE)
    return root


@pytest.fixture(scope="module")
def spoken(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Spoken:
    return read(folder, tmp_path_factory.mktemp("nothing"))


@pytest.fixture(scope="module")
def result(sound_bundle: Path, spoken: Spoken) -> dict:
    return commands.figures({"speech": [sound_bundle] * 2}, spoken, halves(spoken, 0), 0)


def test_no_word_and_no_speaker_has_two_parts(spoken: Spoken) -> None:
    for half in halves(spoken, 0):
        assert not set(half.people) & set(half.drivers)
        for commanded, others in half.turns:
            assert not set(commanded) & set(others)
            assert not set(half.fitted) & {*commanded, *others}
            assert {*half.fitted, *commanded, *others} == set(spoken.words)
        assert half.turns[0] == half.turns[1][::-1]
    one, other = halves(spoken, 0)
    assert (one.people, one.drivers) == (other.drivers, other.people)


def test_an_archive_or_a_flat_folder_is_read_as_a_folder_is(folder: Path, spoken: Spoken, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "words.zip", "w") as archive:
        for file in folder.rglob("*.wav"):
            archive.write(file, f"inside/{file.name}")
    for place in (tmp_path, tmp_path / "words.zip"):
        again = read(place, tmp_path / "scratch")
        assert (again.words, again.speakers) == (spoken.words, spoken.speakers)
        assert [f.name for _, f in again.takes(again.words, again.speakers)] == [
            f.name for _, f in spoken.takes(spoken.words, spoken.speakers)
        ]


def test_too_few_recordings_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds 1 words by 4 speakers.*Record more"):
        read(folder / "tune0", tmp_path)
    (tmp_path / "hello.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"WORD_SPEAKER_TAKE\.wav was expected"):
        read(tmp_path, tmp_path)


def test_what_is_left_out_is_said_with_what_would_help(folder: Path, tmp_path: Path) -> None:
    assert "make vehicle RECORDINGS=FOLDER" in left_out(tmp_path / "none")
    expected = r"Spoken commands are left out|Record more"  # the first where the extra `speech` is not installed
    with vehicle.commands(folder / "tune0", tmp_path / "out", 0) as told, pytest.raises(SystemExit, match=expected):
        told()


def test_the_figures_are_shares_with_an_interval_over_drivers(result: dict) -> None:
    told = result["bundles"]["speech"]
    assert set(told) == set(table.SOUND_ROWS)
    for row in told.values():
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 1
        assert row["drivers"] == SPEAKERS
    assert told["right"]["mean"] <= told["nearest"]["mean"]
    assert told["right"]["mean"] + told["wrong"]["mean"] <= 1
    assert told["right"]["mean"] <= told["right_looser"]["mean"]
    assert told["new_word"]["mean"] <= told["new_word_looser"]["mean"]
    assert (result["commands"], result["strangers"], result["recordings"]) == (2, 1, WORDS * SPEAKERS * TAKES)


def test_the_nearest_is_right_as_often_as_a_vehicle_says(result: dict, sound_bundle: Path, spoken: Spoken) -> None:
    """Once more by the public calls alone."""
    shares = []
    for half in halves(spoken, 0):
        for driver in half.drivers:
            for words, _ in half.turns:
                with Classifier.open(sound_bundle) as device:
                    for word in words:
                        device.enroll(word, list(spoken.files[word, driver][:SHOTS]))
                    asked = spoken.takes(words, [who for who in half.drivers if who != driver])
                    shares.append(np.mean([device.classify(file).label == word for word, file in asked]))
    told = result["bundles"]["speech"]["nearest"]["mean"]
    assert told == pytest.approx(np.mean(shares))
    assert told > 1 / result["commands"]


def test_students_interval_over_drivers() -> None:
    told = commands.interval([0.2, 0.4, 0.6])
    # 0.4 ± 4.303 · 0.2 / √3 = 0.4 ± 0.497: cut at 0.
    assert (told["mean"], told["low"], told["high"]) == (pytest.approx(0.4), 0.0, pytest.approx(0.897, abs=1e-3))


@pytest.mark.parametrize("kind", [noises.wind, noises.hum, noises.clicks])
def test_noise_is_a_second_of_sound_and_repeatable(kind: object) -> None:
    one, again, other = (kind(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == again != other
    samples, rate = soundfile.read(io.BytesIO(one))
    assert (len(samples), rate) == (noises.RATE_HZ, noises.RATE_HZ)
    assert 0.04 < np.abs(samples).max() <= 0.81


def test_everyone_is_heard_in_the_babble() -> None:
    time = np.arange(4000) / noises.RATE_HZ
    voices = [[np.sin(2 * np.pi * pitch * time)] for pitch in (400, 700, 1100)]
    samples = load_sound(noises.babble(voices, np.random.default_rng(0)), noises.RATE_HZ).values
    spectrum = np.abs(np.fft.rfft(samples))
    heard = [spectrum[round(pitch * len(samples) / noises.RATE_HZ)] for pitch in (400, 700, 1100)]
    assert min(heard) > 20 * np.median(spectrum)


def test_what_is_laid_out_tells_its_speaker(spoken: Spoken, tmp_path: Path) -> None:
    root = lay_out(spoken, ["tune0", "tune3"], ["player1", "player2"], 2, tmp_path / "fit")
    names = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.wav"))
    assert names[:4] == ["tune0/player1_0.wav", "tune0/player1_1.wav", "tune0/player2_0.wav", "tune0/player2_1.wav"]
    assert len(names) == 8


def test_the_picture_shows_signs_and_commands(result: dict, sound_bundle: Path, spoken: Spoken, tmp_path: Path) -> None:
    half = halves(spoken, 0)[0]
    noise = commands.noise_of(spoken, half, half.drivers[0], half.turns[0][1], 0)
    shown = show(sound_bundle, commands.RATE, spoken, half, noise)
    assert [clip.get("answer", "") for clip in shown[:SHOTS]] == [""] * SHOTS
    assert len(shown) == SHOTS + 6
    (tmp_path / "shown.json").write_text(json.dumps(shown), encoding="utf-8")
    committed = json.loads((Path(vehicle.__file__).parent / "figures.json").read_text(encoding="utf-8"))
    track = vehicle.Track("stop", 0, "clear", (np.zeros((20, 20, 3), np.uint8),) * 3)
    unknown = vehicle.Asked(track, False, (None,) * 3, ("stop",) * 3, (None,) * 3, None, "stop")
    known = vehicle.Asked(track, True, ("stop",) * 3, ("stop",) * 3, ("stop",) * 3, "stop", "stop")
    with_words = {**committed, "commands": result}
    draw([known, unknown], with_words, tmp_path / "both.png", tmp_path / "shown.json")
    without = {key: value for key, value in committed.items() if key != "commands"}
    draw([known, unknown], without, tmp_path / "signs.png")
    assert (tmp_path / "both.png").stat().st_size > (tmp_path / "signs.png").stat().st_size > 30_000
    assert "seed 0" in table.commands_table(result)
