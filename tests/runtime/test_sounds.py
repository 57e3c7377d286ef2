"""Recordings in every form they come in, and in many in which they should not."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import AudioInput, FrameError, InputSpec, RuntimeMissingError
from edgefew_runtime.gallery import pack_frame, unpack_frame
from edgefew_runtime.gallery.kept_frames import digest
from edgefew_runtime.labelled_folder import read_frames, read_labelled_folder
from edgefew_runtime.sound_quality import sound_quality
from edgefew_runtime.sounds import cut, load_sound

from tests.sounds import RATE, make_folder, make_sound

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")

TUNE = make_sound(1, 1, 0)


def written(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def test_array_and_file_of_one_recording_are_one_frame(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(written(TUNE))
    given_as = [TUNE, TUNE.astype(np.float64), TUNE[:, None], np.stack([TUNE, TUNE], axis=1)]
    given_as += [tmp_path / "a.wav", str(tmp_path / "a.wav"), written(TUNE), bytearray(written(TUNE))]
    frames = [load_sound(frame, RATE) for frame in given_as]
    assert all(np.array_equal(frame.values, TUNE) for frame in frames)
    assert all((frame.values.dtype, frame.rate) == (np.float32, RATE) for frame in frames)
    assert len({frame.sha256() for frame in frames}) == 1
    assert load_sound(TUNE[:-1], RATE).sha256() != frames[0].sha256()


def test_flac_and_integers_are_the_same_to_their_last_bit() -> None:
    counts = np.round(TUNE * 32767).astype(np.int16)
    flac = load_sound(written(counts, kind="FLAC", subtype="PCM_16"), RATE).values
    assert np.array_equal(flac, load_sound(counts, RATE).values)
    assert np.abs(flac - TUNE).max() < 1e-4
    assert load_sound(np.array([0, 128, 255], np.uint8), RATE).values == pytest.approx([-1, 0, 127 / 128])


@pytest.mark.parametrize("own", [8000, 11_025, 16_000, 44_100, 48_000])
def test_a_file_of_another_rate_is_brought_to_the_bundles(own: int) -> None:
    wanted = 16_000
    time = np.arange(own) / own
    frame = load_sound(written(0.5 * np.sin(2 * np.pi * 440 * time).astype(np.float32), own), wanted)
    assert abs(len(frame.values) - wanted) <= 1
    truth = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(frame.values)) / wanted)
    middle = slice(wanted // 10, -wanted // 10)
    assert np.abs(frame.values - truth)[middle].max() < 1e-3


def test_what_the_lower_rate_cannot_hold_goes() -> None:
    time = np.arange(48_000) / 48_000
    above = np.sin(2 * np.pi * 6000 * time).astype(np.float32)
    assert np.abs(load_sound(written(above, 48_000), 8000).values[800:-800]).max() < 1e-3


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("no/such/file.wav", "There is no file"),
        (b"", "no WAV or FLAC file"),
        (b"RIFF....WAVE", "no WAV or FLAC file"),
        (written(TUNE)[:30], "no WAV or FLAC file"),
        (written(TUNE, kind="AIFF", subtype="PCM_16"), "of the format AIFF; WAV or FLAC"),
        (written(TUNE[:0]), "has no samples"),
        (written(np.float32([0, np.nan])), "holds nan at sample 1"),
        (np.float32([0, 1, np.inf]), "holds inf at sample 2"),
        (np.float32([0, 2e6]), "from -1 to 1"),
        (np.zeros(0, np.float32), "0]; floats or integers"),
        (np.zeros((2, 500), np.float32), "500 channels. It seems to lie on its side"),
        (np.zeros((4, 6, 3), np.uint8), r"uint8 \[4, 6, 3\]"),
        (np.zeros(4, complex), "complex128"),
        (np.zeros(4, bool), "bool"),
        (np.zeros(16_000_001, np.int8), "16,000,000 are the most"),
        (np.ma.masked_less(np.ones(4), 0), "masked array"),
        ([1.0, 2.0], "type list"),
        (None, "type NoneType"),
    ],
    # by what is said: a WAV of floats holds the time at which it was written, and workers must agree on names
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_recordings_are_refused_with_what_was_seen(frame: object, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        load_sound(frame, RATE)  # type: ignore[arg-type]


@pytest.mark.parametrize("package", ["soundfile", "soxr"])
def test_a_missing_package_is_an_instruction(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeMissingError, match=rf'needs {package}.*pip install "edgefew-runtime\[audio\]"'):
        load_sound(written(TUNE), 16_000)
    assert load_sound(TUNE, RATE).rate == RATE


def test_a_kept_recording_comes_back_and_goes_to_another_rate() -> None:
    frame = load_sound(TUNE, RATE)
    content = pack_frame(frame)
    again = unpack_frame(content, "a")
    assert np.array_equal(again.values, TUNE)
    assert digest(content) == frame.sha256()
    assert len(InputSpec.audio(16_000, 16_000).load(again).values) == 2 * len(TUNE)
    for bad in (content[:3], content[:-1], content[:1] + b"\0\0\0\0" + content[5:-4]):
        with pytest.raises(FrameError):
            unpack_frame(bad, "a")


def test_windows_of_a_long_recording_reach_its_end() -> None:
    samples = np.arange(1000, dtype=np.float32)
    windows = list(cut(samples, 300, 250))
    assert [place for place, _ in windows] == [0, 250, 500, 700]
    assert all(len(part) == 300 and part[0] == place for place, part in windows)
    assert [(place, len(part)) for place, part in cut(samples[:200], 300, 250)] == [(0, 200)]


def test_quality_tells_silence_loudness_and_clipping() -> None:
    assert sound_quality(np.zeros(9, np.float32)).blank
    assert sound_quality(np.full(9, 0.3, np.float32)).peak == -math.inf
    assert sound_quality(np.float32([0.01, 0])).peak == -40.0
    assert sound_quality(TUNE).clipped == 0
    assert sound_quality((9 * TUNE).clip(-1, 1)).clipped > 0.05


def test_a_folder_of_recordings_is_found_and_read_at_one_rate(tmp_path: Path) -> None:
    folder = read_labelled_folder(make_folder(tmp_path / "tunes", range(2), takes=1))
    assert (folder.kind, len(folder), len(folder.classes)) == ("audio", 6, 2)
    assert {values.shape for _, values in read_frames(folder)} == {(8000,)}  # half a second at 16 kHz
    assert {values.shape for _, values in read_frames(folder, load=InputSpec.audio(4000, RATE).load)} == {(4000,)}


def test_the_specification_goes_to_json_and_back() -> None:
    for spec in (InputSpec.audio(16_000, 16_000), InputSpec.audio(12_345, 44_100, 0)):
        again = InputSpec.from_dict(spec.to_dict())
        assert isinstance(again, AudioInput)
        assert again == spec
    assert InputSpec.audio(16_000, 16_000).network_shape == (1, 40, 98)
    assert InputSpec.audio(500, 16_000, 0).network_shape == (1, 500)


@pytest.mark.parametrize(
    "lie",
    [
        {"rate": 0},
        {"rate": "16000"},
        {"rate": True},
        {"size": (100,)},
        {"size": (160,)},
        {"size": (1 << 30,)},
        {"size": (160, 160)},
        {"bands": -1},
        {"bands": 1000},
        {"channels": 2},
        {"mean": (0.0,)},
        {"dtype": "float64"},
        {"layout": "NSC"},
    ],
)
def test_a_specification_that_cannot_be_is_refused(lie: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"a (sound|spectrogram) of"):
        InputSpec.from_dict({**InputSpec.audio(16_000, 16_000).to_dict(), **lie})
