"""The loss of one step, of either stage; decided by the seed and the step's number alone."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from edgefew_export.episodes import EpisodeSampler

from .config import TrainingConfig
from .learner import Learner
from .pretraining import Mixture
from .training_frames import QUARTERS, TrainingFrames


def episode_loss(
    learner: Learner, frames: TrainingFrames, sampler: EpisodeSampler, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy of an episode's queries, and the share that is right.

    Raises:
        DataError: the episode cannot be drawn.
    """
    episode = sampler.episode(step)
    # Support and query in one batch: batch norm then sees both alike.
    index = np.concatenate([episode.support.ravel(), episode.query.ravel()])
    features = learner.network.features(frames.take(index, step))
    support, query = features[: episode.support.size], features[episode.support.size :]
    logits = learner.head(support.view(sampler.way, sampler.shot, -1), query)
    truth = torch.arange(sampler.way, device=logits.device).repeat_interleave(sampler.query)
    return F.cross_entropy(logits, truth), _share_right(logits, truth)


def pretraining_loss(
    learner: Learner, frames: TrainingFrames, config: TrainingConfig, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy of a random batch over all training classes, and the share that is right."""
    assert learner.pretraining is not None  # noqa: S101
    rng = np.random.default_rng([config.seed, step, 1])
    index = rng.integers(len(frames.labels), size=config.batch_size)
    quarters = rng.integers(QUARTERS, size=len(index)) * (config.rotations == "predict")
    mixture = Mixture.draw(len(index), config.mixup, rng)
    features = learner.network.features(mixture.mix(frames.take(index, step, quarters)))
    truth = torch.from_numpy(frames.labels[index]).to(features.device)
    logits = learner.pretraining(features)
    loss = mixture.loss(logits, truth)
    if learner.pretraining.quarters is not None:
        turned = torch.from_numpy(quarters).to(features.device)
        loss = (loss + mixture.loss(learner.pretraining.quarters(features), turned)) / 2
    return loss, _share_right(logits, truth)


def _share_right(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=1) == truth).float().mean()
