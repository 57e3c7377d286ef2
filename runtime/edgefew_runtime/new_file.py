"""A new file that appears whole under its name, or not at all, and never in the place of another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import GalleryError

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite makes beside a file that it writes."""


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path beside it to write to; what is there when the block ends gets the name. Nothing stays after an error.

    Raises:
        GalleryError: something of that name is there already.
    """
    if path.name in ("", "..") or path.is_dir():
        raise GalleryError(f"{path} is a folder; a name for a new file was expected.")
    if not path.absolute().parent.is_dir():
        raise GalleryError(f"There is no folder {path.absolute().parent} for {path.name}. Create it first.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        path.touch(exist_ok=False)  # had somebody made it meanwhile, it is kept
        part.replace(path)
    except FileExistsError:
        raise GalleryError(f"{path} exists already. Give another name.") from None
    finally:
        for leftover in (part, *(part.with_name(part.name + end) for end in _BESIDE)):
            leftover.unlink(missing_ok=True)
