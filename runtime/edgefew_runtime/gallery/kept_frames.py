"""Frames that a gallery keeps, so that a new bundle can enroll them again: bytes that say what they are.

An image file is kept as it came. Bare pixels are kept packed, without needing Pillow; a
signal as .npy, whatever it came as, and a sound as its rate and .npy.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

import numpy as np

from ..errors import FrameError
from ..frames import MAX_PIXELS, Frame, load_frame

_FILE, _PIXELS, _SIGNAL, _SOUND, _TEXT = b"F", b"P", b"S", b"A", b"T"
_SHAPE, _RATE = struct.Struct(">II"), struct.Struct(">I")


def pack(frame: Frame) -> bytes:
    """The frame as bytes.

    >>> unpack(pack(load_frame(np.full((2, 3), 9, np.uint8))), "a").values.shape
    (2, 3, 3)
    """
    if frame.encoded is not None and frame.values.dtype == np.int64:
        return _TEXT + frame.encoded
    if frame.encoded is not None:
        return _FILE + frame.encoded
    if frame.values.dtype == np.float32:
        from ..signals import write_npy  # start-up time that a gallery of pictures need not pay

        start = _SIGNAL if frame.rate is None else _SOUND + _RATE.pack(frame.rate)
        return start + write_npy(frame.values)
    height, width, _ = frame.values.shape
    return _PIXELS + _SHAPE.pack(height, width) + zlib.compress(frame.values.tobytes())


def unpack(content: bytes, name: str) -> Frame:
    """What `pack` made bytes of.

    Raises:
        FrameError: they are not such bytes, or the image cannot be read.
    """
    kind, body = content[:1], content[1:]
    if kind == _FILE:
        frame = load_frame(body)
        return Frame(frame.values, name, frame.encoded)
    if kind == _SIGNAL:
        from ..signals import load_signal

        return Frame(load_signal(body).values, name)
    if kind == _TEXT:
        return Frame(np.empty(0, np.int64), name, body)  # its tokens are the bundle's to make
    if kind == _SOUND and len(body) > _RATE.size:
        from ..signals import read_npy
        from ..sounds import load_sound

        (rate,) = _RATE.unpack_from(body)
        return load_sound(Frame(read_npy(body[_RATE.size :], name), name), rate)
    if kind != _PIXELS or len(body) < _SHAPE.size:
        raise FrameError(f"The picture kept of {name} is damaged. Restore a copy of the gallery.")
    return Frame(_pixels(body, name), name)


def digest(content: bytes) -> str:
    """What the frame's own `sha256` gives, without decoding an image file.

    Raises:
        FrameError: they are not such bytes.
    """
    if content[:1] in (_FILE, _TEXT):
        return hashlib.sha256(content[1:]).hexdigest()
    return unpack(content, "it").sha256()


def _pixels(body: bytes, name: str) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    height, width = _SHAPE.unpack_from(body)
    expected = height * width * 3
    if not 0 < height * width <= MAX_PIXELS:
        raise FrameError(f"The picture kept of {name} says that it is {width} × {height}. Restore a copy.")
    unpacker = zlib.decompressobj()
    try:
        # One byte more than there may be: what unpacks to more is found without unpacking it.
        raw = unpacker.decompress(body[_SHAPE.size :], expected + 1)
    except zlib.error as error:
        raise FrameError(f"The picture kept of {name} is damaged ({error}). Restore a copy.") from None
    if len(raw) != expected:
        raise FrameError(f"The picture kept of {name} is damaged ({len(raw)} bytes, not {expected}). Restore a copy.")
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3)
