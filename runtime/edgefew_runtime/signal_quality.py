"""What can be told of a window of a signal without knowing what it is of: too short, flat, clipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .frames import RawFrame

FLAT = 2e-6
"""A channel is flat where it varies by less than this share of its largest value; see docs/signal.md."""

LARGEST = 1e15
"""Larger values are not used: sums of their squares are beyond float32."""

CLIPPED = 0.05
"""The share of a channel's samples in plateaus at its extremes above which it counts as clipped."""

_PLATEAU = 3
"""Samples in a row at an extreme that make a plateau: a sensor's limit lasts, a peak does not."""


@dataclass(frozen=True)
class SignalQuality:
    """Measures of one window.

    Attributes:
        samples: how many.
        channels: how many.
        flat: numbers of the channels (from 0) that do not vary.
        clipped: the largest share of a channel's samples that lie in plateaus at its own extremes, 0 to 1.
    """

    samples: int
    channels: int
    flat: tuple[int, ...]
    clipped: float

    @property
    def blank(self) -> bool:
        """Whether no channel varies."""
        return len(self.flat) == self.channels


def signal_quality(samples: RawFrame) -> SignalQuality:
    """The measures of a window, float32 [samples, channels].

    >>> signal_quality(np.array([[0, 7], [1, 7], [0, 7]], np.float32))
    SignalQuality(samples=3, channels=2, flat=(1,), clipped=0.0)
    """
    count, channels = samples.shape
    low, high = samples.min(axis=0), samples.max(axis=0)
    is_flat = high - low <= FLAT * np.maximum(np.abs(low), np.abs(high))
    shares = [
        max(_plateau_share(samples[:, channel] == extreme[channel]) for extreme in (low, high))
        for channel in np.flatnonzero(~is_flat)
    ]
    return SignalQuality(count, channels, tuple(map(int, np.flatnonzero(is_flat))), round(max(shares, default=0.0), 3))


def _plateau_share(at_extreme: RawFrame) -> float:
    """The share of samples that lie in runs of at least `_PLATEAU` at the extreme, bool [samples]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], at_extreme, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= _PLATEAU].sum() / len(at_extreme))
