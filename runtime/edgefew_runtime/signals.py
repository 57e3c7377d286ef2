"""A window of a signal, however it comes, as raw samples: float32 [samples, channels].

Nothing is resampled or normalised here: that is inside the embed graph, so that every host does it alike.
"""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import FrameError
from .frames import SIGNAL_SUFFIXES, Frame, FrameLike, read_file
from .regular_file import shown
from .signal_quality import LARGEST

MAX_VALUES = 16_000_000
"""A larger window is refused: 64 MB as float32."""

MAX_CSV_BYTES = 1 << 25
"""A larger CSV file is refused before it is parsed, which takes about ten times as long as reading .npy."""

_NPY_MAGIC = b"\x93NUMPY"
_TAKES = "This bundle takes windows of a signal."
_EXPECTED_CSV = "A row of numbers for each sample was expected, with commas between channels and no header."


def load_signal(frame: FrameLike, channels: int | None = None, name: str = "bytes") -> Frame:
    """The window as raw samples; anything but finite numbers [samples, channels] is refused.

    >>> load_signal(np.arange(6), channels=1).values.shape
    (6, 1)

    Args:
        frame: an array of floats or integers, [samples, channels] or [samples]; a path or the bytes of a file: .npy, or
            CSV with a row for each sample and a column for each channel.
        channels: how many are expected; any number if not given.
        name: what bytes are called.

    Raises:
        FrameError: no such file, not a signal, not finite, empty, too large, or of another number of channels.
    """
    if isinstance(frame, Frame):
        return Frame(_samples(frame.values, frame.name, channels), frame.name)
    if isinstance(frame, np.ndarray):
        if hasattr(frame, "mask"):  # without loading numpy.ma to ask
            raise FrameError("A masked array was given; what is masked has no value. Fill it (array.filled) first.")
        return Frame(_samples(np.asarray(frame), "The array", channels), "array")
    if isinstance(frame, (str, Path)):
        path = Path(frame)
        name, data = shown(path), read_file(path)
        if path.suffix.lower() not in SIGNAL_SUFFIXES:
            raise FrameError(f"{name} is not a signal that can be read (.npy or .csv was expected). {_TAKES}")
    elif isinstance(frame, (bytes, bytearray, memoryview)):
        data = bytes(frame)
    else:
        raise FrameError(
            f"A frame of type {type(frame).__name__} was given. {_TAKES} Give a path, the bytes of a .npy or .csv "
            "file, or a numpy array [samples, channels]."
        )
    array = read_npy(data, name) if data.startswith(_NPY_MAGIC) else _read_csv(data, name)
    return Frame(_samples(array, name, channels), name)


def write_npy(samples: npt.NDArray[np.float32]) -> bytes:
    """Samples as the bytes of an .npy file; the same samples give the same bytes."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(samples, "<f4"), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def read_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    """The array in the bytes of an .npy file, as large as it says and no larger.

    Raises:
        FrameError: it is damaged, or of no numbers.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numpy, about headers of Python 2
            shape, is_fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which can run code")
        # Compared before anything is made of it: a header can claim any shape.
        wanted = math.prod(shape) * dtype.itemsize
        if wanted != len(data) - file.tell() or min(shape, default=0) < 0:
            raise ValueError(f"{len(data) - file.tell():,} bytes of data where its header says {wanted:,}")
        flat = np.frombuffer(data, dtype, math.prod(shape), file.tell())
    except Exception as error:  # numpy's reader of headers raises errors of a dozen types
        raise FrameError(f"{name} is a damaged .npy file: {str(error) or type(error).__name__}.") from None
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _read_csv(data: bytes, name: str) -> npt.NDArray[Any]:
    if len(data) > MAX_CSV_BYTES:
        raise FrameError(f"{name} is larger than {MAX_CSV_BYTES >> 20} MiB. Save it as .npy, or give a shorter window.")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise FrameError(f"{name} is no text in UTF-8, as a CSV file is. {_EXPECTED_CSV}") from None
    if not text:
        raise FrameError(f"{name} is empty. {_EXPECTED_CSV}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.loadtxt(io.StringIO(text), np.float64, delimiter=",", comments=None, ndmin=2)
    except Exception as error:
        # numpy says which text is no number, or where the number of columns changes, and in which row.
        raise FrameError(f"{name} is no table of numbers: {_first_line(error)}. {_EXPECTED_CSV}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(";")[0].rstrip(". ")[:200] or type(error).__name__


def _samples(array: npt.NDArray[Any], name: str, channels: int | None) -> npt.NDArray[np.float32]:
    if array.dtype.kind not in "fiu":
        raise FrameError(f"{name} holds {array.dtype}; floats or integers were expected. {_TAKES}")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or 0 in array.shape:
        raise FrameError(
            f"{name} is of shape {list(array.shape)}; [samples, channels] or [samples] was expected. {_TAKES}"
        )
    if array.size > MAX_VALUES:
        raise FrameError(f"{name} has {array.size:,} values; {MAX_VALUES:,} are the most. Give a shorter window.")
    if channels is not None and array.shape[1] != channels:
        turned = " It seems to lie on its side: give its transpose." if array.shape[0] == channels else ""
        seen = f"{array.shape[1]} channel{'s' * (array.shape[1] != 1)}"
        raise FrameError(f"{name} has {seen}, {channels} expected.{turned}")
    with np.errstate(over="ignore"):
        samples = np.ascontiguousarray(array, np.float32)
    bad = ~(np.abs(samples) <= LARGEST)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise FrameError(
            f"{name} holds {array[row, column]} at sample {row}, channel {column} (from 0); finite numbers up to "
            f"{LARGEST:g} were expected. Cut such samples out or fill them."
        )
    return samples
