"""Which classes and frames a training episode holds: of all of a folder, or of as few groups as have enough."""

from __future__ import annotations

import numpy as np
from edgefew_export.episodes import Episode, EpisodeSampler

from .config import TrainingConfig
from .training_frames import TrainingFrames

_OWN_STREAM = 2
"""Apart from the random numbers of episodes and of pre-training."""


class TrainingEpisodes:
    """Episodes by their numbers, as the config asks for them.

    Of several folders, each gives as many episodes as the others, however many classes it has. Classes of one group are
    harder to tell apart: the characters of an alphabet, the signs of one shape and colour.

    Raises:
        DataError: no such episode can be drawn.
    """

    def __init__(self, frames: TrainingFrames, config: TrainingConfig) -> None:
        self.way, self.shot, self.query = config.way, config.shot, config.query
        self.unlabelled = config.unlabelled
        self._seed, self._group_share = config.seed, config.group_share
        self._samplers = [
            tuple(
                EpisodeSampler(
                    frames.labels,
                    sources=frames.sources,
                    groups=groups,
                    classes=np.flatnonzero(frames.roots == root),
                    fill=True,
                    way=config.way + config.distractors,
                    shot=config.shot,
                    query=config.query + config.unlabelled,
                    seed=config.seed,
                )
                for groups in (None, frames.groups)
            )
            for root in np.unique(frames.roots)
        ]

    def episode(self, number: int) -> Episode:
        """The episode with this number; always the same one."""
        rng = np.random.default_rng([self._seed, number, _OWN_STREAM])
        of_all, of_groups = self._samplers[rng.integers(len(self._samplers))]
        return (of_groups if rng.random() < self._group_share else of_all).episode(number)
