"""Bytes as a packed bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path

import atheris
import campaign

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import seeds
    from edgefew_runtime import Bundle


def target(data: bytes, path: Path) -> None:
    """Open the bundle and read all that it says."""
    path.write_bytes(data)
    bundle = Bundle.open(path)
    bundle.golden()
    bundle.report()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = [seeds.packed(seeds.sealed({}), Path(folder) / "seed")]
    campaign.run(target, given)
