"""Bytes as a file of a signal's window: .npy or CSV."""

from __future__ import annotations

from pathlib import Path

import atheris
import campaign
import numpy as np

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import seeds
    from edgefew_runtime.signals import load_signal


def target(data: bytes, _: Path) -> None:
    """What comes out is float32 [samples, channels], finite."""
    samples = load_signal(data).values
    if samples.dtype != np.float32 or samples.ndim != 2 or 0 in samples.shape or not np.isfinite(samples).all():
        raise AssertionError(f"{samples.dtype} {samples.shape} came out")


if __name__ == "__main__":
    campaign.run(target, seeds.windows())
