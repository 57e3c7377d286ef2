"""A frame, and an image, however it comes, as one: raw pixels uint8 [H, W, 3], RGB, upright, on white.

Nothing is resized or normalised here: that is inside the embed graph, so that every host does it alike. Signals are
read by `signals.load_signal`, sounds by `sounds.load_sound`.
"""

from __future__ import annotations

import hashlib
import io
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import FrameError, RuntimeMissingError
from .regular_file import read_regular, shown

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = npt.NDArray[np.uint8]
RawFrame: TypeAlias = npt.NDArray[Any]
"""What an embed graph takes: uint8 [H, W, 3], float32 [samples, channels], of a sound float32 [samples], of a text
int64 [tokens].
"""

FrameLike: TypeAlias = "str | Path | bytes | npt.NDArray[Any] | Image.Image | Frame"

_UINT8 = np.dtype(np.uint8)

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
SIGNAL_SUFFIXES = frozenset({".csv", ".npy"})
SOUND_SUFFIXES = frozenset({".wav", ".flac"})
TEXT_SUFFIXES = frozenset({".txt"})

MAX_PIXELS = 64_000_000
"""A larger picture is refused before it is decoded: a few KB of PNG can unpack to gigabytes."""

MAX_SIDE = 65_535
"""JPEG's own limit. ONNX Runtime's Resize fails on sides of some millions, and Pillow takes seconds for such rows."""

MAX_FILE_BYTES = 1 << 28
"""A larger image file is refused before it is read; `MAX_PIXELS` of four bytes each are less."""


@dataclass(frozen=True)
class Frame:
    """A raw frame and where it came from.

    Attributes:
        values: of an image the pixels, uint8 [H, W, 3], RGB; of a signal float32 [samples, channels];
            of a sound float32 [samples]; of a text int64 [tokens].
        name: the path (what cannot be shown, as escapes), "array", "image" or "bytes"; how a text begins.
        encoded: the image file's bytes, if it came as one; the text.
        rate: of a sound, samples a second.
    """

    values: RawFrame
    name: str
    encoded: bytes | None = None
    rate: int | None = None

    def sha256(self) -> str:
        """A hash of the image file's bytes, or of the values: the same frame is not enrolled twice."""
        if self.encoded is not None:
            return hashlib.sha256(self.encoded).hexdigest()
        digest = hashlib.sha256(repr(self.values.shape).encode())
        digest.update(self.values.data)
        return digest.hexdigest()


def load_frame(frame: FrameLike) -> Frame:
    """An image as raw pixels; anything but an upright RGB picture is converted or refused.

    >>> load_frame(np.zeros((4, 6), np.uint8)).values.shape
    (4, 6, 3)

    A frame that was loaded already is given back. A path or bytes: PNG, JPEG, BMP or WebP; the camera's rotation mark
    (EXIF) is obeyed, transparency becomes white.
    An array: uint8 [H, W], [H, W, 1] or [H, W, 3] (RGB), not masked. A Pillow image: any mode but F.

    Raises:
        FrameError: no such file, not an image, or an array of another type or shape.
        RuntimeMissingError: Pillow is needed and not installed.
    """
    if type(frame) is np.ndarray:
        return Frame(_from_array(frame), "array")
    if isinstance(frame, Frame):
        _from_array(frame.values)  # refuses one of another kind
        return frame
    if isinstance(frame, np.ndarray):
        if hasattr(frame, "mask"):  # without loading numpy.ma to ask
            raise FrameError("A masked array was given; what is masked has no colour. Fill it (array.filled) first.")
        return Frame(_from_array(np.asarray(frame)), "array")
    if isinstance(frame, (str, Path)):
        path = Path(frame)
        return _decode(read_file(path), shown(path))
    if isinstance(frame, (bytes, bytearray, memoryview)):
        return _decode(bytes(frame), "bytes")
    pillow = sys.modules.get("PIL.Image")  # who gives a Pillow image has imported it; nobody else pays for it
    if pillow is not None and isinstance(frame, pillow.Image):
        return Frame(_from_image(frame, "image"), "image")
    raise FrameError(
        f"A frame of type {type(frame).__name__} was given. Give a path, the bytes of an image file, "
        "a numpy array uint8 [H, W, 3] or a Pillow image."
    )


