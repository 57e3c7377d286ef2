"""A new file that appears whole under its name, or not at all, and never in the place of another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .bundle import check_outside
from .errors import EdgeFewError, GalleryError
from .regular_file import shown

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite makes beside a file that it writes."""


@contextlib.contextmanager
def new_file(path: Path, refusal: type[EdgeFewError] = GalleryError) -> Iterator[Path]:
    """A path beside it to write to; what is there when the block ends gets the name. Nothing stays after an error.

    Args:
        path: the new file.
        refusal: the error to raise.

    Raises:
        EdgeFewError: of that type: something of that name is there already, no file can be made or written there, or
            it would lie in a bundle.
    """
    if path.name in ("", "..") or os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where a folder may not be read
        raise refusal(f"{path} is a folder; a name for a new file was expected.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    leftovers = (part, *(part.with_name(part.name + end) for end in _BESIDE))
    try:
        _begin(path, leftovers, refusal)
        yield part
        path.touch(exist_ok=False)  # had somebody made it meanwhile, it is kept
        part.replace(path)
    except FileExistsError:
        raise refusal(f"{path} exists already. Give another name, or delete it first.") from None
    except OSError as error:
        raise refusal(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        for leftover in leftovers:
            with contextlib.suppress(OSError, ValueError):
                leftover.unlink(missing_ok=True)


def _begin(path: Path, leftovers: Sequence[Path], refusal: type[EdgeFewError]) -> None:
    """Make the file to write to, so that what prevents it is found before the work and not after it."""
    try:
        check_outside(path, refusal)
        path.lstat()
    except FileNotFoundError:
        if not path.absolute().parent.is_dir():
            raise refusal(f"There is no folder {path.absolute().parent} for {path.name}. Create it first.") from None
    except ValueError as error:
        raise refusal(f"{shown(path)} is no name for a file: {error}.") from None
    else:
        raise FileExistsError
    for leftover in leftovers:  # of a process of the same number that was killed
        leftover.unlink(missing_ok=True)
    leftovers[0].touch()
