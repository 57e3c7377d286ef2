"""What embeds the images of a folder, and in batches of how many; episode accuracy itself is the runtime's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from edgefew_runtime import DataError, FrameError, InputSpec, head
from edgefew_runtime.episode_accuracy import Evaluation, decisions, episode_scores, evaluate, summarize
from edgefew_runtime.frames import Frame, RawFrame

from .labelled_folder import LabelledFolder, read_frames
from .preprocessing import EmbeddingNetwork, stacked

__all__ = [
    "BATCH",
    "BATCH_PIXELS",
    "Embed",
    "Evaluation",
    "batches",
    "decisions",
    "embed_folder",
    "episode_scores",
    "evaluate",
    "summarize",
    "torch_embedder",
]

Embed = Callable[[list[RawFrame]], head.Embeddings]
"""Raw frames, each uint8 [H, W, 3], float32 [samples, channels], float32 [samples] or int64 [tokens] → embeddings,
float32 [n, d].
"""

BATCH = 64
BATCH_PIXELS = 8_000_000


def torch_embedder(network: EmbeddingNetwork, spec: InputSpec, device: str = "cpu") -> Embed:
    """Embeds raw frames in PyTorch, after Pillow's or numpy's resize."""
    network = network.to(device)

    def embed(frames: list[RawFrame]) -> head.Embeddings:
        batch = torch.from_numpy(stacked(frames, spec))
        with torch.inference_mode():
            return np.asarray(network(batch.to(device)).cpu().numpy())

    return embed


def embed_folder(
    folder: LabelledFolder,
    embedders: Iterable[Embed],
    on_bad: Callable[[FrameError], None] | None = None,
    load: Callable[[Path], Frame] | None = None,
) -> tuple[list[head.Embeddings], npt.NDArray[np.int64]]:
    """Each embedder's embeddings of a folder's frames, and which of them (index into `files`) could be read.

    Files are read by `load`, or as `read_frames` does without.
    """
    embedders = list(embedders)
    kept: list[int] = []
    parts: list[list[head.Embeddings]] = [[] for _ in embedders]
    for batch in batches(read_frames(folder, on_bad, load)):
        kept += [index for index, _ in batch]
        for part, embed in zip(parts, embedders, strict=True):
            part.append(embed([frame for _, frame in batch]))
    if not kept:
        raise DataError(f"None of the {len(folder)} {folder.kind}s in {folder.root} could be read. Check the files.")
    return [np.concatenate(part) for part in parts], np.array(kept, np.int64)


def batches(items: Iterable[tuple[int, RawFrame]]) -> Iterator[list[tuple[int, RawFrame]]]:
    """The items in lists of up to `BATCH` frames or `BATCH_PIXELS`: only so much raw data is held at once."""
    batch: list[tuple[int, RawFrame]] = []
    held = 0
    for item in items:
        batch.append(item)
        held += math.prod(item[1].shape[:2])
        if len(batch) == BATCH or held >= BATCH_PIXELS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
