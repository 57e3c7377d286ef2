"""A labelled folder as tensors, held once; classes split in training and validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from edgefew_export.checkpoint import HeldOut
from edgefew_export.evaluation import batches
from edgefew_export.labelled_folder import LabelledFolder, read_frames
from edgefew_export.preprocessing import preprocessing_of, resize
from edgefew_runtime import DataError, FrameError, InputSpec, TrainingError

from .config import TrainingConfig
from .frame_store import MAPPED_BYTES, FrameStore

VALIDATION_SHARE = 0.15
MIN_VALIDATION_CLASSES = 4
MAX_HELD_OUT_BYTES = 16_000_000
"""The most that the held-out frames add to a checkpoint."""


@dataclass(frozen=True)
class Frames:
    """Frames at the backbone's size, not yet normalised.

    Attributes:
        values: uint8 [n, C, S, S], or float32 [n, C, samples]; C is 1 of sounds.
        labels: int64 [n].
        sources: int64 [n], or None.
        classes: how many.
        groups: int64 [classes], a number for each class's parent folder.
        roots: int64 [classes], which of the folders that were given it is of.
        is_mapped: whether the values lie in a file, being too many for the memory of a GPU, too.
    """

    values: torch.Tensor
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64] | None
    classes: int
    groups: npt.NDArray[np.int64]
    roots: npt.NDArray[np.int64]
    is_mapped: bool = False

    def held_out(self) -> HeldOut:
        """As many of them as a checkpoint should carry: the same number of each class, spread over its sources."""
        sources = np.arange(len(self.labels)) if self.sources is None else self.sources
        nth_of_source = _occurrence(np.stack([self.labels, sources], axis=1))
        order = np.lexsort([sources, nth_of_source, self.labels])
        nth_of_class = np.empty(len(order), np.int64)
        nth_of_class[order] = _occurrence(self.labels[order][:, None])
        room = max(2, MAX_HELD_OUT_BYTES // self.values[0].nbytes)
        kept = np.sort(np.argsort(nth_of_class, kind="stable")[:room])
        frames = self.values[torch.from_numpy(kept)].movedim(1, -1).contiguous().numpy()
        return HeldOut(frames, self.labels[kept], None if self.sources is None else self.sources[kept])


def split_classes(folder: LabelledFolder, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which classes to train on and which to validate on; no class is in both.

    Raises:
        DataError: too few classes for both.
    """
    count = len(folder.classes)
    sources = np.arange(len(folder.labels)) if folder.sources is None else folder.sources
    pairs = np.unique(np.stack([folder.labels, sources], axis=1), axis=0)
    usable = np.flatnonzero(np.bincount(pairs[:, 0], minlength=count) > 1)
    held = max(MIN_VALIDATION_CLASSES, round(VALIDATION_SHARE * len(usable)))
    if count - held < 2:
        raise DataError(
            f"{folder.root} has {count} classes. Training needs at least {MIN_VALIDATION_CLASSES + 2}: "
            f"{MIN_VALIDATION_CLASSES} are held out to choose the checkpoint and to calibrate. Add classes."
        )
    if len(usable) < held:
        each = f"2 {folder.kind}s" if folder.sources is None else f"{folder.kind}s of 2 sources"
        raise DataError(
            f"{len(usable)} classes of {folder.root} have at least {each}; {held} such classes are needed to "
            "choose the "
            "checkpoint and to calibrate. Add some."
        )
    held_out = np.sort(np.random.default_rng([seed, count]).permutation(usable)[:held])
    return np.setdiff1d(np.arange(count), held_out), held_out


def _occurrence(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each row, how many equal rows stand before it: int64 [n], from int64 [n, k]."""
    _, group = np.unique(rows, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], group[order])
    result = np.empty(len(rows), np.int64)
    result[order] = np.arange(len(rows)) - starts
    return result


def load_frames(
    folder: LabelledFolder,
    spec: InputSpec,
    on_bad: Callable[[FrameError], None] | None,
    scratch: Path,
    mapped_bytes: int = MAPPED_BYTES,
) -> Frames:
    """The folder's frames as the backbone sees them, before normalisation.

    Args:
        folder: the data.
        spec: what the backbone takes.
        on_bad: called for an unreadable frame, which is left out.
        scratch: a folder with room for frames that take more than `mapped_bytes`.
        mapped_bytes: see `FrameStore`.

    Raises:
        FrameError: a frame cannot be read and `on_bad` is None.
        TrainingError: `scratch` has no room.
    """
    kept: list[int] = []
    store = FrameStore(len(folder), spec, scratch, mapped_bytes)
    preprocessing = preprocessing_of(spec)
    for batch in batches(read_frames(folder, on_bad, spec.load)):
        kept += [index for index, _ in batch]
        frames = torch.from_numpy(np.stack([resize(frame, spec) for _, frame in batch]))
        store.add(preprocessing.select_channels(frames).to(frames.dtype).numpy())
    if not kept:
        raise DataError(f"No {folder.kind} in {folder.root} could be read. Check the files.")
    sources = None if folder.sources is None else folder.sources[kept]
    return Frames(
        store.values(),
        folder.labels[kept],
        sources,
        len(folder.classes),
        folder.groups,
        folder.roots,
        store.is_mapped,
    )


def load_split(
    folder: LabelledFolder,
    held_out: LabelledFolder | None,
    config: TrainingConfig,
    on_bad: Callable[[FrameError], None] | None,
    scratch: Path,
) -> tuple[Frames, Frames]:
    """The frames to train on and those to validate on.

    Args:
        folder: the data.
        held_out: classes to validate on; a share of the folder's own if None.
        config: what to do.
        on_bad: called for an unreadable frame, which is left out.
        scratch: see `load_frames`.

    Raises:
        DataError: the classes are too few, or of another kind.
        FrameError: a frame cannot be read and `on_bad` is None.
    """
    if held_out is None:
        parts = [folder.select_classes(classes)[0] for classes in split_classes(folder, config.seed)]
    else:
        held_out.check_kind(config.input())
        parts = [folder, held_out]
    training, validation = (load_frames(part, config.input(), on_bad, scratch) for part in parts)
    return training, validation


def measured_input(config: TrainingConfig, training: Frames) -> InputSpec:
    """What the backbone takes, with the training classes' own mean and deviation where they normalise.

    Raises:
        TrainingError: one has no deviation.
    """
    if config.kind == "image" or config.normalize != "constant":
        return config.input()
    values = training.values.double()
    mean, std = values.mean(dim=(0, 2)), values.std(dim=(0, 2))
    if not bool((std > 0).all()):
        raise TrainingError(
            f"A channel is flat in every window (deviations {', '.join(f'{d:g}' for d in std.tolist())}). Leave it out."
        )
    return config.input(tuple(mean.tolist()), tuple(std.tolist()))
