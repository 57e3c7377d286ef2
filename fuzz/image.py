"""Bytes as an image file."""

from __future__ import annotations

from pathlib import Path

import atheris
import campaign
import numpy as np

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import PIL.BmpImagePlugin
    import PIL.JpegImagePlugin
    import PIL.PngImagePlugin
    import PIL.WebPImagePlugin  # noqa: F401
    import seeds
    from edgefew_runtime.frames import load_frame


def target(data: bytes, _: Path) -> None:
    """What comes out is uint8 [H, W, 3]."""
    pixels = load_frame(data).values
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise AssertionError(f"{pixels.dtype} {pixels.shape} came out")


if __name__ == "__main__":
    campaign.run(target, seeds.images())
