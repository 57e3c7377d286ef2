"""Regular files alone: a pipe would make the reader wait, a device such as /dev/zero would never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """The file, open for reading.

    Raises:
        OSError: it is not there, is no regular file, or may not be read.
    """
    # Non-blocking: to open a pipe would wait for its other end. Checked once open: nobody can put a pipe in its place.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError:
        raise OSError(errno.EINVAL, "no file can have this name") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is no regular file")


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of the file.

    Raises:
        OSError: as `open_regular`, or it is over the limit, in bytes.
    """
    with open_regular(path) as file:
        size = checked_size(file, limit)
        try:
            return file.read(size)
        except MemoryError:
            raise OSError(errno.ENOMEM, f"its {size:,} bytes do not fit into memory") from None


def checked_size(file: BinaryIO, limit: int) -> int:
    """How many bytes an open file has.

    Raises:
        OSError: it is over the limit, in bytes.
    """
    size = os.fstat(file.fileno()).st_size
    if size > limit:
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, {limit:,} are the most")
    return size


def shown(path: str | Path) -> str:
    r"""The path as text that can be stored and shown: what is not UTF-8, or moves a terminal's cursor, as escapes.

    >>> shown("a\x1b[2J.png")
    'a\\x1b[2J.png'
    """
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
