"""Where what is exported goes: files of a folder in the making, and no file into a bundle that is finished."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgefew_runtime import ExportError


def check_outside(path: Path, bundle: Path) -> None:
    """Refuse a path in a bundle: one file more would make the bundle invalid.

    Raises:
        ExportError: the path is in the bundle, or is the bundle.
    """
    if path.resolve().is_relative_to(bundle.resolve()):
        raise ExportError(f"{path} is in the bundle {bundle}, which would no longer be valid. Give another place.")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Fill a folder of `tempfile.mkdtemp` with files by name, each on the disk when this returns; all may read it."""
    folder.chmod(0o755)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
