"""Where the frames of a training lie: in memory, or in a file that is mapped into it when they are many."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
import torch
from edgefew_runtime import InputSpec, TrainingError
from edgefew_runtime.frames import RawFrame

MAPPED_BYTES = 2 * 2**30
"""Frames that take more than this are mapped: the system keeps of them in memory what has room."""


class FrameStore:
    """Takes frames batch by batch and holds each once.

    The file has no name: it goes when training ends, however it ends.

    Args:
        frames: how many there will be at most.
        spec: what each is at the backbone's size.
        folder: where a file has room.
        mapped_bytes: more than so much lies in a file.
    """

    def __init__(self, frames: int, spec: InputSpec, folder: Path, mapped_bytes: int = MAPPED_BYTES) -> None:
        self._shape, self._dtype, self._folder = (spec.channels, *spec.size), np.dtype(spec.dtype), folder
        self._count = 0
        self._bytes = frames * math.prod(self._shape) * self._dtype.itemsize
        self.is_mapped = self._bytes > mapped_bytes
        self._memory = None if self.is_mapped else np.empty((frames, *self._shape), self._dtype)
        self._file: IO[bytes] | None = None

    def add(self, frames: RawFrame) -> None:
        """Put these behind those that are there: [n, C, …].

        Raises:
            TrainingError: no room in the file's folder.
        """
        if self._memory is not None:
            self._memory[self._count : self._count + len(frames)] = frames
        else:
            try:
                self._file = self._file or tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                self._file.write(np.ascontiguousarray(frames).data)
                self._file.flush()
            except OSError as error:
                raise TrainingError(
                    f"{self._folder} does not take the frames at the network's size, {self._bytes / 2**30:.1f} GiB: "
                    f"{error.strerror or error}. Make room, or put --out on another disk."
                ) from None
        self._count += len(frames)

    def values(self) -> torch.Tensor:
        """All that was put in: [n, C, …]. No more can be."""
        if self._memory is not None:
            return torch.from_numpy(self._memory[: self._count])
        assert self._file is not None  # noqa: S101
        with self._file:
            # copy-on-write, as torch takes no memory that is read-only; nothing is written
            mapped = np.memmap(self._file, self._dtype, "c", shape=(self._count, *self._shape))
        return torch.from_numpy(mapped)
