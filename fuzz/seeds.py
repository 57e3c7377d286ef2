"""Small true inputs that the fuzzer starts from: bundles, galleries, states, watches, images, windows of signals."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from edgefew_runtime import CoveragePoint, Example, Gallery, InputSpec, Manifest, OperatingPoint, head
from edgefew_runtime.bundle import COMPONENTS, GOLDEN_FILE, MANIFEST_FILE, REPORT_FILE, SUMS_FILE, sums_text
from edgefew_runtime.drift import LEAST_REFERENCE, DriftWatch
from edgefew_runtime.host_state import HostState
from edgefew_runtime.packed import write_packed
from edgefew_runtime.watch_file import Watched
from PIL import Image

DIMENSION = 4
BUNDLE_ID = "a" * 64


def manifest() -> bytes:
    """A true manifest.json."""
    record = Manifest(
        name="seed",
        version="1",
        dimension=DIMENSION,
        metric="cosine",
        scale=10.0,
        input=InputSpec.image(8, 1, (0.5,), (0.5,)),
        operating_points=(OperatingPoint(2, 1, 0.05, 0.5, 0.9, 100, 10),),
        coverage_points=(CoveragePoint(1, 0.9, 0.4, 10),),
        lineage={"seed": 1},
    )
    return json.dumps(record.to_dict(COMPONENTS)).encode()


def golden() -> bytes:
    """A true golden.npz: one frame."""
    file = io.BytesIO()
    np.savez(file, embeddings=np.eye(1, DIMENSION, dtype=np.float32), frame_0=np.zeros((2, 2, 3), np.uint8))
    return file.getvalue()


def sealed(changes: Mapping[str, bytes]) -> dict[str, bytes]:
    """A bundle's files with some of them replaced, and hashes that hold. Its graphs are none."""
    files = {MANIFEST_FILE: manifest(), GOLDEN_FILE: golden(), REPORT_FILE: b"{}", **changes}
    return files | {SUMS_FILE: sums_text(files)}


def packed(files: Mapping[str, bytes], path: Path) -> bytes:
    """These files as one, as `edgefew pack` writes it."""
    path.unlink(missing_ok=True)
    write_packed(path, files)
    return path.read_bytes()


def gallery(path: Path) -> bytes:
    """A gallery with two classes, a rejected example, strangers and an undo."""
    rows = head.to_grid(np.random.default_rng(1).standard_normal((5, DIMENSION)).astype(np.float32))
    examples = [Example(row, f"{i}.png", hashlib.sha256(bytes([i])).hexdigest()) for i, row in enumerate(rows)]
    with Gallery(path, BUNDLE_ID, DIMENSION) as made:
        made.enroll("stop", examples[:2])
        made.enroll("go", examples[2:3])
        made.reject("go", examples[3:4])
        made.calibrate(examples[4:])
        made.forget("stop")
        made.undo()
    return path.read_bytes()


def pack(folder: Path) -> bytes:
    """A class pack of two classes, one of which is also told what it is not."""
    whole = folder / "whole"
    gallery(whole)
    with Gallery(whole) as opened:
        opened.share(folder / "pack")
    return (folder / "pack").read_bytes()


def state() -> bytes:
    """A host's state with two classes."""
    with tempfile.TemporaryDirectory() as folder:
        gallery(Path(folder) / "seed")
        with Gallery(Path(folder) / "seed") as opened:
            return HostState.of(opened).to_bytes()


def watches() -> Iterator[bytes]:
    """The files of a watch at its beginning, and of one with an alarm."""
    watch = DriftWatch([0.5 + i / 100 for i in range(LEAST_REFERENCE)])
    for _ in range(2):
        yield json.dumps({"watched": asdict(Watched(BUNDLE_ID, "0" * 64, 0.05)), "watch": watch.to_dict()}).encode()
        for _ in range(40):
            watch.add(0.0)


def images() -> Iterator[bytes]:
    """Small pictures in each format and many modes."""
    noise = np.random.default_rng(2).integers(0, 256, (5, 7, 4), np.uint8)
    picture = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode, formats in {"RGB": "PNG JPEG BMP WEBP", "L": "PNG JPEG BMP", "RGBA": "PNG WEBP", "P": "PNG BMP"}.items():
        for name in formats.split():
            file = io.BytesIO()
            picture.convert(mode).save(file, name, **({"exif": exif} if name != "BMP" else {}))
            yield file.getvalue()
    for other, name in (
        (picture.convert("1"), "PNG"),
        (picture.convert("RGB").convert("CMYK"), "JPEG"),
        (Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG"),
    ):
        file = io.BytesIO()
        other.save(file, name)
        yield file.getvalue()
    file = io.BytesIO()
    frames = [Image.fromarray(np.roll(noise, i, 1)) for i in range(3)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    yield file.getvalue()


def windows() -> Iterator[bytes]:
    """Small windows of signals as .npy and CSV."""
    noise = np.random.default_rng(3).normal(size=(6, 2))
    for dtype in ("<f4", ">f8", "<i2", "u1", "<f2"):
        file = io.BytesIO()
        np.save(file, noise.astype(dtype))
        yield file.getvalue()
    text = io.StringIO()
    np.savetxt(text, noise, delimiter=",", fmt="%.6g")
    yield text.getvalue().encode()
    yield b"1\r\n-2e-3\r\n"
