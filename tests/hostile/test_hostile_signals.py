"""Files of signals that lie about themselves."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from edgefew_runtime import FrameError
from edgefew_runtime.signals import MAX_CSV_BYTES, MAX_VALUES, load_signal
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signals import make_signal

WAVE = make_signal(1, 0, 0)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        npy(WAVE)[:-1],
        npy(WAVE) + b"x",
        npy(WAVE)[:40],
        npy(WAVE)[:7],
        b"\x93NUMPY\x09\x00" + npy(WAVE)[8:],
        npy(WAVE).replace(b"(64, 2)", b"(9000000000, 2)"),
        npy(WAVE).replace(b"(64, 2)", b"(-64, -2)"),
        npy(WAVE).replace(b"(64, 2)", b"(1e3, 2)"),
        npy(WAVE).replace(b"'<f4'", b"__x__"),
        npy(np.array([None, {}], object)),
        with_header(b"{" * 5000),
        with_header(b"(" * 60000),
        with_header(b"9" * 9000),
    ],
)
def test_a_damaged_or_lying_npy_is_refused_before_anything_is_made_of_it(data: bytes) -> None:
    with pytest.raises(FrameError, match=r"damaged \.npy file"):
        load_signal(data)


@pytest.mark.parametrize("dtype", ["M8[s]", "S4", "U4", "V8", "c16", "?", "i4,f4"])
def test_npy_of_what_is_no_number_is_refused(dtype: str) -> None:
    with pytest.raises(FrameError, match="floats or integers were expected"):
        load_signal(npy(np.zeros((4, 2), dtype)))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(npy(WAVE)) - 1), st.integers(0, 255))
def test_a_changed_byte_of_npy_gives_a_window_or_a_frame_error(place: int, byte: int) -> None:
    data = bytearray(npy(WAVE))
    data[place] = byte
    with contextlib.suppress(FrameError):
        assert np.isfinite(load_signal(bytes(data)).values).all()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("0123456789.,;eE+-naif \n\r\t#\"'xX", max_size=200).map(str.encode)))
def test_any_bytes_as_csv_give_a_window_or_a_frame_error(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        assert np.isfinite(load_signal(data).values).all()


def test_too_large_a_window_is_refused() -> None:
    with pytest.raises(FrameError, match="16,000,000 are the most"):
        load_signal(np.broadcast_to(np.float32(1), (MAX_VALUES + 1,)))
    with pytest.raises(FrameError, match=r"larger than 32 MiB\. Save it as \.npy"):
        load_signal(b"1\n" * (MAX_CSV_BYTES // 2 + 1))
