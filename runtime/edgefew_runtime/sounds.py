"""A recording, however it comes, as one channel of samples at the bundle's rate: float32 [samples], from -1 to 1.

Files are read by soundfile (libsndfile) and brought to the rate by soxr. Cutting to the window's length, the
spectrogram and its normalisation are inside the embed graph, so that every host does them alike.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import FrameError, RuntimeMissingError
from .frames import SOUND_SUFFIXES, Frame, FrameLike, read_file
from .regular_file import shown
from .sound_quality import LARGEST

MAX_VALUES = 16_000_000
"""A longer recording is refused: 64 MB as float32, 16 minutes at 16 kHz."""

MAX_CHANNELS = 64
RATES = range(1_000, 384_001)
"""Samples a second that a file may have."""

_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC")
_TAKES = "This bundle takes sounds."


def load_sound(frame: FrameLike, rate: int, name: str = "bytes") -> Frame:
    """The recording as float32 [samples] at the rate; several channels become their mean.

    >>> load_sound(np.array([0, 16384, -32768], np.int16), 16000).values
    array([ 0. ,  0.5, -1. ], dtype=float32)

    Args:
        frame: an array at that rate, [samples] or [samples, channels]: floats from -1 to 1, or integers, whose full
            scale becomes 1; a path or the bytes of a WAV or FLAC file of any rate.
        rate: samples a second that the bundle takes.
        name: what bytes are called.

    Raises:
        FrameError: no such file, no recording, not finite, empty or too long.
        RuntimeMissingError: a package of the extra `audio` is needed and not installed.
    """
    if isinstance(frame, Frame):
        return Frame(
            _at_rate(_mono(frame.values, frame.name), frame.rate or rate, rate, frame.name), frame.name, None, rate
        )
    if isinstance(frame, np.ndarray):
        if hasattr(frame, "mask"):  # without loading numpy.ma to ask
            raise FrameError("A masked array was given; what is masked has no value. Fill it (array.filled) first.")
        return Frame(_mono(np.asarray(frame), "The array"), "array", None, rate)
    if isinstance(frame, (str, Path)):
        path = Path(frame)
        name, data = shown(path), read_file(path)
        if path.suffix.lower() not in SOUND_SUFFIXES:
            raise FrameError(f"{name} is no recording that can be read (.wav or .flac was expected). {_TAKES}")
    elif isinstance(frame, (bytes, bytearray, memoryview)):
        data = bytes(frame)
    else:
        raise FrameError(
            f"A frame of type {type(frame).__name__} was given. {_TAKES} Give a path, the bytes of a WAV or FLAC file, "
            f"or a numpy array [samples] at {rate} Hz."
        )
    samples, own_rate = _decode(data, name)
    return Frame(_at_rate(_mono(samples, name), own_rate, rate, name), name, None, rate)


def cut(samples: npt.NDArray[np.float32], window: int, stride: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Windows of a long recording, each with the place of its first sample; the last one reaches the end.

    >>> [(place, part.tolist()) for place, part in cut(np.arange(5, dtype=np.float32), 3, 1)][::2]
    [(0, [0.0, 1.0, 2.0]), (2, [2.0, 3.0, 4.0])]

    Args:
        samples: float32 [samples]; a recording shorter than a window is given whole.
        window: samples of a window.
        stride: samples from one window's start to the next's, at least 1.
    """
    last = max(0, len(samples) - window)
    for place in [*range(0, last, stride), last]:
        yield place, samples[place : place + window]


def _decode(data: bytes, name: str) -> tuple[npt.NDArray[np.float32], int]:
    try:
        import soundfile
    except ImportError:
        raise _missing("Reading sound files needs soundfile") from None
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in _FORMATS:
                raise FrameError(f"{name} is a file of the format {file.format}; WAV or FLAC was expected. Convert it.")
            if file.samplerate not in RATES or file.channels > MAX_CHANNELS:
                raise FrameError(
                    f"{name} has {file.channels} channels at {file.samplerate} Hz; up to {MAX_CHANNELS} at "
                    f"{RATES.start} to {RATES.stop - 1} Hz were expected. Convert it."
                )
            # Before anything is decoded: a few bytes can claim any length.
            _check_length(file.frames * file.channels, name)
            return file.read(dtype="float32", always_2d=True), file.samplerate
    except soundfile.LibsndfileError as error:
        text = str(error.error_string).strip().rstrip(".")
        raise FrameError(f"{name} is no WAV or FLAC file that can be read: {text}. Check the file.") from None


def _at_rate(samples: npt.NDArray[np.float32], own: int, rate: int, name: str) -> npt.NDArray[np.float32]:
    """The samples at another rate: band-limited, as soxr's setting HQ does."""
    if own == rate:
        return samples
    _check_length(len(samples) * rate // own, name)
    try:
        import soxr
    except ImportError:
        raise _missing(f"{name} has {own} Hz and the bundle takes {rate} Hz; this needs soxr") from None
    changed = np.asarray(soxr.resample(samples, own, rate), np.float32)
    if not len(changed):
        raise FrameError(f"{name} has {len(samples)} samples at {own} Hz: too few for one at {rate} Hz.")
    return changed


def _mono(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or 0 in array.shape:
        raise FrameError(
            f"{name} is {array.dtype} {list(array.shape)}; floats or integers [samples] or [samples, channels] were "
            f"expected. {_TAKES}"
        )
    _check_length(array.size, name)
    if array.ndim == 2 and array.shape[1] > MAX_CHANNELS:
        raise FrameError(f"{name} has {array.shape[1]} channels. It seems to lie on its side: give its transpose.")
    if array.dtype.kind in "iu":
        half = 2.0 ** (8 * array.dtype.itemsize - 1)
        array = array / half - (array.dtype.kind == "u")
    with np.errstate(over="ignore"):
        samples = np.ascontiguousarray(array if array.ndim == 1 else array.mean(axis=1), np.float32)
    bad = ~(np.abs(samples) <= LARGEST)
    if bad.any():
        raise FrameError(
            f"{name} holds {samples[bad][0]} at sample {int(bad.argmax())} (from 0); numbers from -1 to 1 were "
            f"expected (up to {LARGEST:g} are taken). Check the recording."
        )
    return samples


def _check_length(values: int, name: str) -> None:
    if values > MAX_VALUES:
        raise FrameError(f"{name} has {values:,} samples; {MAX_VALUES:,} are the most. Give a shorter part of it.")
    if values < 1:
        raise FrameError(f"{name} has no samples. Check the recording.")


def _missing(what: str) -> RuntimeMissingError:
    return RuntimeMissingError(
        f'{what}. Install it: pip install "edgefew-runtime[audio]", or give arrays at the bundle\'s rate.'
    )
