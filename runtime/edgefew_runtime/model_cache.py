"""Optimised graphs, kept between two starts of a program. Disposable: whatever is wrong with an entry, it is not used.

An entry is one ONNX file named `<key>-<SHA-256 of its bytes>.onnx`. The key holds all that the file depends on; the
hash is compared before ONNX Runtime parses a byte; and a file gets its name only once it is whole and tested.

Where a graph is not kept, that it passed its test is: as an empty file named `<key>.passed`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from .file_hash import file_sha256
from .regular_file import open_regular

FORMAT = 1
"""Part of every key. Raise it when what an entry holds, or what it was tested for, changes."""

MAX_ENTRIES = 8
"""More than this, and the oldest go."""

ENVIRONMENT = "EDGEFEW_CACHE"
"""The folder, where the caller names none; empty for no cache."""

_SUFFIX, _PART_SUFFIX, _PASSED_SUFFIX = ".onnx", ".part", ".passed"
_ABANDONED_SECONDS = 3600.0


def cache_folder(chosen: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder for optimised graphs, or None for no cache.

    The one chosen, else that in EDGEFEW_CACHE, else `edgefew` in XDG_CACHE_HOME or in ~/.cache. Empty is none.

    >>> cache_folder(environment={"XDG_CACHE_HOME": "/var/cache"})
    PosixPath('/var/cache/edgefew')
    >>> cache_folder("", {"EDGEFEW_CACHE": "/var/cache/sign"})
    """
    named = environment.get(ENVIRONMENT) if chosen is None else chosen
    if named is not None:
        return Path(named) if str(named) else None
    home = environment.get("XDG_CACHE_HOME", "")
    if Path(home).is_absolute():  # the XDG base directory specification: a relative path is to be ignored
        return Path(home) / "edgefew"
    try:
        return Path.home() / ".cache" / "edgefew"
    except RuntimeError:
        return None


def cache_key(*parts: str) -> str:
    """The name under which a graph is kept: a hash of all that it depends on, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in (str(FORMAT), *parts):
        digest.update(f"{len(part)}:{part}".encode())  # with the length: ("ab", "c") is not ("a", "bc")
    return digest.hexdigest()


class ModelCache:
    """Optimised graphs in a folder, made at the first store.

    A folder that others may write to is not used; one that cannot be written to is only read.

    Args:
        folder: where they are.
        descriptors: where the system shows a process its open files under their numbers; need not be there.
    """

    def __init__(self, folder: Path, descriptors: Path = Path("/proc/self/fd")) -> None:
        self._folder, self._descriptors = folder, descriptors

    @contextlib.contextmanager
    def find(self, key: str) -> Iterator[bytes | Path | None]:
        """The graph kept under this key, for as long as the block lasts; None if there is none that can be trusted."""
        with contextlib.ExitStack() as stack:
            yield self._find(key, stack)

    @contextlib.contextmanager
    def store(self, key: str) -> Iterator[Path]:
        """A file to write the graph to; kept under this key if the block ends without an error.

        Raises:
            OSError: the folder cannot be used, or the disk is full.
        """
        self._prepare()
        import tempfile  # costs start-up time that a program which finds its graph need not pay

        descriptor, name = tempfile.mkstemp(_PART_SUFFIX, "", self._folder)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "rb") as file:
                yield part
                os.fsync(file.fileno())
                part.replace(self._folder / f"{key}-{_sha256(file)}{_SUFFIX}")
        finally:
            part.unlink(missing_ok=True)
        self._make_room()

    def remembers(self, key: str) -> bool:
        """Whether what this key stands for has passed its test, as `remember` was told."""
        with contextlib.suppress(OSError):
            return _is_ours_alone(self._folder) and stat.S_ISREG(self._note(key).lstat().st_mode)
        return False

    def remember(self, key: str) -> None:
        """Keep that what this key stands for has passed its test.

        Raises:
            OSError: the folder cannot be used, or the disk is full.
        """
        self._prepare()
        # Whatever has its name already, another file is not opened through it.
        flags = os.O_CREAT | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(self._note(key), flags, 0o600))
        self._make_room()

    def _note(self, key: str) -> Path:
        return self._folder / f"{key}{_PASSED_SUFFIX}"

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours_alone(self._folder):
            raise PermissionError(f"others may write to {self._folder}")

    def _find(self, key: str, stack: contextlib.ExitStack) -> bytes | Path | None:
        with contextlib.suppress(OSError):
            if not _is_ours_alone(self._folder):
                return None
            for path in sorted(self._folder.glob(f"{key}-*{_SUFFIX}")):
                with contextlib.suppress(OSError):
                    file = stack.enter_context(open_regular(path))
                    expected = path.stem.removeprefix(f"{key}-")
                    if (graph := self._verified(file, expected)) is not None:
                        return graph
        return None

    def _verified(self, file: BinaryIO, sha256: str) -> bytes | Path | None:
        """What ONNX Runtime is to load, if the file's bytes have this hash."""
        if self._descriptors.is_dir():
            # Not the file's name: whatever has that name after this check may be another file. And not its bytes:
            # ONNX Runtime reads a file without holding it twice.
            return self._descriptors / str(file.fileno()) if _sha256(file) == sha256 else None
        content = file.read()
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def _make_room(self) -> None:
        now = time.time()
        with contextlib.suppress(OSError):
            parts = self._folder.glob(f"*{_PART_SUFFIX}")
            surplus = [p for p in parts if now - p.lstat().st_mtime > _ABANDONED_SECONDS]
            for suffix in (_SUFFIX, _PASSED_SUFFIX):
                entries = sorted(self._folder.glob(f"*{suffix}"), key=lambda p: p.lstat().st_mtime, reverse=True)
                surplus += entries[MAX_ENTRIES:]
            for path in surplus:
                with contextlib.suppress(OSError):
                    path.unlink()


def _sha256(file: BinaryIO) -> str:
    return file_sha256(file, os.fstat(file.fileno()).st_size)


def _is_ours_alone(folder: Path) -> bool:
    """Whether nobody but this user and the administrator can have written to it."""
    status = folder.stat()
    if not hasattr(os, "geteuid"):
        return stat.S_ISDIR(status.st_mode)
    open_to_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid in (0, os.geteuid()) and not open_to_others
