"""The loss of one step, of either stage; decided by the seed and the step's number alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from edgefew_export.episodes import Episode
from torch import nn

from .config import PRETRAINING, TrainingConfig
from .learner import Learner
from .pretraining import Mixture
from .training_episodes import TrainingEpisodes
from .training_frames import QUARTERS, TrainingFrames


def episode_loss(
    learner: Learner, frames: TrainingFrames, sampler: TrainingEpisodes, step: int, in_turn: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy of an episode's queries, and the share that is right.

    With `in_turn`, after the support, the queries are examples, as many at a time as the episode has, and all others
    are asked, but for those of a source that the examples of their class are of: every frame of an episode counts more,
    for no more work of the network. The share right is that of the first turn.

    The last queries of each class are its unlabelled frames, if the sampler has such, and of the last classes, the
    distractors, there are only those.

    Raises:
        DataError: the episode cannot be drawn.
    """
    episode = sampler.episode(step)
    # Support and query in one batch: batch norm then sees both alike.
    index = np.concatenate([episode.support.ravel(), episode.query.ravel()])
    features = learner.features(frames.take(index, step, of_episode=True))
    places = np.concatenate([episode.support, episode.query[:, : sampler.query]], axis=1)[: sampler.way]
    sources = None if frames.sources is None else frames.sources[places]
    turns = places.shape[1] // sampler.shot if in_turn else 1
    asked = torch.from_numpy(_asked(places.shape, turns, sampler.shot, sources)).to(features.device)
    truth = torch.arange(len(places), device=features.device).repeat_interleave(places.shape[1])
    # Each backbone learns as if it were alone: only then do they err apart, and their mean is better than each.
    every = [
        _scores(learner, part, episode, sampler, turns) for part in torch.split(features, learner.dimensions, dim=1)
    ]
    losses = [
        F.cross_entropy(logits.flatten(0, 1), truth.repeat(turns), reduction="none").view(turns, -1) for logits in every
    ]
    loss = torch.stack([((each * asked).sum(dim=1) / asked.sum(dim=1)).mean() for each in losses]).mean()
    right = torch.stack([logits[0].detach() for logits in every]).sum(dim=0).argmax(dim=1) == truth
    return loss, (right * asked[0]).sum() / asked[0].sum()


def _scores(
    learner: Learner, features: torch.Tensor, episode: Episode, sampler: TrainingEpisodes, turns: int
) -> torch.Tensor:
    """What each labelled frame has of each class in each turn: float32 [turns, way · n, way]."""
    of_support, of_query = torch.split(features, [episode.support.size, episode.query.size])
    support = of_support.view(*episode.support.shape, -1)[: sampler.way]
    drawn = of_query.view(*episode.query.shape, -1)
    unlabelled = drawn[:, sampler.query :].flatten(0, 1) if sampler.unlabelled else None
    labelled = torch.cat([support, drawn[: sampler.way, : sampler.query]], dim=1)
    examples = labelled[:, : turns * sampler.shot].reshape(len(labelled), turns, sampler.shot, -1).movedim(1, 0)
    scores: torch.Tensor = learner.head(examples, labelled.flatten(0, 1), unlabelled)
    return scores


def _asked(shape: Sequence[int], turns: int, shot: int, sources: npt.NDArray[np.int64] | None) -> npt.NDArray[np.bool_]:
    """Which frames are asked in each turn: bool [turns, way · n]; no example, and none of a source of its class's.

    Args:
        shape: way and n, the frames of each class.
        turns: in each, the next frames of each class are its examples.
        shot: how many examples.
        sources: int64 [way, n], or None.
    """
    way, number = shape
    columns = np.arange(turns * shot).reshape(turns, 1, 1, shot)
    same = np.broadcast_to(np.arange(number)[:, None] == columns, (turns, way, number, shot))
    if sources is not None:
        of_examples = sources[:, : turns * shot].reshape(way, turns, 1, shot).swapaxes(0, 1)
        same = same | (sources[:, :, None] == of_examples)
    return ~same.any(axis=3).reshape(turns, way * number)


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
        return episode_loss(self.learner, self._frames, self._sampler, number, self._config.in_turn)


def _share_right(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=1) == truth).float().mean()
