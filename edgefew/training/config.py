"""What a training run was asked to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgefew_runtime import TrainingError


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run, each with the name of its command-line option.

    Attributes:
        backbone: its name in the registry.
        way: classes in an episode.
        shot: support examples of each class.
        query: queries of each class.
        image_size: pixels a side that the backbone sees.
        channels: 1 (grey) or 3 (RGB).
        episodes: stop after so many; None for no limit.
        minutes: stop after so long; None for no limit.
        learning_rate: at its highest; it falls to zero along a cosine.
        seed: decides the split, the first weights, the episodes and the augmentation.
        device: "auto", "cpu" or "cuda".
    """

    backbone: str = "conv4"
    way: int = 20
    shot: int = 1
    query: int = 2
    image_size: int = 32
    channels: int = 3
    episodes: int | None = None
    minutes: float | None = None
    learning_rate: float = 2e-3
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.episodes is None and self.minutes is None:
            raise TrainingError("Neither --episodes nor --minutes was given; at least one must say when to stop.")
        if self.channels not in (1, 3):
            raise TrainingError(f"--channels {self.channels} was given; 1 (grey) or 3 (RGB) was expected.")
        if not 16 <= self.image_size <= 512:
            raise TrainingError(f"--image-size {self.image_size} was given; 16 to 512 was expected.")
        if self.episodes is not None and self.episodes < 1:
            raise TrainingError(f"--episodes {self.episodes} was given; at least 1 was expected.")
        for name, value in (("minutes", self.minutes), ("learning-rate", self.learning_rate)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise TrainingError(f"--{name} {value} was given; a number above 0 was expected.")
        if self.seed < 0:
            raise TrainingError(f"--seed {self.seed} was given; 0 or more was expected.")

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for the checkpoint."""
        return asdict(self)

    def progress(self, episode: int, seconds: float) -> float:
        """The share of the budget that is used up, 0 to 1."""
        by_episodes = episode / self.episodes if self.episodes else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_episodes, by_time))