def load_image_file(data: bytes, name: str) -> Frame:
    """An image file's bytes as raw pixels, under the name that it has where it came from; errors as `load_frame`."""
    return _decode(data, name)


def load_pixels(frame: FrameLike) -> Pixels:
    """The pixels of what `load_frame` takes: uint8 [H, W, 3]."""
    if type(frame) is not np.ndarray:
        return load_frame(frame).values
    # What most frames are is asked first, and of all at once: `classify` has no time for more.
    if frame.dtype is _UINT8 and frame.ndim == 3 and frame.flags.c_contiguous:
        height, width, channels = frame.shape
        if channels == 3 and 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE and height * width <= MAX_PIXELS:
            return frame
    return _from_array(frame)


def _from_array(array: npt.NDArray[Any]) -> Pixels:
    if array.dtype != _UINT8:
        raise FrameError(
            f"An array of {array.dtype} was given, uint8 with values 0 to 255 was expected. "
            "Do not scale or normalise a frame: the bundle does that."
        )
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise FrameError(
            f"An array of shape {list(array.shape)} was given, [H, W], [H, W, 1] or [H, W, 3] (RGB) was expected."
        )
    _check_size(array.shape[1], array.shape[0], "The array")
    if array.shape[2] == 3:
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)
    return np.repeat(array, 3, axis=2)


def _check_size(width: int, height: int, name: str) -> None:
    if not width * height:
        raise FrameError(f"{name} is {width} × {height}: it has no pixels.")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise FrameError(
            f"{name} is {width} × {height}: over {MAX_PIXELS:,} pixels, or {MAX_SIDE:,} on one side, and was not used."
        )


def read_file(path: Path) -> bytes:
    """The bytes of a frame's file.

    Raises:
        FrameError: it is not there, is no plain file, is too large or cannot be read.
    """
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise FrameError(f"There is no file {shown(path)}. Check the path.") from None
    except IsADirectoryError:
        raise FrameError(f"{shown(path)} is a folder, a file was expected. Name the files in it.") from None
    except OSError as error:
        raise FrameError(f"{shown(path)} cannot be read: {error.strerror or error}.") from None


def _decode(data: bytes, name: str) -> Frame:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise RuntimeMissingError(
            'Reading image files needs Pillow. Install it: pip install "edgefew-runtime[image]", '
            "or give frames as numpy arrays."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower, and an error
            image = Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)
    except Image.DecompressionBombError:
        raise FrameError(f"{name} unpacks to more than {MAX_PIXELS:,} pixels and was not opened.") from None
    except UnidentifiedImageError:
        expected = "PNG, JPEG, BMP or WebP was expected"
        told = (
            "This bundle takes images, no signals" if Path(name).suffix.lower() in SIGNAL_SUFFIXES else "Check the file"
        )
        raise FrameError(f"{name} is not an image that can be read ({expected}). {told}.") from None
    except Exception as error:  # Pillow's parsers raise errors of a dozen types on damaged headers
        raise _damaged(name, error) from None
    with image:
        pixels = _from_image(image, name)
    return Frame(pixels, name, data)


def _from_image(image: Image.Image, name: str) -> Pixels:
    _check_size(*image.size, name)
    if image.mode == "F":
        raise FrameError(
            f"{name} has floating-point pixels (mode F), 8-bit ones were expected. Convert it to RGB first."
        )
    try:
        return _upright_rgb(image)
    except Exception as error:  # as in `_decode`; and where memory runs out
        raise _damaged(name, error) from None


def _upright_rgb(image: Image.Image) -> Pixels:
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        # Pillow's own conversion clips 16-bit grey at 255: nearly all of it would come out white.
        return _from_array((np.asarray(upright).clip(0, 65535) // 257).astype(np.uint8))
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.ascontiguousarray(np.asarray(upright.convert("RGB")))


def _damaged(name: str, error: Exception) -> FrameError:
    return FrameError(f"{name} is a damaged image: {str(error) or type(error).__name__}. Check the file.")
