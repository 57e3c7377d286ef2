"""A mean and its 95 % interval, as the benchmarks print them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def with_interval(values: Sequence[float]) -> dict[str, float]:
    """The mean, and half the width of its 95 % interval: 1.96 standard errors."""
    spread = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
    return {"mean": round(float(np.mean(values)), 4), "ci95": round(float(spread), 4)}
