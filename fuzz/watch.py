"""Bytes as the file of a drift watch."""

from __future__ import annotations

import json
import math
from pathlib import Path

import atheris
import campaign

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import seeds
    from edgefew_runtime.drift import DriftWatch
    from edgefew_runtime.watch_file import read_watch


def target(data: bytes, path: Path) -> None:
    """A watch that is read can go on, and tells of finite numbers."""
    path.write_bytes(data)
    _, status = read_watch(path)
    watch = DriftWatch.from_dict(json.loads(data)["watch"])
    for score in (0.0, -1.0, 1.0):
        status = watch.add(score)
    if not math.isfinite(status.expected) or not math.isfinite(status.observed or 0.0):
        raise AssertionError(f"{status}")


if __name__ == "__main__":
    campaign.run(target, seeds.watches())
