"""The training frames on the training device: taken by number, turned, augmented."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from .augmentations import AUGMENTATIONS
from .config import TrainingConfig
from .dataset import Frames

QUARTERS = 4
_LAYOUTS = {4: torch.channels_last}
"""Images with their channels last: convolutions are faster so."""


class TrainingFrames:
    """Frames with their labels; where quarter turns are further classes, each frame four times.

    Attributes:
        labels: int64 [n], or [4 n] with the turned ones after the others.
        sources: int64, as many, or None.
        classes: how many.
    """

    def __init__(self, frames: Frames, config: TrainingConfig, device: str) -> None:
        turns = QUARTERS if config.rotations == "classes" else 1
        self.labels = np.concatenate([frames.labels + turn * frames.classes for turn in range(turns)])
        self.sources = None if frames.sources is None else np.tile(frames.sources, turns)
        self.classes = turns * frames.classes
        self.device = device
        self._values = frames.values.to(device)
        self._augment = AUGMENTATIONS[config.kind][config.augment]
        self._seed = config.seed
        self._generator = torch.Generator(device=device)

    def take(self, index: npt.NDArray[np.int64], step: int, quarters: npt.NDArray[np.int64] | int = 0) -> torch.Tensor:
        """Frames as the seed and the step's number augment them: float32 [n, C, …], not yet normalised.

        Args:
            index: int64 [n], rows of `labels`.
            step: the step's number.
            quarters: by how many quarters each is turned besides.
        """
        count = len(self._values)
        frames = self._values[torch.from_numpy(index % count).to(self.device)].float()
        frames = _turned(frames, (index // count + quarters) % QUARTERS)
        self._generator.manual_seed(self._seed * 1_000_003 + step)
        frames = self._augment(frames, self._generator)
        return frames.contiguous(memory_format=_LAYOUTS.get(frames.ndim, torch.contiguous_format))


def _turned(images: torch.Tensor, quarters: npt.NDArray[np.int64]) -> torch.Tensor:
    """Each image turned by its number of quarters."""
    if not quarters.any():
        return images
    turned = images.clone()
    for quarter in range(1, QUARTERS):
        rows = torch.from_numpy(np.flatnonzero(quarters == quarter)).to(images.device)
        turned[rows] = torch.rot90(images[rows], quarter, (2, 3))
    return turned
