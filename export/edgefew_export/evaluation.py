"""Episode accuracy: the field's measure of few-shot learning, with its 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from edgefew_runtime import DataError, FrameError, InputSpec, head
from edgefew_runtime.frames import RawFrame

from .episodes import EpisodeSampler
from .labelled_folder import LabelledFolder, read_frames
from .preprocessing import EmbeddingNetwork, resize

Embed = Callable[[list[RawFrame]], head.Embeddings]
"""Raw frames, each uint8 [H, W, 3] or float32 [samples, channels] → embeddings, float32 [n, d]."""

BATCH = 64
BATCH_PIXELS = 8_000_000


@dataclass(frozen=True)
class Evaluation:
    """Accuracy over episodes.

    Attributes:
        accuracy: mean share of right answers, 0 to 1.
        ci95: half the width of its 95 % interval: 1.96 standard errors over episodes; None for a single one.
        way: classes in an episode.
        shot: support examples of each.
        query: queries of each.
        episodes: how many.
        seed: which.
    """

    accuracy: float
    ci95: float | None
    way: int
    shot: int
    query: int
    episodes: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew evaluate --json` prints it."""
        return asdict(self)


def episode_scores(
    embeddings: head.Embeddings, support: npt.NDArray[np.int64], query: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The cosine of each query with each prototype, as a device would compute it: float32 [queries, way].

    Args:
        embeddings: float32 [n, d].
        support: int64 [way, shot], rows of `embeddings`.
        query: int64, any shape, rows of `embeddings`.
    """
    way, shot = support.shape
    sums = head.to_grid(embeddings[support.ravel()]).reshape(way, shot, -1).sum(axis=1)
    return head.cosine_scores(embeddings[query.ravel()], head.unit(sums))


def decisions(embeddings: head.Embeddings, sampler: EpisodeSampler, episodes: int) -> npt.NDArray[np.int64]:
    """Which row of its episode each query is taken for: int64 [episodes, way, query]. A right answer is its own row."""
    rows = np.empty((episodes, sampler.way, sampler.query), np.int64)
    for number in range(episodes):
        episode = sampler.episode(number)
        scores = episode_scores(embeddings, episode.support, episode.query)
        rows[number] = scores.argmax(axis=1).reshape(sampler.way, sampler.query)
    return rows


def evaluate(embeddings: head.Embeddings, sampler: EpisodeSampler, episodes: int) -> Evaluation:
    """Accuracy of the nearest prototype over the sampler's first episodes."""
    return summarize(decisions(embeddings, sampler, episodes), sampler)


def summarize(rows: npt.NDArray[np.int64], sampler: EpisodeSampler) -> Evaluation:
    """The accuracy of decisions that `decisions` gave."""
    right = (rows == np.arange(sampler.way)[None, :, None]).mean(axis=(1, 2))
    ci95 = float(1.96 * right.std(ddof=1) / np.sqrt(len(right))) if len(right) > 1 else None
    return Evaluation(float(right.mean()), ci95, sampler.way, sampler.shot, sampler.query, len(right), sampler.seed)


def torch_embedder(network: EmbeddingNetwork, spec: InputSpec, device: str = "cpu") -> Embed:
    """Embeds raw frames in PyTorch, after Pillow's or numpy's resize."""
    network = network.to(device)

    def embed(frames: list[RawFrame]) -> head.Embeddings:
        batch = torch.from_numpy(np.stack([resize(frame, spec) for frame in frames]))
        with torch.inference_mode():
            return np.asarray(network(batch.to(device)).cpu().numpy())

    return embed


def embed_folder(
    folder: LabelledFolder, embedders: Iterable[Embed], on_bad: Callable[[FrameError], None] | None = None
) -> tuple[list[head.Embeddings], npt.NDArray[np.int64]]:
    """Each embedder's embeddings of a folder's frames, and which of them (index into `files`) could be read."""
    embedders = list(embedders)
    kept: list[int] = []
    parts: list[list[head.Embeddings]] = [[] for _ in embedders]
    for batch in batches(read_frames(folder, on_bad)):
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
        held += item[1].shape[0] * item[1].shape[1]
        if len(batch) == BATCH or held >= BATCH_PIXELS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
