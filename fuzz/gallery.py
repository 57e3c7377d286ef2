"""Bytes as a gallery file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import atheris
import campaign
import numpy as np

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import seeds
    from edgefew_runtime import Gallery


def target(data: bytes, path: Path) -> None:
    """A gallery that passes its own check can be read, used and merged, and gives numbers."""
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        file.unlink(missing_ok=True)
    path.write_bytes(data)
    with Gallery(path, seeds.BUNDLE_ID, seeds.DIMENSION) as gallery:
        problems = gallery.problems()
        task = gallery.task()
        for event in gallery.log():
            event.describe()
        gallery.classes()
        gallery.state()
        if not np.isfinite(task.prototypes).all():
            raise AssertionError("a prototype that is not finite")
        if not problems:
            with Gallery(None, seeds.BUNDLE_ID, seeds.DIMENSION) as other:
                other.merge(gallery)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = seeds.gallery(Path(folder) / "seed")
    campaign.run(target, [given])
