"""A labelled folder as tensors: images held once as uint8, classes split in training and validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from edgefew_export.checkpoint import HeldOut
from edgefew_export.evaluation import batches
from edgefew_export.labelled_folder import LabelledFolder, read_frames
from edgefew_export.preprocessing import EmbeddingNetwork, resize
from edgefew_runtime import DataError, FrameError, InputSpec

VALIDATION_SHARE = 0.15
MIN_VALIDATION_CLASSES = 4
MAX_HELD_OUT_BYTES = 16_000_000
"""The most that the held-out frames add to a checkpoint."""


@dataclass(frozen=True)
class Images:
    """Images at the backbone's size.

    Attributes:
        pixels: uint8 [n, C, S, S].
        labels: int64 [n].
        sources: int64 [n], or None.
        classes: how many.
    """

    pixels: torch.Tensor
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64] | None
    classes: int

    def held_out(self) -> HeldOut:
        """As many of them as a checkpoint should carry, whole classes first to last."""
        size = self.pixels[0].numel() if len(self.pixels) else 1
        kept = np.sort(np.argsort(self.labels, kind="stable")[: max(1, MAX_HELD_OUT_BYTES // size)])
        frames = self.pixels[torch.from_numpy(kept)].permute(0, 2, 3, 1).contiguous().numpy()
        return HeldOut(frames, self.labels[kept], None if self.sources is None else self.sources[kept])


def split_classes(folder: LabelledFolder, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which classes to train on and which to validate on; no class is in both.

    Raises:
        DataError: too few classes for both.
    """
    count = len(folder.classes)
    held = max(MIN_VALIDATION_CLASSES, round(VALIDATION_SHARE * count))
    if count - held < 2:
        raise DataError(
            f"{folder.root} has {count} classes. Training needs at least {MIN_VALIDATION_CLASSES + 2}: "
            f"{MIN_VALIDATION_CLASSES} are held out to choose the best checkpoint and to calibrate. Add classes."
        )
    order = np.random.default_rng([seed, count]).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])


def load_images(
    folder: LabelledFolder,
    network: EmbeddingNetwork,
    spec: InputSpec,
    on_bad: Callable[[FrameError], None] | None,
) -> Images:
    """The folder's images as the backbone sees them, before normalisation.

    Raises:
        FrameError: an image cannot be read and `on_bad` is None.
    """
    kept: list[int] = []
    parts = []
    for batch in batches(read_frames(folder, on_bad)):
        kept += [index for index, _ in batch]
        frames = torch.from_numpy(np.stack([resize(pixels, spec) for _, pixels in batch]))
        parts.append(network.select_channels(frames).to(torch.uint8))
    if not parts:
        raise DataError(f"No image in {folder.root} could be read. Check the files.")
    sources = None if folder.sources is None else folder.sources[kept]
    return Images(torch.cat(parts), folder.labels[kept], sources, len(folder.classes))
