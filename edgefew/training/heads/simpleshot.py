"""SimpleShot: features centred by the mean of the training classes, then made unit vectors.

Wang, Chao, Weinberger, van der Maaten, SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning,
2019, section 3, CL2N. The mean becomes the last layer of the backbone, so the device computes this too.
"""

from __future__ import annotations

from typing import ClassVar

from .cosine import Cosine


class SimpleShot(Cosine):
    """The cosine of centred features; the centring is the backbone's."""

    centred: ClassVar[bool] = True
