"""A bundle, read with care: every byte is hashed before any parser sees it.

Layout and rules: docs/bundle-format.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BundleCorruptError, BundleError, BundleFormatError, EdgeFewError, SignatureError
from .file_hash import file_sha256
from .frames import RawFrame
from .hallucination import COMPONENT
from .manifest import Manifest
from .refinement import REFINE
from .regular_file import checked_size, open_regular, read_regular, shown

SUMS_FILE = "SHA256SUMS"
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.npz"
REPORT_FILE = "report.json"
CARD_FILE = "model-card.md"
SIGNATURE_FILE = "model.sig"
TOKENIZER_FILE = "tokenizer.json"
"""Of a bundle of texts: as the library `tokenizers` writes it."""

COMPONENTS = ("embed", "enroll", "classify")
VARIANT = "fp32"

MAX_BYTES = 2 << 30
"""All files of a bundle together; a larger one is refused before it is read."""

MAX_FILES = 256

PUBLIC_KEY_ENVIRONMENT = "EDGEFEW_PUBLIC_KEY"
"""The file with the public key that bundles must be signed for, where the caller names none."""

_MAX_TEXT = 1 << 20
"""Bytes of SHA256SUMS, of the signature or of a JSON file; a larger one is refused before it is read."""


@dataclass(frozen=True, eq=False)  # compare ids: equality would read every file of both
class Bundle:
    """An opened bundle whose every file has the bytes that were exported.

    A directory's files are not held in memory: one that is asked for later is read and compared with its hash again.

    Attributes:
        path: the directory or packed file.
        id: SHA-256 of SHA256SUMS, and so of the whole content. Embeddings of different bundles are never mixed.
        manifest: what the bundle says about itself.
        digests: SHA-256 of every file as it was when the bundle was opened, 64 hexadecimal digits.
    """

    path: Path
    id: str
    manifest: Manifest
    _files: Mapping[str, bytes]
    digests: Mapping[str, str]

    @classmethod
    def open(cls, path: str | Path, public_key: str | Path | None = None) -> Bundle:
        """The bundle at a path: a directory, or one packed file.

        Args:
            path: where it is.
            public_key: a PEM file with the key that it must be signed for. Default: the one that EDGEFEW_PUBLIC_KEY
                names; where that is not set either, no signature is asked for.

        Raises:
            BundleFormatError: it is no bundle, or of a format that this version does not read.
            BundleCorruptError: a file is missing, added, or has other bytes than were exported.
            SignatureError: a key is set, and the bundle is not signed for it.
        """
        return cls._open(Path(path), public_key_file(public_key))

    @classmethod
    def open_unsigned(cls, path: str | Path) -> Bundle:
        """As `open`, but whatever key is set: for those who come before the signature, the exporter and the signer."""
        return cls._open(Path(path), None)

    @classmethod
    def _open(cls, path: Path, public_key: Path | None) -> Bundle:
        files, digests = _read_files(path)
        _check_hashes(path, files, digests)
        if public_key is not None:
            _check_signature(path, files, digests, public_key)
        manifest = Manifest.from_dict(_json(path, files, MANIFEST_FILE))
        manifest = replace(manifest, input=manifest.input.bound(files.__getitem__))
        return cls(path, digests[SUMS_FILE], manifest, files, digests)

    @property
    def files(self) -> Mapping[str, bytes]:
        """Every file by its name, `model.sig` too; a directory's are read when they are asked for."""
        return self._files

    def check_signature(self, public_key: str | Path | None = None) -> None:
        """Refuse a bundle that is not signed for the key given or set; without either, nothing is checked.

        Raises:
            SignatureError: it is not signed for that key.
        """
        if (file := public_key_file(public_key)) is not None:
            _check_signature(self.path, self._files, self.digests, file)

    def model(self, component: str, variant: str = VARIANT) -> bytes:
        """The ONNX file of one component: "embed", "enroll", "classify", "hallucinate" or "refine".

        Raises:
            BundleFormatError: the bundle has no such model.
            BundleCorruptError: its bytes are no longer those that were exported.
        """
        described = _json(self.path, self._files, f"{component}/component.json")
        try:
            file = described["variants"][variant]["executor_info"]["ort"]["model_file"]
            return self._files[f"{component}/{variant}/{file}"]
        except (KeyError, TypeError):
            raise BundleFormatError(
                f"{self.path} has no {variant} model for {component!r}. Export the bundle again."
            ) from None

    def components(self) -> tuple[str, ...]:
        """The names of its graphs: `COMPONENTS`, and "refine" and "hallucinate" where there are such."""
        refine = () if self.manifest.refinement is None else (REFINE,)
        return (*COMPONENTS, *refine, *(() if self.manifest.hallucination is None else (COMPONENT,)))

    def variants(self, component: str = "embed") -> list[str]:
        """The names of the variants of a component that the bundle holds, "fp32" for one."""
        described = _json(self.path, self._files, f"{component}/component.json").get("variants")
        return list(described) if isinstance(described, dict) else []

    def for_variant(self, variant: str) -> Bundle:
        """The same bundle with the thresholds, scale and tolerance of one of its variants in the manifest.

        Raises:
            BundleFormatError: it has no such variant.
        """
        if variant == VARIANT:
            return self
        if variant not in self.variants():
            raise BundleFormatError(
                f"{self.path} has no variant {variant!r} of its network; it has: {', '.join(self.variants())}."
            )
        return replace(self, manifest=self.manifest.for_variant(variant))

    def golden(self) -> tuple[list[RawFrame], npt.NDArray[np.float32]]:
        """Raw frames, as the input has them, and the embeddings that PyTorch gave for them, float32 [n, d]."""
        from .packed import read_stored  # zipfile costs start-up time that a bundle's other parts need not pay

        content = self._files.get(GOLDEN_FILE, b"")
        try:
            entries = read_stored(io.BytesIO(content), GOLDEN_FILE)
            embeddings = _array(entries["embeddings.npy"])
            frames = [_array(entries[f"frame_{i}.npy"]) for i in range(len(embeddings))]
            if not frames or embeddings.dtype != np.float32 or embeddings.shape[1:] != (self.manifest.dimension,):
                raise ValueError(f"embeddings {embeddings.dtype} {embeddings.shape}")
            if not all(self.manifest.input.takes(frame) for frame in frames):
                raise ValueError(f"a frame that is no {self.manifest.input.dtype} {self.manifest.input.kind}")
            return frames, embeddings
        except Exception as error:  # numpy's reader of headers raises errors of a dozen types
            raise BundleFormatError(
                f"{GOLDEN_FILE} of {self.path} cannot be read ({type(error).__name__}: {error}). Export the bundle "
                "again."
            ) from None

    def report(self) -> dict[str, Any]:
        """What verification measured when the bundle was exported."""
        return _json(self.path, self._files, REPORT_FILE)

    def pack(self, file: str | Path) -> None:
        """Write the bundle as one file; the same bundle gives the same bytes.

        Raises:
            BundleError: the file exists already, or cannot be written; nothing stays of it.
        """
        from .packed import write_packed

        write_packed(Path(file), self._files)


