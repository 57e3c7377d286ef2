"""Windows of signals in every form they come in, and in many in which they should not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import BundleFormatError, FrameError, InputSpec, SignalInput
from edgefew_runtime.frames import load_frame
from edgefew_runtime.gallery import pack_frame, unpack_frame
from edgefew_runtime.signal_quality import CLIPPED, signal_quality
from edgefew_runtime.signals import load_signal, write_npy
from PIL import Image

from tests.signals import make_signal

WAVE = make_signal(1, 0, 0)


def test_array_npy_and_csv_of_one_window_are_one_frame(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", WAVE)
    np.savetxt(tmp_path / "a.csv", WAVE, delimiter=",", fmt="%.9g")
    given_as = [WAVE, WAVE.astype(np.float64), np.asfortranarray(WAVE), WAVE.astype(">f4")]
    given_as += [tmp_path / "a.npy", str(tmp_path / "a.csv"), (tmp_path / "a.npy").read_bytes()]
    frames = [load_signal(frame, 2) for frame in given_as]
    assert all(np.array_equal(frame.values, WAVE) for frame in frames)
    assert all(frame.values.dtype == np.float32 and frame.values.flags.c_contiguous for frame in frames)
    assert len({frame.sha256() for frame in frames}) == 1
    assert load_signal(WAVE[:-1]).sha256() != frames[0].sha256()


def test_one_channel_needs_no_second_axis_and_integers_are_numbers() -> None:
    counts = np.arange(-3, 5, dtype=np.int16)
    assert np.array_equal(load_signal(counts, 1).values, counts[:, None].astype(np.float32))
    assert load_signal(b"\xef\xbb\xbf1\r\n2\r\n\r\n", 1).values.ravel().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("no/such/file.npy", "There is no file"),
        (b"", "is empty"),
        (b"time,volt\n1,2\n", "no table of numbers: could not convert string 'time'"),
        (b"1,2\n3\n", "no table of numbers: the number of columns changed"),
        (b"1;2\n3;4\n", "no table of numbers"),
        (b"\xff\xfe1", "no text in UTF-8"),
        (b"1,2\nnan,3\n", "holds nan at sample 1, channel 0"),
        (np.array([[1, np.inf], [0, 0]]), "holds inf at sample 0, channel 1"),
        (np.array([[1, 1e300], [0, 0]]), "at sample 0, channel 1"),
        (np.zeros((5, 3)), "has 3 channels, 2 expected"),
        (np.zeros((2, 50)), "has 50 channels, 2 expected.* on its side"),
        (np.zeros((0, 2)), r"shape \[0, 2\]"),
        (np.zeros((4, 6, 3), np.uint8), r"shape \[4, 6, 3\]"),
        (np.zeros((4, 2), complex), "holds complex128"),
        (np.zeros((4, 2), bool), "holds bool"),
        (np.ma.masked_less(np.ones((4, 2)), 0), "masked array"),
        (Image.new("RGB", (4, 4)), "takes windows of a signal"),
        ([1.0, 2.0], "type list"),
        (None, "type NoneType"),
    ],
)
def test_bad_windows_are_refused_with_what_was_seen(frame: object, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        load_signal(frame, 2)  # type: ignore[arg-type]


def test_other_files_are_refused_on_both_sides(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", WAVE)
    with pytest.raises(FrameError, match=r"a\.png is not a signal .* takes windows of a signal"):
        load_signal(tmp_path / "a.png", 2)
    with pytest.raises(FrameError, match=r"a\.npy is not an image .* takes images, no signals"):
        load_frame(tmp_path / "a.npy")
    with pytest.raises(FrameError, match="array of float32 was given, uint8"):
        load_frame(WAVE)


def test_a_kept_window_comes_back_to_the_bit() -> None:
    loaded = load_signal(WAVE, 2)
    kept = pack_frame(loaded)
    assert kept[1:] == write_npy(WAVE)
    back = unpack_frame(kept, "a")
    assert np.array_equal(back.values, WAVE)
    assert back.sha256() == loaded.sha256()
    with pytest.raises(FrameError, match="damaged"):
        unpack_frame(kept[:-1], "a")


def test_quality_sees_flat_channels_and_clipping() -> None:
    time = np.linspace(0, 6 * np.pi, 200)
    sine = np.sin(time)
    window = np.stack([sine, np.full(200, 1e6)], axis=1).astype(np.float32)
    assert signal_quality(window).flat == (1,)
    assert not signal_quality(window).blank
    assert signal_quality(window[:, 1:]).blank
    assert signal_quality(sine[:, None]).clipped < CLIPPED
    assert signal_quality(np.clip(sine, -0.8, 1)[:, None]).clipped > CLIPPED


def test_a_specification_survives_json_and_lies_are_refused() -> None:
    for spec in (
        InputSpec.signal(256, 1, seconds=0.7),
        InputSpec.signal(64, 2, "constant", (0.0, 1.0), (1.0, 2.0)),
        InputSpec.image(32, 3, (0.5,) * 3, (0.5,) * 3),
    ):
        assert InputSpec.from_dict(spec.to_dict()) == spec
    good = InputSpec.signal(64, 2).to_dict()
    assert isinstance(InputSpec.from_dict(good), SignalInput)
    for wrong in (
        {"size": [0]},
        {"size": [64, 2]},
        {"size": [2.5]},
        {"size": [1 << 40]},
        {"channels": 0},
        {"normalize": "by magic"},
        {"normalize": "constant"},
        {"std": [1.0, 1.0]},
        {"seconds": -1},
        {"dtype": "float64"},
        {"layout": "NCS"},
        {"mean": "ab"},
        {"colour": "RGB"},
    ):
        with pytest.raises((TypeError, ValueError)):
            InputSpec.from_dict({**good, **wrong})
    with pytest.raises(BundleFormatError, match=r"kind 'smell'.*knows image, signal.*Upgrade"):
        InputSpec.from_dict({**good, "kind": "smell"})
