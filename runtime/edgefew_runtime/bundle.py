"""A bundle, read with care: every byte is hashed before any parser sees it.

Layout and rules: docs/bundle-format.md.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BundleCorruptError, BundleError, BundleFormatError
from .frames import Pixels
from .manifest import Manifest

SUMS_FILE = "SHA256SUMS"
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.npz"
REPORT_FILE = "report.json"
CARD_FILE = "model-card.md"
SIGNATURE_FILE = "model.sig"
COMPONENTS = ("embed", "enroll", "classify")
VARIANT = "fp32"

MAX_BYTES = 2 << 30
"""All files of a bundle together; a larger one is refused before it is read."""

MAX_FILES = 256


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose every file has the bytes that were exported.

    Attributes:
        path: the directory or packed file.
        id: SHA-256 of SHA256SUMS, and so of the whole content. Embeddings of different bundles are never mixed.
        manifest: what the bundle says about itself.
    """

    path: Path
    id: str
    manifest: Manifest
    _files: Mapping[str, bytes]

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """The bundle at a path: a directory, or one packed file.

        Raises:
            BundleFormatError: it is no bundle, or of a format that this version does not read.
            BundleCorruptError: a file is missing, added, or has other bytes than were exported.
        """
        path = Path(path)
        files = _read_files(path)
        _check_hashes(path, files)
        manifest = Manifest.from_dict(_json(path, files, MANIFEST_FILE))
        return cls(path, hashlib.sha256(files[SUMS_FILE]).hexdigest(), manifest, files)

    def model(self, component: str, variant: str = VARIANT) -> bytes:
        """The ONNX file of one component: "embed", "enroll" or "classify"."""
        described = _json(self.path, self._files, f"{component}/component.json")
        try:
            file = described["variants"][variant]["executor_info"]["ort"]["model_file"]
            return self._files[f"{component}/{variant}/{file}"]
        except (KeyError, TypeError):
            raise BundleFormatError(
                f"{self.path} has no {variant} model for {component!r}. Export the bundle again."
            ) from None

    def golden(self) -> tuple[list[Pixels], npt.NDArray[np.float32]]:
        """Raw frames, each uint8 [H, W, 3], and the embeddings that PyTorch gave for them, float32 [n, d]."""
        import zipfile  # which numpy needs here anyway, and nothing else at start-up

        try:
            with np.load(io.BytesIO(self._files[GOLDEN_FILE]), allow_pickle=False) as golden:
                embeddings = golden["embeddings"]
                frames = [golden[f"frame_{i}"] for i in range(len(embeddings))]
            if not frames or embeddings.dtype != np.float32 or embeddings.shape[1:] != (self.manifest.dimension,):
                raise ValueError(f"embeddings {embeddings.dtype} {embeddings.shape}")
            if any(f.dtype != np.uint8 or f.ndim != 3 or f.shape[2] != 3 for f in frames):
                raise ValueError("a frame that is not uint8 [H, W, 3]")
            return frames, embeddings
        except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
            raise BundleFormatError(
                f"{GOLDEN_FILE} of {self.path} cannot be read: {error}. Export the bundle again."
            ) from None

    def report(self) -> dict[str, Any]:
        """What verification measured when the bundle was exported."""
        return _json(self.path, self._files, REPORT_FILE)

    def pack(self, file: str | Path) -> None:
        """Write the bundle as one file; the same bundle gives the same bytes.

        Raises:
            BundleError: the file exists already.
        """
        from .packed import write_packed

        write_packed(Path(file), self._files)


def sums_text(files: Mapping[str, bytes]) -> bytes:
    """The content of SHA256SUMS for these files: what `sha256sum` writes, sorted by name."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()


def _read_files(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return dict(_from_directory(path))
    if not path.exists():
        raise BundleFormatError(f"There is no bundle {path}. Check the path.")
    from .packed import read_packed  # zipfile costs start-up time that a directory need not pay

    return read_packed(path)


def _from_directory(path: Path) -> Iterator[tuple[str, bytes]]:
    budget = MAX_BYTES
    found = sorted(p for p in path.rglob("*") if not p.is_dir() or p.is_symlink())
    if len(found) > MAX_FILES:
        raise BundleFormatError(f"{path} holds {len(found)} files: it is not a bundle ({MAX_FILES} at most).")
    for file in found:
        name = file.relative_to(path).as_posix()
        if file.is_symlink() or not file.is_file():
            raise BundleCorruptError(f"{name} in {path} is a link or no plain file; a bundle holds plain files only.")
        budget -= file.stat().st_size
        if budget < 0:
            raise BundleFormatError(f"{path} is over {MAX_BYTES >> 30} GiB: it is not a bundle.")
        try:
            yield name, file.read_bytes()
        except OSError as error:
            raise BundleError(f"{file} cannot be read: {error.strerror or error}.") from None


def _check_hashes(path: Path, files: Mapping[str, bytes]) -> None:
    if SUMS_FILE not in files:
        raise BundleFormatError(f"{path} is not a bundle: it has no {SUMS_FILE}. Give one that `edgefew export` made.")
    listed = {}
    for line in files[SUMS_FILE].decode("utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    present = files.keys() - {SUMS_FILE, SIGNATURE_FILE}
    for name in sorted(listed.keys() | present):
        if name not in present:
            problem = "is missing"
        elif name not in listed:
            problem = "was added"
        elif hashlib.sha256(files[name]).hexdigest() != listed[name]:
            problem = "has other bytes than were exported"
        else:
            continue
        raise BundleCorruptError(
            f"{name} in {path} {problem}: the bundle was changed or damaged after export. Copy it again from "
            "where it was made."
        )
    if MANIFEST_FILE not in files:
        raise BundleFormatError(f"{path} is not a bundle: it has no {MANIFEST_FILE}.")


def _json(path: Path, files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        document = json.loads(files[name])
    except KeyError:
        raise BundleFormatError(f"{path} has no {name}. Export the bundle again.") from None
    except (ValueError, RecursionError) as error:
        raise BundleFormatError(f"{name} of {path} is not JSON: {error}. Export the bundle again.") from None
    if not isinstance(document, dict):
        raise BundleFormatError(f"{name} of {path} is not a JSON object. Export the bundle again.")
    return document