def most_bytes(name: str) -> int:
    """How many bytes a bundle's file of this name may have: texts that are held and parsed have a limit of their own.

    The signature among them: it is in no list of hashes, so anybody can make it longer.
    """
    parsed_here = name in (SUMS_FILE, SIGNATURE_FILE) or (name.endswith(".json") and name != TOKENIZER_FILE)
    return _MAX_TEXT if parsed_here else MAX_BYTES


def check_outside(path: Path, refusal: type[EdgeFewError], bundle: Path | None = None) -> None:
    """Refuse a path for something new that lies in a bundle: one file more would make the bundle invalid.

    Args:
        path: where it is to be.
        refusal: the error to raise.
        bundle: a bundle that may be still to come, beside those that are there.

    Raises:
        EdgeFewError: of that type.
    """
    # os.path: the methods of Path raise where they may not look.
    real = Path(os.path.realpath(path))
    coming = None if bundle is None else Path(os.path.realpath(bundle))
    for folder in (real, *real.parents):
        if folder == coming or all(os.path.exists(folder / name) for name in (SUMS_FILE, MANIFEST_FILE)):  # noqa: PTH110
            raise refusal(
                f"{shown(path)} is in the bundle {folder}, which would no longer be valid. Give another place."
            )


def public_key_file(chosen: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file with the key that bundles must be signed for: the one chosen, else that in EDGEFEW_PUBLIC_KEY.

    Raises:
        SignatureError: the variable is set and empty, which may be a mistake and must not mean "any bundle will do".
    """
    named = environment.get(PUBLIC_KEY_ENVIRONMENT) if chosen is None else chosen
    if named is None:
        return None
    if not str(named):
        raise SignatureError(
            f"{PUBLIC_KEY_ENVIRONMENT} (or the public key given) is empty. Name the key's file, or unset the variable "
            "where bundles need not be signed."
        )
    return Path(named)


def sums_text(files: Mapping[str, bytes]) -> bytes:
    """The content of SHA256SUMS for these files: what `sha256sum` writes, sorted by name."""
    return _sums_text({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def _sums_text(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


class _Directory(Mapping[str, bytes]):
    """The files of a bundle's directory by name; each is read when it is asked for.

    Attributes:
        digests: SHA-256 of each file, 64 hexadecimal digits; a file that no longer has it is refused.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digests: dict[str, str] = {}
        budget = MAX_BYTES
        for name in sorted(_names(path)):
            with _readable(path / name), open_regular(path / name) as file:
                size = checked_size(file, min(budget, most_bytes(name)))
                self.digests[name] = file_sha256(file, size)
            budget -= size

    def __getitem__(self, name: str) -> bytes:
        digest = self.digests[name]
        with _readable(self._path / name):
            content = read_regular(self._path / name, most_bytes(name))
        if hashlib.sha256(content).hexdigest() != digest:
            raise BundleCorruptError(
                f"{shown(name)} in {self._path} was changed after the bundle was opened. Open the bundle again."
            )
        return content

    def __iter__(self) -> Iterator[str]:
        return iter(self.digests)

    def __len__(self) -> int:
        return len(self.digests)


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"{shown(file)} cannot be read: {error.strerror or error}.") from None


