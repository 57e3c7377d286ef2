"""What can be told of a frame without knowing what is on it: too small, too dark, blank, blurred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .frames import Pixels

DARK = 60.0
"""The brightest twentieth of a frame must reach this luma (0 to 255)."""

BLANK = 4.0
"""The standard deviation of luma below which there is nothing to see."""

BLURRED = 0.6
"""The blur measure above which a frame counts as blurred; see docs/enrolment.md for how it was chosen."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SAMPLED = 64
"""Pixels across at which a frame is looked at; a network that sees less does not see what is lost here."""

_BRIGHT_SAMPLE = 1000
_WINDOW = 9


@dataclass(frozen=True)
class FrameQuality:
    """Measures of one frame.

    Attributes:
        height: in pixels.
        width: in pixels.
        bright: luma that the brightest twentieth reaches, 0 to 255.
        contrast: standard deviation of luma.
        blur: 0 (every edge sharp) to 1 (blurring it further changes nothing).
    """

    height: int
    width: int
    bright: float
    contrast: float
    blur: float

    @property
    def blank(self) -> bool:
        """Whether it shows nothing."""
        return self.contrast < BLANK


def frame_quality(pixels: Pixels) -> FrameQuality:
    """The measures of a frame, uint8 [H, W, 3].

    >>> frame_quality(np.full((40, 60, 3), 9, np.uint8))
    FrameQuality(height=40, width=60, bright=9.0, contrast=0.0, blur=1.0)
    """
    height, width, _ = pixels.shape
    step = max(1, min(height, width) // _SAMPLED)
    luma = pixels[::step, ::step].astype(np.float32) @ _LUMA
    flat = luma.ravel()
    some = flat[:: max(1, flat.size // _BRIGHT_SAMPLE)]
    twentieth = (some.size - 1) * 19 // 20
    bright = float(np.partition(some, twentieth)[twentieth])
    mean = float(flat.mean())
    # By two products: numpy's own standard deviation takes as long as all the rest here.
    contrast = max(0.0, float(flat @ flat) / flat.size - mean * mean) ** 0.5
    return FrameQuality(
        height, width, round(bright, 3), round(contrast, 1), max(_blur(luma), _blur(np.ascontiguousarray(luma.T)))
    )


def _blur(luma: npt.NDArray[np.float32]) -> float:
    """How little a strong blur along the rows changes: 0 to 1.

    Crete, Dolmiere, Ladret, Nicolas, The Blur Effect: Perception and Estimation with a New No-Reference Perceptual Blur
    Metric, 2007, section 3, along one direction.
    """
    steps = luma.shape[1] - _WINDOW
    if steps < 1:
        return 0.0
    lines = luma[::2] if len(luma) >= _WINDOW else luma  # every second tells as much; every third misses thin lines
    middle = _WINDOW // 2
    sharp = np.abs(lines[:, middle + 1 : middle + 1 + steps] - lines[:, middle : middle + steps])
    # From one place to the next, the mean over a window changes by what comes in less what goes out.
    blurred = np.abs(lines[:, _WINDOW:] - lines[:, :-_WINDOW]) / _WINDOW
    total = float(sharp.sum())
    # What the blur took away; an edge that was soft before loses little.
    lost = float(np.maximum(0, sharp - blurred).sum())
    return 1 - lost / total if total > 1e-3 * sharp.size else 1.0
