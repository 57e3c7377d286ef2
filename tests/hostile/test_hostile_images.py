"""Images and arrays that lie: pixels, or one typed error; within a stated time and memory."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_runtime import FrameError
from edgefew_runtime.frames import MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, load_frame
from PIL import Image

from tests.hostile.conftest import SOAK, Child

NOISE = np.random.default_rng(0).integers(0, 256, (9, 13, 4), np.uint8)


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(width: int, height: int, depth: int, color: int, data: bytes, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(data, 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + body + chunk(b"IEND", b"")


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, data: bytes = b"", offset: int = 54) -> bytes:
    info = struct.pack("<LllHHLLllLL", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<LHHL", 54 + len(data), 0, 0, offset) + info + data


def samples() -> dict[str, bytes]:
    """A picture in each format and several modes."""
    picture = Image.fromarray(NOISE)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    rgb = picture.convert("RGB")
    turned = [Image.fromarray(np.roll(NOISE, i, 1)) for i in range(3)]
    return {
        "png": encoded(rgb, "PNG", exif=exif),
        "png palette": encoded(rgb.convert("P"), "PNG", transparency=3),
        "png alpha": encoded(picture, "PNG"),
        "png 16 bit": encoded(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257), "PNG"),
        "png animated": encoded(turned[0], "PNG", save_all=True, append_images=turned[1:]),
        "jpeg": encoded(rgb, "JPEG", exif=exif, icc_profile=b"profile" * 30),
        "jpeg cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "jpeg progressive": encoded(rgb, "JPEG", progressive=True),
        "bmp": encoded(rgb, "BMP"),
        "bmp palette": encoded(rgb.convert("P"), "BMP"),
        "webp": encoded(rgb, "WEBP", exif=exif),
        "webp lossless": encoded(picture, "WEBP", lossless=True),
        "webp animated": encoded(turned[0], "WEBP", save_all=True, append_images=turned[1:]),
    }


SAMPLES = samples()


def pixels_or_error(data: bytes) -> bool:
    """Whether pixels came out; anything but pixels or a FrameError fails the test."""
    try:
        pixels = load_frame(data).values
    except FrameError as error:
        assert str(error).endswith("Check the file.") or "pixels" in str(error)
        return False
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return True


@pytest.mark.parametrize("name", SAMPLES)
def test_any_byte_changed_gives_pixels_or_one_error(name: str) -> None:
    data = SAMPLES[name]
    assert pixels_or_error(data)
    rng = random.Random(name)
    for place in range(len(data)) if SOAK else rng.sample(range(len(data)), min(len(data), 60)):
        for value in range(256) if SOAK else rng.sample(range(256), 2):
            pixels_or_error(data[:place] + bytes([value]) + data[place + 1 :])


@pytest.mark.parametrize("name", SAMPLES)
def test_truncated_anywhere_it_gives_pixels_or_one_error(name: str) -> None:
    data = SAMPLES[name]
    for length in range(0, len(data), 1 if SOAK else max(1, len(data) // 40)):
        pixels_or_error(data[:length])
    assert not pixels_or_error(data[: len(data) // 3])


LOAD = """
import sys, warnings
warnings.simplefilter("error")
from edgefew_runtime.frames import *
for path in sys.argv[1:]:
    try: print(load_frame(path).values.shape)
    except FrameError as error: print(error)
