"""Whether a gallery may have changed, without a system call: by the header of its write-ahead log's index.

Asking SQLite takes some 0.1 ms after a network has emptied the processor's caches. What SQLite looks at itself to
answer are these bytes: whoever commits writes them last (sqlite.org/walformat.html, section 2.1).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import threading
from pathlib import Path

_SUFFIX = "-shm"
_HEADER_BYTES = 96
"""The header, twice."""

_FORMAT = (3007000).to_bytes(4, sys.byteorder)
"""What a header begins with: the only format that there has been."""

_MOST_FILES = 16
_mapped: dict[tuple[int, int], tuple[int, mmap.mmap]] = {}
"""Descriptor and memory of each index's file, by its device and number."""

_mapping = threading.Lock()


class WalIndex:
    """The header of the index that all connections to a gallery share, read as SQLite reads it: from shared memory.

    Its file is opened once for a process and not closed while it is there: POSIX takes every lock of a process off a
    file when it closes any descriptor of it, and SQLite's locks lie there (sqlite.org/howtocorrupt.html, section 2.2).
    The last connection of all to a gallery removes it.

    Attributes:
        memory: of the index's file: bytes that differ after every commit, of whatever process.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory = memory

    @classmethod
    def of(cls, gallery: Path) -> WalIndex | None:
        """That of a gallery which SQLite holds open; None where there is none, or none that can be read so."""
        if not sys.platform.startswith("linux"):
            return None
        path = gallery.with_name(gallery.name + _SUFFIX)
        with _mapping, contextlib.suppress(OSError, ValueError):
            status = path.lstat()
            key = status.st_dev, status.st_ino
            if key not in _mapped:
                _close_removed()
                if len(_mapped) >= _MOST_FILES or status.st_size < _HEADER_BYTES:
                    return None
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                _mapped[key] = descriptor, mmap.mmap(descriptor, _HEADER_BYTES, access=mmap.ACCESS_READ)
            index = cls(_mapped[key][1])
            if index.memory[:].startswith(_FORMAT):
                return index
        return None


def _close_removed() -> None:
    for key, (descriptor, memory) in list(_mapped.items()):
        if not os.fstat(descriptor).st_nlink:
            del _mapped[key]
            memory.close()
            os.close(descriptor)
