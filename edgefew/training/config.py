"""What a training run was asked to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgefew_export.backbones import DEFAULTS
from edgefew_runtime import InputSpec, TrainingError


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run, each with the name of its command-line option.

    Attributes:
        kind: "image" or "signal".
        backbone: its name in the registry; the kind's own default if None.
        way: classes in an episode.
        shot: support examples of each class.
        query: queries of each class.
        image_size: of images, pixels a side that the backbone sees.
        channels: of images 1 (grey) or 3 (RGB); of signals those of a window.
        samples: of signals, how many a window is resampled to.
        normalize: of signals, a name of `NORMALIZATIONS`; the constants are those of the training classes.
        seconds: of signals, how long a window lasts, if it is known.
        episodes: stop after so many; None for no limit.
        minutes: stop after so long; None for no limit.
        learning_rate: at its highest; it falls to zero along a cosine.
        seed: decides the split, the first weights, the episodes and the augmentation.
        device: "auto", "cpu" or "cuda".
    """

    kind: str = "image"
    backbone: str | None = None
    way: int = 20
    shot: int = 1
    query: int = 2
    image_size: int = 32
    channels: int = 3
    samples: int = 256
    normalize: str = "window"
    seconds: float | None = None
    episodes: int | None = None
    minutes: float | None = None
    learning_rate: float = 2e-3
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.episodes is None and self.minutes is None:
            raise TrainingError("Neither --episodes nor --minutes was given; at least one must say when to stop.")
        if self.kind == "image" and self.channels not in (1, 3):
            raise TrainingError(f"--channels {self.channels} was given; 1 (grey) or 3 (RGB) was expected.")
        if not 16 <= self.samples <= 65536:
            raise TrainingError(f"--samples {self.samples} was given; 16 to 65536 was expected.")
        if not 16 <= self.image_size <= 512:
            raise TrainingError(f"--image-size {self.image_size} was given; 16 to 512 was expected.")
        if self.episodes is not None and self.episodes < 1:
            raise TrainingError(f"--episodes {self.episodes} was given; at least 1 was expected.")
        for name, value in (("minutes", self.minutes), ("learning-rate", self.learning_rate)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise TrainingError(f"--{name} {value} was given; a number above 0 was expected.")
        if self.seed < 0:
            raise TrainingError(f"--seed {self.seed} was given; 0 or more was expected.")

    def input(self, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()) -> InputSpec:
        """What the backbone takes.

        Args:
            mean: for signals that constants normalise: of each channel; as they come if not given.
            std: likewise.
        """
        if self.kind == "image":
            half = (0.5,) * self.channels
            return InputSpec.image(self.image_size, self.channels, half, half)
        if self.normalize == "constant":
            mean, std = mean or (0.0,) * self.channels, std or (1.0,) * self.channels
        return InputSpec.signal(self.samples, self.channels, self.normalize, mean, std, seconds=self.seconds)

    def backbone_name(self) -> str:
        """The backbone's name in the registry."""
        return self.backbone or DEFAULTS[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for the checkpoint."""
        return asdict(self)

    def progress(self, episode: int, seconds: float) -> float:
        """The share of the budget that is used up, 0 to 1."""
        by_episodes = episode / self.episodes if self.episodes else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_episodes, by_time))