def _read_files(path: Path) -> tuple[Mapping[str, bytes], Mapping[str, str]]:
    """The files by name, and the SHA-256 of each."""
    try:
        if path.is_dir():
            directory = _Directory(path)
            return directory, directory.digests
        from .packed import read_packed  # zipfile costs start-up time that a directory need not pay

        files = read_packed(path)
        return files, {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    except (FileNotFoundError, NotADirectoryError):
        raise BundleFormatError(f"There is no bundle {path}. Check the path.") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from None
    except MemoryError:
        raise BundleError(f"{path} does not fit into this machine's memory.") from None


def _names(path: Path) -> list[str]:
    """The names of all files under a directory; gives up early where it is no bundle's, or has no end."""
    names: list[str] = []
    folders = [""]
    # Not rglob: it goes through all of a disk before it gives the first name, and runs out of stack in deep folders.
    for folder in folders:
        with os.scandir(path / folder) as entries:
            for entry in entries:
                name = folder + entry.name
                if not name.isprintable():
                    raise BundleCorruptError(f"{shown(name)} in {path} has a name that no file of a bundle has.")
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name + "/")
                elif entry.is_file(follow_symlinks=False):
                    names.append(name)
                else:
                    raise BundleCorruptError(
                        f"{shown(name)} in {path} is a link or no plain file; a bundle holds plain files only."
                    )
                if len(names) > MAX_FILES or len(folders) > MAX_FILES:
                    raise BundleFormatError(f"{path} holds over {MAX_FILES} files or folders: it is not a bundle.")
    return names


def _check_hashes(path: Path, files: Mapping[str, bytes], digests: Mapping[str, str]) -> None:
    if SUMS_FILE not in digests:
        raise BundleFormatError(f"{path} is not a bundle: it has no {SUMS_FILE}. Give one that `edgefew export` made.")
    expected = _sums_text({n: digest for n, digest in digests.items() if n not in (SUMS_FILE, SIGNATURE_FILE)})
    # To the byte: the bundle's id is made of this file, so one content must have one text.
    if digests[SUMS_FILE] != hashlib.sha256(expected).hexdigest():
        raise BundleCorruptError(
            f"{_difference(files[SUMS_FILE], expected, path)}: the bundle was changed or damaged after export. Copy it "
            "again from where it was made."
        )
    if MANIFEST_FILE not in digests:
        raise BundleFormatError(f"{path} is not a bundle: it has no {MANIFEST_FILE}.")


def _check_signature(path: Path, files: Mapping[str, bytes], digests: Mapping[str, str], public_key: Path) -> None:
    from .signature import check_signature, read_public_keys  # costs start-up time where no key is set

    keys = read_public_keys(public_key)
    check_signature(path, files.get(SIGNATURE_FILE), digests, keys)


def _difference(written: bytes, expected: bytes, path: Path) -> str:
    """In which file SHA256SUMS as it is written differs from the one expected, for people."""
    if len(written) <= _MAX_TEXT:
        listed, present = _listed(written), _listed(expected)
        for name in sorted(listed.keys() | present.keys()):
            if name not in present:
                return f"{shown(name)} in {path} is missing"
            if name not in listed:
                return f"{shown(name)} in {path} was added"
            if listed[name] != present[name]:
                return f"{shown(name)} in {path} has other bytes than were exported"
    return f"{SUMS_FILE} in {path} is not written as `sha256sum` writes it"


def _listed(sums: bytes) -> dict[str, str]:
    lines = (line.partition("  ") for line in sums.decode("utf-8", "replace").split("\n") if line)
    return {name: digest for digest, _, name in lines}


def _array(npy: bytes) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(npy), allow_pickle=False)
    return array


def _json(path: Path, files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        content = files[name]
    except KeyError:
        raise BundleFormatError(f"{path} has no {name}. Export the bundle again.") from None
    try:
        return parse_json(content)
    except ValueError as error:
        raise BundleFormatError(
            f"{name} of {path} is not JSON that can be read: {error}. Export the bundle again."
        ) from None


def parse_json(content: bytes) -> dict[str, Any]:
    """The JSON object that these bytes are, read as strictly as docs/bundle-format.md says.

    Raises:
        ValueError: they are none.
    """
    if len(content) > _MAX_TEXT:
        raise ValueError(f"it has {len(content):,} bytes, {_MAX_TEXT:,} are the most")
    try:
        document = json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    return document


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of a key that stands twice may take different values.
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return document


def _integer(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{text[:24]}… is an integer of over 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:24]} is no finite number")
    return value
