"""The state file: the enrolled classes as a host in C, JavaScript or any language keeps them; read and written here.

Layout and rules: docs/hosts.md. All numbers are little-endian::

    "EFSTATE1"   bundle's id: 32 bytes   d, c, n: uint32
    sums: float32 [c, d]   counts: float32 [c]
    embeddings: float32 [n, d]   class of each: uint32 [n]   SHA-256 of each frame: [n, 32]
    c names, then n sources: uint32 length, UTF-8
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import head
from .errors import ClassConflictError, GalleryError, GalleryFormatError, GalleryMismatchError, LabelError
from .gallery import Example, Gallery
from .gallery.records import check_label
from .new_file import new_file
from .regular_file import read_regular, shown

MAGIC = b"EFSTATE1"
"""The first bytes; the digit is the version of the format."""

MAX_BYTES = 1 << 28
"""A larger file is refused before it is read."""

MAX_SOURCE = 4096
"""Bytes of a source's name."""

EXACT_SUM = 256.0
"""Sums of grid values are exact in float32 up to here."""

_HEADER = struct.Struct("<8s32sIII")
_NO_HASH = bytes(32)
_ROUNDING = 1e-5
"""What the length of a unit vector in float32 may be off by, the grid apart."""


@dataclass(frozen=True)
class HostState:
    """The enrolled classes of a host.

    Attributes:
        bundle_id: of the bundle that made the embeddings.
        dimension: d.
        content: the classes with their examples, none of them negative; each has at least one.
    """

    bundle_id: str
    dimension: int
    content: Mapping[str, Sequence[Example]]

    @classmethod
    def of(cls, gallery: Gallery) -> HostState:
        """The classes of a gallery. Negatives, strangers, kept frames and the log stay behind."""
        content = {
            label: tuple(Example(e.embedding, e.source, e.source_sha256) for e in examples if not e.negative)
            for label, examples in gallery.content().items()
        }
        return cls(gallery.bundle_id, gallery.dimension, content)

    @property
    def sums(self) -> head.Embeddings:
        """Float32 [c, d]: the sum of each class's examples, exact."""
        rows = [_rows(examples, self.dimension).sum(axis=0, dtype=np.float64) for examples in self.content.values()]
        return np.array(rows, np.float32).reshape(-1, self.dimension)

    @property
    def counts(self) -> npt.NDArray[np.float32]:
        """Float32 [c]: how many examples each class has."""
        return np.array([len(examples) for examples in self.content.values()], np.float32)

    @classmethod
    def from_bytes(cls, data: bytes) -> HostState:
        """What `to_bytes` made bytes of.

        Raises:
            GalleryFormatError: it is no state file, or one that says something that cannot be.
        """
        try:
            return _parsed(data)
        except (ValueError, LabelError) as error:
            raise GalleryFormatError(
                f"The state file cannot be read: {error}. Nothing was changed. Take an earlier copy, or export again."
            ) from None

    def to_bytes(self) -> bytes:
        """The file's content; the same state gives the same bytes.

        Raises:
            GalleryError: a sum is too large to be exact in a host's float32.
        """
        sums = self.sums
        if np.abs(sums).max(initial=0) > EXACT_SUM:
            raise GalleryError(
                f"A class has so many examples that its sum passes {EXACT_SUM:g} and would not be exact in a host's "
                "float32. Forget some of them (`edgefew forget --example`), or keep it in a gallery."
            )
        examples = [example for listed in self.content.values() for example in listed]
        classes = np.repeat(np.arange(len(self.content), dtype="<u4"), self.counts.astype(np.int64))
        header = _HEADER.pack(MAGIC, bytes.fromhex(self.bundle_id), self.dimension, len(self.content), len(examples))
        parts = [
            header,
            sums.astype("<f4").tobytes(),
            self.counts.astype("<f4").tobytes(),
            _rows(examples, self.dimension).astype("<f4").tobytes(),
            classes.tobytes(),
            *(bytes.fromhex(example.source_sha256) for example in examples),
            *map(_text, self.content),
            *(_text(_shortened(example.source)) for example in examples),
        ]
        return b"".join(parts)

    def enroll_into(self, gallery: Gallery, actor: str = "") -> dict[str, int]:
        """Add the examples to a gallery, all or none; gives how many were new, by class.

        Raises:
            GalleryMismatchError: the gallery is of another bundle.
            ClassConflictError: an example is of another class there, or of two here; nothing was enrolled.
        """
        self._refuse_twins()
        with Gallery(None, self.bundle_id, self.dimension) as incoming:
            for label, examples in self.content.items():
                incoming.enroll(label, examples)
            return gallery.merge(incoming, actor).added

    def _refuse_twins(self) -> None:
        labels: dict[str, str] = {}
        for label, examples in self.content.items():
            for example in examples:
                if (other := labels.setdefault(example.source_sha256, label)) != label:
                    raise ClassConflictError(
                        f"{example.source} is enrolled as {other!r} and as {label!r} in the state file; a picture is "
                        "of one class. Nothing was changed. Forget it in one of them on the host."
                    )


