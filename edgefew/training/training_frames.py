"""The training frames on the training device: taken by number, turned, augmented."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from .augmentations import AUGMENTATIONS, TASK_AUGMENTATIONS
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
        groups: int64 [classes], of each class; the turned classes of a group are a group of their own.
        roots: int64 [classes], which of the folders that were given each is of.
    """

    def __init__(self, frames: Frames, config: TrainingConfig, device: str) -> None:
        turns = QUARTERS if config.rotations == "classes" else 1
        self.labels = np.concatenate([frames.labels + turn * frames.classes for turn in range(turns)])
        self.sources = None if frames.sources is None else np.tile(frames.sources, turns)
        self.classes = turns * frames.classes
        self.groups = np.concatenate([frames.groups + turn * (int(frames.groups.max()) + 1) for turn in range(turns)])
        self.roots = np.tile(frames.roots, turns)
        self.device = device
        self._values = frames.values if frames.is_mapped else frames.values.to(device)
        self._augment = AUGMENTATIONS[config.kind][config.augment]
        self._task = TASK_AUGMENTATIONS[config.task_augment]
        self._seed = config.seed
        self._generator = torch.Generator(device=device)

    def take(
        self,
        index: npt.NDArray[np.int64],
        step: int,
        quarters: npt.NDArray[np.int64] | int = 0,
        *,
        of_episode: bool = False,
    ) -> torch.Tensor:
        """Frames as the seed and the step's number augment them: float32 [n, C, …], not yet normalised.

        Args:
            index: int64 [n], rows of `labels`.
            step: the step's number.
            quarters: by how many quarters each is turned besides.
            of_episode: whether their classes are changed as a whole, if the config says so.
        """
        count = len(self._values)
        rows = torch.from_numpy(index % count)
        on_device = self._values.device.type == self.device
        frames = (self._values[self._sent(rows)] if on_device else self._sent(self._values[rows])).float()
        frames = _turned(frames, (index // count + quarters) % QUARTERS)
        self._generator.manual_seed(self._seed * 1_000_003 + step)
        if of_episode and self._task:
            names, classes = np.unique(self.labels[index], return_inverse=True)
            of_classes = self._task.draw(torch.from_numpy(classes).to(self.device), len(names), self._generator)
            frames = self._augment(frames, self._generator, of_classes)
        else:
            frames = self._augment(frames, self._generator)
        return frames.contiguous(memory_format=_LAYOUTS.get(frames.ndim, torch.contiguous_format))

    def _sent(self, values: torch.Tensor) -> torch.Tensor:
        """On the training device; a GPU fetches them while this goes on."""
        return values.pin_memory().to(self.device, non_blocking=True) if self.device == "cuda" else values


def _turned(images: torch.Tensor, quarters: npt.NDArray[np.int64]) -> torch.Tensor:
    """Each image turned by its number of quarters."""
    if not quarters.any():
        return images
    turned = images.clone()
    for quarter in range(1, QUARTERS):
        rows = torch.from_numpy(np.flatnonzero(quarters == quarter)).to(images.device)
        turned[rows] = torch.rot90(images[rows], quarter, (2, 3))
    return turned
