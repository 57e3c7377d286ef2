"""A bundle in one file: a ZIP whose entries are stored, not compressed, so that it can be no bomb."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from . import bundle
from .errors import BundleCorruptError, BundleError, BundleFormatError
from .new_file import new_file
from .regular_file import open_regular

_START = b"PK\3\4"

_END = struct.Struct("<4s4H2LH")
"""The end record: signature, this disk, the directory's disk, entries here, entries, the directory's size and offset,
and the length of a comment. APPNOTE.TXT (PKWARE), section 4.3.16."""

_MAX_DIRECTORY = 1 << 20
"""Bytes of a ZIP's directory; Python's reader makes an object of every 46 of them."""


def write_packed(file: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle's files as one; the same files give the same bytes.

    Raises:
        BundleError: the file exists already, or cannot be written; nothing stays of it.
    """
    # Opened here: a ZipFile that opened its file itself would, at a full disk, leave it open.
    with (
        new_file(file, BundleError) as part,
        part.open("wb") as target,
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])


def read_packed(path: Path) -> dict[str, bytes]:
    """The files of a packed bundle, by name.

    Raises:
        BundleFormatError: it is not one, or breaks a rule of the format.
        BundleCorruptError: it is damaged.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        # Not zipfile.is_zipfile, which raises on some damaged files.
        if file.read(len(_START)) != _START:
            raise BundleFormatError(
                f"{path} is not a bundle: a directory or a packed file that `edgefew export` made was expected."
            )
        return read_stored(file, str(path))


def read_stored(file: BinaryIO, name: str) -> dict[str, bytes]:
    """The entries of a ZIP file whose entries are stored, by name: no more bytes in all than the file has.

    Args:
        file: the ZIP file.
        name: what it is called in an error.

    Raises:
        BundleFormatError: it breaks a rule of the format.
        BundleCorruptError: it is damaged.
    """
    size = file.seek(0, 2)
    if size > bundle.MAX_BYTES:
        raise BundleFormatError(f"{name} is over {bundle.MAX_BYTES >> 30} GiB: it is not a bundle.")
    _check_end(file, size, name)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_entries(entries, size, name)
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError) as error:
        raise BundleCorruptError(f"{name} is damaged: {error}. Copy it again from where it was made.") from None


def _check_end(file: BinaryIO, size: int, name: str) -> None:
    """The end record stands at the end, and the directory right before it: nothing before, between or after."""
    file.seek(max(0, size - _END.size))
    tail = file.read(_END.size)
    if len(tail) == _END.size:
        signature, disk, first_disk, here, entries, length, offset, comment = _END.unpack(tail)
        plain = (signature, disk, first_disk, here, comment) == (b"PK\5\6", 0, 0, entries, 0)
        if plain and offset + length + _END.size == size and length <= _MAX_DIRECTORY:
            return
    raise BundleCorruptError(
        f"{name} is damaged: its directory is not at its end, or is over {_MAX_DIRECTORY:,} bytes. Copy it again from "
        "where it was made."
    )


def _check_entries(entries: list[zipfile.ZipInfo], size: int, name: str) -> None:
    names = {entry.filename for entry in entries}
    if len(entries) > bundle.MAX_FILES or len(names) < len(entries):
        raise BundleFormatError(f"{name} has over {bundle.MAX_FILES} files, or a name twice: it is not a bundle.")
    for entry in entries:
        # The name as it is written: zipfile's own ends at a NUL.
        written = entry.orig_filename
        pure = PurePosixPath(written)
        if pure.is_absolute() or ".." in pure.parts or "\\" in written:
            raise BundleFormatError(f"{name} names a file outside itself: {written!a}. Do not use it.")
        if not pure.parts or str(pure) != written or not written.isprintable():
            raise BundleFormatError(f"{name} has an entry {written!a}, which is no plain file's name. Do not use it.")
        # Stored only: what is not compressed cannot unpack to more than it is.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise BundleFormatError(f"{name} is compressed; a packed bundle is not. Pack it with `edgefew pack`.")
        if entry.file_size > bundle.most_bytes(written):
            raise BundleFormatError(
                f"{written} in {name} has {entry.file_size:,} bytes, {bundle.most_bytes(written):,} are the most. "
                "Do not use it."
            )
    # Entries that share bytes would unpack to more than the file is, too.
    if sum(entry.file_size for entry in entries) > size:
        raise BundleFormatError(f"{name} says that it holds more bytes than it has. Do not use it.")
