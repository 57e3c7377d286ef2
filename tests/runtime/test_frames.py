"""Frames in every form they come in, and in many in which they should not."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import FrameError
from edgefew_runtime.frames import MAX_PIXELS, load_frame
from PIL import Image

RED = np.zeros((4, 6, 3), np.uint8)
RED[..., 0] = 255


def encode(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, **{"format": "PNG", **options})
    return file.getvalue()


def test_path_bytes_array_and_image_give_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(encode(Image.fromarray(RED)))
    for frame in (path, str(path), path.read_bytes(), RED, Image.fromarray(RED)):
        assert np.array_equal(load_frame(frame).values, RED)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "BMP", "WEBP"])
def test_each_image_format_is_read(name: str) -> None:
    frame = load_frame(encode(Image.new("RGB", (8, 5), (200, 30, 40)), format=name))
    assert frame.values.shape == (5, 8, 3)
    assert abs(frame.values[2, 4].astype(int) - (200, 30, 40)).max() < 12


def test_grey_arrays_become_rgb() -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    for array in (grey, grey[..., None]):
        assert np.array_equal(load_frame(array).values, np.stack([grey] * 3, axis=-1))


def test_transparency_becomes_white() -> None:
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (0, 0, 0, 255))
    assert load_frame(encode(half)).values[0, :, 0].tolist() == [255, 0]
    palette = half.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert load_frame(encode(palette)).values[0, 0].tolist() == [255, 255, 255]


def test_the_cameras_rotation_mark_is_obeyed() -> None:
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    assert load_frame(encode(image, exif=exif)).values.shape == (6, 4, 3)


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert load_frame(encode(Image.fromarray(ramp))).values[0, :, 0].tolist() == [0, 100, 255]


def test_the_hash_is_of_what_was_given(tmp_path: Path) -> None:
    assert load_frame(RED).sha256() == load_frame(RED.copy()).sha256()
    assert load_frame(RED).sha256() != load_frame(RED.reshape(6, 4, 3)).sha256()


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("no/such/file.png", "There is no file"),
        (b"this is text", "not an image"),
        (b"", "not an image"),
        (encode(Image.effect_noise((64, 64), 90))[:2000], "damaged"),
        (encode(Image.new("RGB", (2, 2)), format="GIF"), "not an image"),
        (RED.astype(np.float32) / 255, "array of float32"),
        (RED.astype(np.int64), "array of int64"),
        (np.zeros((4, 6, 4), np.uint8), r"shape \[4, 6, 4\]"),
        (np.zeros((0, 6, 3), np.uint8), r"shape \[0, 6, 3\]"),
        (np.zeros(5, np.uint8), r"shape \[5\]"),
        (42, "type int"),
        (None, "type NoneType"),
    ],
)
def test_bad_frames_are_refused_with_what_was_seen(frame: object, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        load_frame(frame)  # type: ignore[arg-type]


def test_a_folder_is_not_a_frame(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="is a folder"):
        load_frame(tmp_path)


def test_a_picture_bomb_is_refused_before_it_is_decoded() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    body = zlib.compress(b"\0" * 1000)
    chunks = b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    )
    with pytest.raises(FrameError, match="over 64,000,000 pixels"):
        load_frame(b"\x89PNG\r\n\x1a\n" + chunks)
