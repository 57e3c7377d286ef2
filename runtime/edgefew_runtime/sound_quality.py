"""What can be told of a recording without knowing what it is of: too short, too quiet, clipped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .frames import RawFrame

LARGEST = 1e6
"""Larger values are not used; a recording lies between -1 and 1, and one in 16-bit integers within 32768."""

QUIET = -40.0
"""Decibels of the loudest sample, to full scale, below which a recording counts as too quiet."""

CLIPPED = 0.001
"""The share of samples at full scale above which a recording counts as clipped: a peak touches it, a limit keeps it."""

SHORT = 0.1
"""A recording shorter than this share of the window is mostly silence that the graph puts beside it."""

_FULL_SCALE = 0.99


@dataclass(frozen=True)
class SoundQuality:
    """Measures of one recording.

    Attributes:
        samples: how many.
        peak: decibels of the loudest sample, to full scale; -inf for silence.
        clipped: the share of samples at full scale, 0 to 1.
    """

    samples: int
    peak: float
    clipped: float

    @property
    def blank(self) -> bool:
        """Whether it is silent."""
        return self.peak == -math.inf


def sound_quality(samples: RawFrame) -> SoundQuality:
    """The measures of a recording, float32 [samples].

    >>> sound_quality(np.array([0.5, -0.5, 1], np.float32))
    SoundQuality(samples=3, peak=0.0, clipped=0.3333)
    """
    sizes = np.abs(samples)
    peak = float(sizes.max()) if samples.min() < samples.max() else 0.0
    decibels = round(20 * math.log10(peak), 1) if peak > 0 else -math.inf
    return SoundQuality(len(samples), decibels, round(float((sizes >= _FULL_SCALE).mean()), 4))