def read_state(path: Path, bundle_id: str, dimension: int) -> HostState:
    """The state in a file, which must be of this bundle.

    Raises:
        GalleryError: the file cannot be read.
        GalleryFormatError: it is no state file, or one that says something that cannot be.
        GalleryMismatchError: it was made with another bundle.
    """
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise GalleryError(f"{shown(path)} cannot be read: {error.strerror or error}.") from None
    state = HostState.from_bytes(data)
    if (state.bundle_id, state.dimension) != (bundle_id, dimension):
        raise GalleryMismatchError(
            f"{shown(path)} was made with another bundle ({state.bundle_id[:12]}…, this one is {bundle_id[:12]}…). "
            "Embeddings of different bundles cannot be compared."
        )
    return state


def write_state(state: HostState, path: Path) -> None:
    """Write a new file that appears whole or not at all.

    Raises:
        GalleryError: something is there already, or it cannot be written.
    """
    data = state.to_bytes()
    try:
        with new_file(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise GalleryError(f"{shown(path)} cannot be written: {error.strerror or error}.") from None


def _parsed(data: bytes) -> HostState:
    if not data.startswith(MAGIC):
        raise ValueError(f"it does not begin with {MAGIC.decode()}")
    reader = _Reader(data)
    _, bundle, d, c, n = _HEADER.unpack(reader.take(_HEADER.size))
    if d < 1:
        raise ValueError("its embeddings have no components")
    sums, counts, rows = reader.array("<f4", c, d), reader.array("<f4", c), reader.array("<f4", n, d)
    classes, hashes = reader.array("<u4", n), [reader.take(32) for _ in range(n)]
    names, sources = [reader.text() for _ in range(c)], [reader.text() for _ in range(n)]
    if reader.left:
        raise ValueError(f"{reader.left:,} bytes follow its end")
    if (classes >= c).any():
        raise ValueError(f"an example is of class {classes.max()}, and there are {c}")
    _check_on_grid(rows)
    labels = [check_label(name) for name in names]
    if len(set(labels)) < c:
        raise ValueError("two classes have the same name")
    by_class = np.split(np.argsort(classes, kind="stable"), np.cumsum(np.bincount(classes, minlength=c))[:-1])
    content = {label: _examples(rows, hashes, sources, chosen) for label, chosen in zip(labels, by_class, strict=False)}
    state = HostState(bundle.hex(), d, content)
    if not (np.array_equal(state.counts, counts) and np.array_equal(state.sums, sums) and (counts > 0).all()):
        raise ValueError("its sums and counts are not those of its examples")
    return state


def _examples(
    rows: head.Embeddings, hashes: Sequence[bytes], sources: Sequence[str], chosen: npt.NDArray[np.int64]
) -> tuple[Example, ...]:
    examples = tuple(
        Example(rows[i], shown(sources[i]), (_own_hash(rows[i]) if hashes[i] == _NO_HASH else hashes[i]).hex())
        for i in chosen
    )
    if len({example.source_sha256 for example in examples}) < len(examples):
        raise ValueError("a frame is twice in one class")
    return examples


def _own_hash(row: npt.NDArray[np.float32]) -> bytes:
    """What an example is known by whose host could not hash the frame."""
    return hashlib.sha256(row.astype("<f4").tobytes()).digest()


def _check_on_grid(rows: head.Embeddings) -> None:
    # Each bound in this direction: NaN fails every comparison.
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1))
        unit = np.abs(lengths - 1) <= head.grid_error(rows.shape[1]) + _ROUNDING
        steps = rows / np.float32(head.GRID)
        if not (unit.all() and (steps == np.round(steps)).all()):
            raise ValueError("an embedding is no unit vector of multiples of 2⁻¹⁶, as `enroll` makes them")


def _rows(examples: Sequence[Example], dimension: int) -> head.Embeddings:
    return np.array([example.embedding for example in examples], np.float32).reshape(-1, dimension)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def _shortened(source: str) -> str:
    return source.encode()[-MAX_SOURCE:].decode(errors="ignore")  # its end, which has the file's name


class _Reader:
    """Takes one thing after the other, and never past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError(f"it has {len(self._data):,} bytes and should have more: it was cut off")
        self._place += size
        return self._data[self._place - size : self._place]

    def array(self, dtype: str, *shape: int) -> npt.NDArray[Any]:
        size = np.dtype(dtype).itemsize
        for side in shape:
            size *= side
        return np.frombuffer(self.take(size), dtype).reshape(shape)

    def text(self) -> str:
        (size,) = struct.unpack("<I", self.take(4))
        if size > MAX_SOURCE:
            raise ValueError(f"a name has {size:,} bytes, {MAX_SOURCE:,} are the most")
        return self.take(size).decode()
