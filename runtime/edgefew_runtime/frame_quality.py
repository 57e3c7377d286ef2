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

BLURRED = 0.7
"""The blur measure above which a frame counts as blurred; see docs/enrolment.md for how it was chosen."""

_LUMA = (0.299, 0.587, 0.114)
_SAMPLED = 64
"""Pixels across at which a frame is looked at; a network that sees less does not see what is lost here."""

_BRIGHT_SAMPLE = 1000
_NOISE_SAMPLE = 700
_WINDOW = 9

_NOISE_DOUBT = 0.07
"""By what share the noise's variance may be wrong; see docs/enrolment.md."""

_MEDIAN_OF_NORMAL = 0.6745
"""The median of the absolute value of a standard normal."""


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
    # By plane: half the time of a product with a vector of three.
    red, green, blue = (
        np.multiply(pixels[::step, ::step, colour], share, dtype=np.float32) for colour, share in enumerate(_LUMA)
    )
    luma = red + green + blue
    flat = luma.ravel()
    some = flat[:: max(1, flat.size // _BRIGHT_SAMPLE)]
    twentieth = (some.size - 1) * 19 // 20
    bright = float(np.partition(some, twentieth)[twentieth])
    mean = float(flat.sum()) / flat.size
    # By two products: numpy's own standard deviation takes as long as all the rest here.
    contrast = max(0.0, float(flat @ flat) / flat.size - mean * mean) ** 0.5
    noise = _noise(luma)
    blur = max(_blur(luma, noise), _blur(luma.T, noise))
    return FrameQuality(height, width, round(bright, 3), round(contrast, 1), round(blur, 3))


def _blur(luma: npt.NDArray[np.float32], noise: float) -> float:
    """How little a strong blur along the rows changes: 0 to 1.

    After Crete, Dolmiere, Ladret, Nicolas, The Blur Effect: Perception and Estimation with a New No-Reference
    Perceptual Blur Metric, 2007, section 3, along one direction; but with squares in the place of absolute values: from
    their mean what sensor noise adds can be taken, from that of absolute values it cannot.

    Args:
        luma: float32 [h, w].
        noise: the variance of its noise.
    """
    if luma.shape[1] <= _WINDOW:
        return 0.0
    # From one place to the next, the mean over a window changes by what comes in less what goes out.
    sharp = _mean_square(luma[:, 1:] - luma[:, :-1])
    blurred = _mean_square(luma[:, _WINDOW:] - luma[:, :-_WINDOW]) / _WINDOW**2
    # Where noise is all that is left to see, nothing is known of blur; so the doubt in its variance goes against it.
    sharp = max(0.0, sharp - 2 * noise) + 2 * noise * _NOISE_DOUBT
    blurred = max(0.0, blurred - 2 * noise / _WINDOW**2 * (1 + _NOISE_DOUBT))
    return min(1.0, (blurred / sharp) ** 0.5) if sharp > 1e-3 else 1.0


def _noise(luma: npt.NDArray[np.float32]) -> float:
    """The variance of the noise in a luma [h, w]: edges are rare in the diagonal differences of its 2 × 2 blocks.

    Donoho and Johnstone, Ideal Spatial Adaptation by Wavelet Shrinkage, 1994, section 3: the median of the finest
    detail.
    """
    height, width = luma.shape[0] & ~1, luma.shape[1] & ~1
    columns = luma[:height, :width:2] - luma[:height, 1:width:2]
    details = np.abs(columns[::2] - columns[1::2]).ravel()
    if not details.size:
        return 0.0
    some = details[:: max(1, details.size // _NOISE_SAMPLE)]
    middle = some.size // 2
    return (float(np.partition(some, middle)[middle]) / 2 / _MEDIAN_OF_NORMAL) ** 2


def _mean_square(values: npt.NDArray[np.float32]) -> float:
    flat = values.ravel()
    return float(flat @ flat) / flat.size
