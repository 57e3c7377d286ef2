"""Bytes as the golden vectors of a bundle whose hashes hold: the whole file, or one array in it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import atheris
import campaign
import numpy as np

with atheris.instrument_imports(include=[*campaign.INSTRUMENTED, "numpy.lib"]):
    import seeds
    from edgefew_runtime import Bundle

GOLDEN = seeds.golden()
EMBEDDINGS, FRAME = (zipfile.ZipFile(io.BytesIO(GOLDEN)).read(f"{name}.npy") for name in ("embeddings", "frame_0"))


def target(data: bytes, path: Path) -> None:
    """Frames and embeddings that pass have the shapes and types that are promised."""
    kind, content = data[:1], data[1:]
    seeds.packed(seeds.sealed({"golden.npz": _with_embeddings(content) if kind == b"a" else content}), path)
    frames, embeddings = Bundle.open(path).golden()
    if embeddings.shape != (len(frames), seeds.DIMENSION) or {frame.dtype for frame in frames} != {np.dtype(np.uint8)}:
        raise AssertionError(f"{len(frames)} frames and embeddings of shape {embeddings.shape} passed")


def _with_embeddings(npy: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("embeddings.npy", npy)
        archive.writestr("frame_0.npy", FRAME)
    return file.getvalue()


if __name__ == "__main__":
    campaign.run(target, [b"n" + GOLDEN, b"a" + EMBEDDINGS])
