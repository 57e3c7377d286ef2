"""Classes that training never saw: how they are asked about, to choose the checkpoint and the projection."""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt
import torch
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import Evaluation, evaluate
from edgefew_export.preprocessing import EmbeddingNetwork
from edgefew_runtime import DataError, head

from .config import TrainingConfig
from .dataset import Frames

VALIDATION_EPISODES = 200
"""Which say how good a checkpoint is."""

CHOICE_EPISODES = 600
"""Which choose a projection's shrinkage; differences are smaller there."""

_EMBED_BATCH = 256


def validation_sampler(validation: Frames, config: TrainingConfig) -> EpisodeSampler:
    """Episodes as in training, or with fewer ways and shots where the held-out classes are too few.

    Raises:
        DataError: they allow none at all.
    """
    for way in range(min(config.way, validation.classes), 1, -1):
        for shot in {config.shot: None, 1: None}:
            with contextlib.suppress(DataError):
                return EpisodeSampler(
                    validation.labels,
                    sources=validation.sources,
                    way=way,
                    shot=shot,
                    query=1,
                    seed=config.seed,
                    checked=VALIDATION_EPISODES if config.project == "none" else CHOICE_EPISODES,
                )
    raise DataError(
        f"The {validation.classes} classes held out for validation allow no episode: each needs at least 2 frames"
        f"{' of 2 sources' if validation.sources is not None else ''}. Add some."
    )


def validate(network: EmbeddingNetwork, validation: Frames, sampler: EpisodeSampler, device: str) -> Evaluation:
    """How well a network in evaluation mode tells classes apart that it never saw."""
    return evaluate(embed(network, validation.values, device), sampler, VALIDATION_EPISODES)


def embed(
    network: EmbeddingNetwork, frames: torch.Tensor, device: str, rows: npt.NDArray[np.int64] | None = None
) -> head.Embeddings:
    """The unit vectors of frames as they came, by a network in evaluation mode: float32 [n, d].

    Args:
        network: what embeds.
        frames: uint8 or float32 [n, C, …]; where they lie in a file, no more are read at once than a batch.
        device: where the network is.
        rows: int64, which of the frames; all of them if not said.
    """
    wanted = torch.arange(len(frames)) if rows is None else torch.from_numpy(rows)
    with torch.inference_mode():
        parts = [network.embed(frames[batch].to(device).float()).cpu() for batch in torch.split(wanted, _EMBED_BATCH)]
    return np.asarray(torch.cat(parts).numpy())
