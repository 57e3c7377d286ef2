"""Augmentations by kind of frame and by name. To add one: a callable as `Augment` says, and one line below."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .augment import Augmentation, ClassChanges, TaskAugmentation
from .augment_photo import PhotoAugmentation
from .augment_signal import SignalAugmentation
from .augment_sound import SoundAugmentation

Augment = Callable[..., torch.Tensor]
"""Frames as they came, float32 [n, C, …], and what decides → as many, changed. Of images, `ClassChanges` may follow."""

_STILL = Augmentation(0, 0, 0, 0, 0)


def _unchanged(
    frames: torch.Tensor, generator: torch.Generator, of_classes: ClassChanges | None = None
) -> torch.Tensor:
    return frames if of_classes is None else _STILL(frames, generator, of_classes)


AUGMENTATIONS: dict[str, dict[str, Augment]] = {
    "image": {
        "none": _unchanged,
        "light": Augmentation(),
        "drawing": Augmentation(rotate=20, scale=0.2, shear=0.2, translate=0.1, thicken=0.3, elastic=0.02),
        "photo": PhotoAugmentation(),
        "microscope": PhotoAugmentation(
            geometry=Augmentation(rotate=180, scale=0.05, shear=0.05, translate=0.05, thicken=0),
            brightness=0.1,
            contrast=0.3,
            colour=0.1,
            blur=0.7,
            noise=0.02,
            erase=0,
        ),
    },
    "signal": {
        "none": _unchanged,
        "light": SignalAugmentation(),
        "rough": SignalAugmentation(noise=0.6, wander=1.0),
    },
    "audio": {"none": _unchanged, "light": SoundAugmentation()},
}

TASK_AUGMENTATIONS: dict[str, TaskAugmentation | None] = {"none": None, "warp": TaskAugmentation()}
"""What happens to all images of a class in an episode; of images alone."""