"""

BOMBS = {
    "png 50000 x 50000": png(50_000, 50_000, 8, 2, bytes(10**6)),
    "png of the largest size": png(2**31 - 1, 2**31 - 1, 16, 6, b""),
    "png of one row": png(2**31 - 1, 1, 1, 0, bytes(10**6)),
    "png just over the limit": png(MAX_PIXELS // 8000 + 1, 8000, 8, 0, bytes(10**6)),
    "png a side too long": png(MAX_SIDE + 1, 1, 8, 0, bytes(MAX_SIDE + 2)),
    "bmp that says it is large": bmp(2**31 - 1, 2**31 - 1),
    "bmp upside down": bmp(60_000, -60_000),
    "bmp of runs": bmp(50_000, 50_000, 8, 1, b"\xff\0" * 1000, 1078),
    "jpeg 65535 x 65535": SAMPLES["jpeg"].replace(struct.pack(">HH", 9, 13), b"\xff\xff\xff\xff"),
    "webp 16384 x 16384": b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3f\0\xff\x3f\0" + b"VP8 " + bytes(10),
}


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, child: Child) -> None:
    paths = []
    for number, data in enumerate(BOMBS.values()):
        paths.append(tmp_path / f"{number}")
        paths[-1].write_bytes(data)
    told = child(LOAD, *paths, megabytes=600, seconds=10).splitlines()
    assert len(told) == len(BOMBS)
    for name, line in zip(BOMBS, told, strict=True):
        assert "pixels" in line or "image" in line, f"{name}: {line}"


@pytest.mark.skipif(not SOAK, reason="takes 10 s: EDGEFEW_SOAK=1")
def test_the_largest_picture_takes_two_gigabytes_at_most(tmp_path: Path, child: Child) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(8000, 8000, 8, 6, bytes(8000 * (8000 * 4 + 1))))
    assert child(LOAD, path, megabytes=2048) == "(8000, 8000, 3)\n"


def test_a_picture_that_does_not_fit_into_memory_is_one_error(tmp_path: Path, child: Child) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(8000, 8000, 1, 0, bytes(8000 * 1001)))
    assert "damaged image" in child(LOAD, path, megabytes=500)


def extras() -> Iterator[bytes]:
    """Pictures whose pixels are good and whose rest is not."""
    row = bytes(1 + 3 * 4) * 4
    for extra in (
        chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(10**7), 1)),
        chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(10**7), 1)),
        chunk(b"iTXt", b"name\0\1\0\0\0" + zlib.compress(bytes(10**7), 1)),
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\1\3\0\xff\xff\xff\xff" * 50),
        chunk(b"eXIf", b""),
        chunk(b"tRNS", b"\0"),
        chunk(b"PLTE", bytes(999)),
        chunk(b"gAMA", b""),
        chunk(b"acTL", b"\xff" * 8) + chunk(b"fcTL", b"\xff" * 26),
        chunk(b"IHDR", bytes(13)),
        b"\xff\xff\xff\xffjunk",
    ):
        yield png(4, 4, 8, 2, row, extra)
    jpeg = SAMPLES["jpeg"]
    for block in (b"\xff\xe1\xff\xffExif\0\0", b"\xff\xe2\0\x40ICC_PROFILE\0\xff\xff" + bytes(46), b"\xff\xe1\0\2"):
        yield jpeg[:2] + block + jpeg[2:]


def test_what_stands_beside_the_pixels_can_be_no_bomb(tmp_path: Path, child: Child) -> None:
    paths = []
    for number, data in enumerate(extras()):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(data)
    assert len(child(LOAD, *paths, megabytes=700, seconds=20).splitlines()) == len(paths)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a" + bytes(50),
        b"II*\0\x08\0\0\0" + bytes(50),
        b"8BPS\0\1" + bytes(50),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>x</script></svg>",
        b"%PDF-1.7\n",
        b"\0\0\1\0\1\0" + bytes(50),
        b"P6 9999999 9999999 255\n",
        b"\x1f\x8b\x08" + bytes(50),
        b"PK\3\4" + bytes(50),
        random.Random(1).randbytes(5000),
    ],
)
def test_what_is_named_png_and_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(FrameError, match=r"not an image that can be read|damaged image"):
        load_frame(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/stdin", "/dev/urandom", "/", ""])
def test_a_device_or_a_folder_is_no_frame(path: str) -> None:
    with pytest.raises(FrameError, match=r"no regular file|is a folder|cannot be read"):
        load_frame(path)


def test_a_pipe_is_no_frame_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FrameError, match="no regular file"):
        load_frame(tmp_path / "pipe.png")


@pytest.mark.parametrize("path", ["a\0b", "a" * 5000, "\ud800", "a/b/c", "/dev/null/x"])
def test_a_path_that_no_file_can_have_is_one_error(path: str) -> None:
    with pytest.raises(FrameError, match=r"cannot be read|There is no file"):
        load_frame(path)


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path, child: Child) -> None:
    path = tmp_path / "large.bmp"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert "are the most" in child(LOAD, path, megabytes=500)


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"\x1b[2J.png", b"a\nb.png", b"\xe2\x80\xaegnp.png"])
def test_a_files_name_is_told_so_that_no_terminal_obeys_it(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(SAMPLES["png"])
    frame = load_frame(path)
    assert frame.name.isprintable()
    assert np.array_equal(frame.values, load_frame(SAMPLES["png"]).values)
    path.write_bytes(b"junk")
    with pytest.raises(FrameError) as refusal:
        load_frame(path)
    assert str(refusal.value).isprintable()


# ---- arrays and Pillow images --------------------------------------------------------------------

DTYPES = [*np.typecodes["AllInteger"], *np.typecodes["AllFloat"], "?", "O", "S3", "U3", "V3", "M8[s]", "m8[s]"]


@pytest.mark.parametrize("code", [c for c in DTYPES if np.dtype(c) != np.uint8])
def test_an_array_of_any_other_type_is_refused(code: str) -> None:
    with pytest.raises(FrameError, match="uint8 with values 0 to 255 was expected"):
        load_frame(np.zeros((4, 5, 3), np.dtype(code)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.5, 1e300])
def test_floating_point_frames_are_refused_in_every_form(value: float) -> None:
    for kind in (np.float16, np.float32, np.float64):
        with np.errstate(over="ignore"), pytest.raises(FrameError, match="array of float"):
            load_frame(np.full((4, 5, 3), value).astype(kind))
    with np.errstate(over="ignore"), pytest.raises(FrameError, match="floating-point"):
        load_frame(Image.fromarray(np.full((4, 5), value).astype(np.float32)))


@pytest.mark.parametrize(
    "shape",
    [(), (0,), (5,), (0, 0), (0, 5), (5, 0, 3), (4, 5, 0), (4, 5, 2), (4, 5, 4), (1, 4, 5, 3), (1,) * 32],
)
def test_an_array_of_any_other_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match="was expected"):
        load_frame(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(10**9, 10**9), (8001, 8000, 3), (MAX_SIDE + 1, 1), (1, 10**12, 3)])
def test_an_array_that_is_too_large_is_refused_before_it_is_copied(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match="over 64,000,000 pixels"):
        load_frame(np.broadcast_to(np.uint8(0), shape))


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-1, ::-1],
        lambda a: a[::2, ::3],
        lambda a: a.transpose(1, 0, 2),
        np.asfortranarray,
        lambda a: np.broadcast_to(a[:1, :1], (6, 7, 3)),
        lambda a: np.lib.stride_tricks.sliding_window_view(a[..., 0], (3,), axis=1),
        lambda a: a[..., 1],
        lambda a: np.frombuffer(a.tobytes(), np.uint8).reshape(a.shape),
        lambda a: a.view(np.recarray),
    ],
)
def test_an_array_laid_out_in_any_way_gives_its_own_pixels(view: Callable[[Any], Any]) -> None:
    array = view(NOISE[..., :3].copy())
    frame = load_frame(array)
    expected = np.asarray(array)
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    assert np.array_equal(frame.values, expected)
    assert type(frame.values) is np.ndarray
    assert frame.values.flags.c_contiguous


def test_a_masked_array_is_refused() -> None:
    with pytest.raises(FrameError, match="masked"):
        load_frame(np.ma.masked_greater(NOISE[..., :3], 200))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "LA", "RGBX", "RGBa"])
def test_a_pillow_image_of_any_other_mode_gives_pixels(mode: str) -> None:
    frame = load_frame(Image.new(mode, (5, 4)))
    assert frame.values.shape == (4, 5, 3)


def test_a_pillow_image_that_is_closed_empty_or_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(SAMPLES["png"])
    closed = Image.open(path)
    closed.close()
    for frame in (closed, Image.new("RGB", (0, 5)), Image.Exif(), Image, object(), [], 1.5, "".join):
        with pytest.raises(FrameError):
            load_frame(frame)  # type: ignore[arg-type]
