"""A bundle in one file: a ZIP whose entries are stored, not compressed, so that it can be no bomb."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from . import bundle
from .errors import BundleCorruptError, BundleError, BundleFormatError


def write_packed(file: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle's files as one; the same files give the same bytes.

    Raises:
        BundleError: the file exists already.
    """
    if file.exists():
        raise BundleError(f"{file} exists already. Give another name, or delete it first.")
    if (file.absolute().parent / bundle.SUMS_FILE).exists():
        raise BundleError(f"{file} would lie inside a bundle, which would then be refused. Give another place.")
    part = file.with_name(file.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(files):
                archive.writestr(zipfile.ZipInfo(name), files[name])
        part.replace(file)
    except OSError as error:
        raise BundleError(f"{file} cannot be written: {error.strerror or error}.") from None


def read_packed(path: Path) -> dict[str, bytes]:
    """The files of a packed bundle, by name.

    Raises:
        BundleFormatError: it is not one, or breaks a rule of the format.
        BundleCorruptError: it is damaged.
    """
    if not zipfile.is_zipfile(path):
        raise BundleFormatError(
            f"{path} is not a bundle: a directory or a packed file that `edgefew export` made was expected."
        )
    try:
        return dict(_entries(path))
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise BundleCorruptError(f"{path} is damaged: {error}. Copy it again from where it was made.") from None


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(entries) > bundle.MAX_FILES or len(set(names)) < len(names):
            raise BundleFormatError(f"{path} has over {bundle.MAX_FILES} files, or a name twice: it is not a bundle.")
        for entry in entries:
            pure = PurePosixPath(entry.filename)
            if pure.is_absolute() or ".." in pure.parts or "\\" in entry.filename:
                raise BundleFormatError(f"{path} names a file outside itself: {entry.filename!r}. Do not use it.")
            # Stored only: what is not compressed cannot unpack to more than it is.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise BundleFormatError(f"{path} is compressed; a packed bundle is not. Pack it with `edgefew pack`.")
        if path.stat().st_size > bundle.MAX_BYTES:
            raise BundleFormatError(f"{path} is over {bundle.MAX_BYTES >> 30} GiB: it is not a bundle.")
        for entry in entries:
            yield entry.filename, archive.read(entry)
