"""The hash of a file that is never in memory as a whole."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

_CHUNK = 1 << 17
"""Bytes read at once: few enough to be in the processor's cache still when they are hashed."""


def file_sha256(file: BinaryIO, size: int) -> str:
    """SHA-256 of the file's first bytes, 64 hexadecimal digits.

    Args:
        file: open for reading, at any place.
        size: how many bytes. A file that grows meanwhile is so not read without end.
    """
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()
