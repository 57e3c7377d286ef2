"""What can be told of a window of a signal without knowing what it is of: too short, flat, clipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .frames import RawFrame

LARGEST = 1e15
"""Larger values are not used: sums of their squares are beyond float32."""

CLIPPED = 0.02
"""The share of a channel's samples in plateaus at an extreme above which it counts as clipped; see docs/signal.md."""

_PLATEAU = 3
"""Samples in a row at an extreme that make a plateau: a sensor's limit lasts, a peak does not."""

_STEPS = 1.5
"""A plateau is met by more than one step of the converter: a slow peak of few steps is no clipping."""


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
    is_flat = low == high
    shares = [
        max(_plateau_share(samples[:, channel], extreme[channel]) for extreme in (low, high))
        for channel in np.flatnonzero(~is_flat)
    ]
    return SignalQuality(count, channels, tuple(map(int, np.flatnonzero(is_flat))), round(max(shares, default=0.0), 3))


def _plateau_share(values: RawFrame, extreme: float) -> float:
    """The share of values, float32 [samples], that lie in plateaus at an extreme."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values == extreme, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    steps = np.abs(np.diff(values))
    step = steps[steps > 0].min()
    met = np.concatenate([[0], steps, [0]])
    abrupt = np.maximum(met[starts], met[ends]) > _STEPS * step
    runs = (ends - starts)[abrupt]
    return float(runs[runs >= _PLATEAU].sum() / len(values))
