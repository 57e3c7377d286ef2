"""The loss of one step, of either stage; decided by the seed and the step's number alone."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .config import PRETRAINING, TrainingConfig
from .learner import Learner
from .pretraining import Mixture
from .training_episodes import TrainingEpisodes
from .training_frames import QUARTERS, TrainingFrames


def episode_loss(
    learner: Learner, frames: TrainingFrames, sampler: TrainingEpisodes, step: int, both_ways: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy of an episode's queries, and the share that is right.

    With `both_ways` the queries in their turn are examples, as many at a time as the episode has, and the support is
    asked: every image of an episode counts more, for no more work of the network.

    Raises:
        DataError: the episode cannot be drawn.
    """
    episode = sampler.episode(step)
    # Support and query in one batch: batch norm then sees both alike.
    index = np.concatenate([episode.support.ravel(), episode.query.ravel()])
    features = learner.features(frames.take(index, step))
    support = features[: episode.support.size].view(sampler.way, sampler.shot, -1)
    query = features[episode.support.size :].view(sampler.way, sampler.query, -1)
    loss, right = _asked(learner, support, query)
    if not both_ways:
        return loss, right
    others = [_asked(learner, part, support)[0] for part in torch.split(query, sampler.shot, dim=1)]
    return (loss + torch.stack(others).mean()) / 2, right


def _asked(learner: Learner, support: torch.Tensor, query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy of queries [way, query, d] given examples [way, shot, d], and the share that is right."""
    logits = learner.head(support, query.flatten(0, 1))
    truth = torch.arange(len(query), device=logits.device).repeat_interleave(query.shape[1])
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
    features = learner.features(mixture.mix(frames.take(index, step, quarters)))
    truth = torch.from_numpy(frames.labels[index]).to(features.device)
    logits = learner.pretraining(features)
    loss = mixture.loss(logits, truth)
    if learner.pretraining.quarters is not None:
        turned = torch.from_numpy(quarters).to(features.device)
        loss = (loss + mixture.loss(learner.pretraining.quarters(features), turned)) / 2
    return loss, _share_right(logits, truth)


class StepLoss(nn.Module):
    """What a stage's loss is, as one module: `DistributedDataParallel` averages the gradients of what it calls."""

    def __init__(
        self, learner: Learner, frames: TrainingFrames, sampler: TrainingEpisodes, config: TrainingConfig
    ) -> None:
        super().__init__()
        self.learner, self._frames, self._sampler, self._config = learner, frames, sampler, config

    def forward(self, stage: str, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of the batch or episode with this number, and the share that is right."""
        if stage == PRETRAINING:
            return pretraining_loss(self.learner, self._frames, self._config, number)
        return episode_loss(self.learner, self._frames, self._sampler, number, self._config.both_ways)


def _share_right(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=1) == truth).float().mean()
