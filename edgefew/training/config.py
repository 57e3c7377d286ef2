"""What a training run was asked to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgefew_export.backbones import DEFAULTS
from edgefew_export.backbones import speech_embedding as speech
from edgefew_export.backbones.ensemble import members
from edgefew_export.projection import KINDS
from edgefew_runtime import InputSpec, TrainingError

from .augmentations import AUGMENTATIONS, TASK_AUGMENTATIONS
from .heads import HEADS
from .heads.head import FIRST_SCALE

ROTATIONS = ("none", "classes", "predict")
PRECISIONS = ("auto", "fp32", "bf16")
PROJECTIONS = ("none", *KINDS)
PUBLISHED = ("efficientnet_lite0", "speech_embedding")
PRETRAINING, META_TRAINING = "pre-training", "meta-training"


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run, each with the name of its command-line option.

    Attributes:
        kind: "image", "signal" or "audio".
        backbone: its name in the registry, or several joined by "+"; the kind's own default if None.
        head: its name in `HEADS`: what decides in a training episode.
        scale: the factor on that head's scores at first; it is learned.
        pretrained: start from the weights that were published for the backbone.
        freeze: how many of the backbone's first parts (layers, or blocks of layers) stay as they are; of several
            backbones, of each that has published weights.
        pretrain_share: the share of the budget that goes to pre-training, 0 to 1; the rest is meta-training.
        batch_size: frames of a step of pre-training.
        mixup: the alpha of mixed images in pre-training; 0 for none.
        rotations: one of `ROTATIONS`: quarter turns of an image are further classes, or told apart in pre-training, or
            are not made.
        augment: one of `AUGMENTATIONS` of the kind.
        task_augment: of images, one of `TASK_AUGMENTATIONS`: how the classes of an episode are changed as a whole.
        way: classes in an episode.
        shot: support examples of each class.
        query: queries of each class.
        unlabelled: frames of each class in an episode that refine its prototypes, without their labels.
        distractors: further classes in an episode of which there are unlabelled frames alone.
        in_turn: each frame of an episode is in its turn an example, and all others are asked.
        group_share: the share of episodes whose classes are of one group, or of as few as have enough, 0 to 1.
        accumulate: batches or episodes of one step in each process; their gradients are averaged.
        image_size: of images, pixels a side that the backbone sees.
        frame: of images: the network's first layer brings what is drawn to one place and size, at so many pixels.
        channels: of images 1 (grey) or 3 (RGB); of signals those of a window.
        samples: of signals, how many a window is resampled to.
        normalize: of signals, a name of `NORMALIZATIONS`; the constants are those of the training classes.
        seconds: of signals, how long a window lasts, if it is known; of sounds, the length that the network hears, 1 if
            not said, and 1.6 by speech_embedding.
        rate: of sounds, samples a second.
        bands: of sounds, those of the mel spectrogram; speech_embedding has its own.
        episodes: stop after so many steps, of both stages; None for no limit.
        minutes: stop after so long; None for no limit.
        learning_rate: at its highest; it falls to zero along a cosine.
        source_pattern: what told the sources of the frames, if anything.
        exclude: which classes were left out.
        project: one of `PROJECTIONS`: what is fitted on the training classes at the end, as the network's last layer.
        seed: decides the split, the first weights, the episodes and the augmentation.
        device: "auto", "cpu" or "cuda".
        precision: one of `PRECISIONS`: what the network computes in while it learns.
        compile: whether torch.compile compiles the network.
    """

    kind: str = "image"
    backbone: str | None = None
    head: str = "cosine"
    scale: float = FIRST_SCALE
    pretrained: bool = False
    freeze: int = 0
    pretrain_share: float = 0.0
    batch_size: int = 64
    mixup: float = 0.0
    rotations: str = "none"
    augment: str = "light"
    task_augment: str = "none"
    way: int = 20
    shot: int = 1
    query: int = 2
    unlabelled: int = 0
    distractors: int = 0
    in_turn: bool = False
    group_share: float = 0.0
    accumulate: int = 1
    image_size: int = 32
    frame: int | None = None
    channels: int = 3
    samples: int = 256
    normalize: str = "window"
    seconds: float | None = None
    rate: int = 16_000
    bands: int = 40
    episodes: int | None = None
    minutes: float | None = None
    learning_rate: float = 2e-3
    source_pattern: str | None = None
    exclude: tuple[str, ...] = ()
    project: str = "none"
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.episodes is None and self.minutes is None:
            raise TrainingError("Neither --episodes nor --minutes was given; at least one must say when to stop.")
        if self.kind == "image" and self.channels not in (1, 3):
            raise TrainingError(f"--channels {self.channels} was given; 1 (grey) or 3 (RGB) was expected.")
        for name, given, known in (
            ("head", self.head, sorted(HEADS)),
            ("rotations", self.rotations, ROTATIONS),
            ("precision", self.precision, PRECISIONS),
            ("augment", self.augment, sorted(AUGMENTATIONS[self.kind])),
            ("project", self.project, PROJECTIONS),
            ("task-augment", self.task_augment, sorted(TASK_AUGMENTATIONS) if self.kind == "image" else ["none"]),
        ):
            if given not in known:
                raise TrainingError(f"--{name} {given} was given; {', '.join(known)} was expected for {self.kind}s.")
        if self.kind != "image" and self.rotations != "none":
            raise TrainingError(f"--rotations {self.rotations} was given; only images are turned. Leave it out.")
        several = members(self.backbone_name())
        joined = len(several) > 1 or several[0].pixels is not None
        if joined and self.head in ("euclidean", "simpleshot"):
            raise TrainingError(
                f"--head {self.head} was given with {self.backbone_name()}: of several backbones, or of one at a size "
                "of its own, features are unit vectors; cosine or ridge was expected."
            )
        if self.rotations == "predict" and self.pretrain_share == 0:
            raise TrainingError("--rotations predict is a part of pre-training: give --pretrain-share, too.")
        published = [member for member in several if member.name in PUBLISHED]
        if self.pretrained and not (published and (self.kind != "image" or self.channels == 3)):
            raise TrainingError(
                f"--pretrained was given for {self.backbone_name()} with {self.channels} channels; there are published "
                f"weights for {', '.join(PUBLISHED)}, of images with 3."
            )
        if self.pretrained and len(published) > len(set(published)):
            raise TrainingError(
                f"--pretrained was given for {self.backbone_name()}: two that start alike would stay alike. Leave one "
                "out."
            )
        for name, count in (
            ("freeze", self.freeze),
            ("unlabelled", self.unlabelled),
            ("distractors", self.distractors),
        ):
            if count < 0:
                raise TrainingError(f"--{name} {count} was given; 0 or more was expected.")
        if self.unlabelled and not HEADS[self.head].refines:
            able = ", ".join(sorted(name for name, head in HEADS.items() if head.refines))
            raise TrainingError(f"--unlabelled was given with --head {self.head}; only {able} can refine.")
        if self.distractors and not self.unlabelled:
            raise TrainingError("--distractors was given without --unlabelled: distractors are unlabelled frames.")
        for name, share in (("pretrain-share", self.pretrain_share), ("group-share", self.group_share)):
            if not 0 <= share <= 1:
                raise TrainingError(f"--{name} {share} was given; 0 to 1 was expected.")
        if self.batch_size < 2:
            raise TrainingError(f"--batch-size {self.batch_size} was given; at least 2 was expected.")
        if self.accumulate < 1:
            raise TrainingError(f"--accumulate {self.accumulate} was given; at least 1 was expected.")
        if not 0 <= self.mixup < math.inf:
            raise TrainingError(f"--mixup {self.mixup} was given; 0 (none) or more was expected.")
        if not 16 <= self.samples <= 65536:
            raise TrainingError(f"--samples {self.samples} was given; 16 to 65536 was expected.")
        if self.kind == "audio":
            self._check_sound()
        if not 16 <= self.image_size <= 512:
            raise TrainingError(f"--image-size {self.image_size} was given; 16 to 512 was expected.")
        if self.frame is not None and not (self.kind == "image" and 16 <= self.frame <= self.image_size):
            raise TrainingError(
                f"--frame {self.frame} was given; 16 to --image-size, here {self.image_size}, was expected, for images."
            )
        if self.episodes is not None and self.episodes < 1:
            raise TrainingError(f"--episodes {self.episodes} was given; at least 1 was expected.")
        for name, value in (("minutes", self.minutes), ("learning-rate", self.learning_rate), ("scale", self.scale)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise TrainingError(f"--{name} {value} was given; a number above 0 was expected.")
        if self.seed < 0:
            raise TrainingError(f"--seed {self.seed} was given; 0 or more was expected.")

    def _check_sound(self) -> None:
        if self.rate % 100 or not 4_000 <= self.rate <= 96_000:
            raise TrainingError(f"--rate {self.rate} was given; a multiple of 100 from 4000 to 96000 was expected.")
        if not 16 <= self.bands <= 128:
            raise TrainingError(f"--bands {self.bands} was given; 16 to 128 was expected.")
        if self.backbone == "speech_embedding" and (
            self.rate != speech.RATE or self.input().size[0] < speech.LEAST_SAMPLES
        ):
            raise TrainingError(
                f"speech_embedding was given --rate {self.rate} and --seconds {self.seconds}; {speech.RATE} and at "
                "least 0.79 were expected."
            )
        if self.seconds is not None and not 0.1 <= self.seconds <= 10:
            raise TrainingError(f"--seconds {self.seconds} was given; 0.1 to 10 was expected.")

    def input(self, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()) -> InputSpec:
        """What the backbone takes.

        Args:
            mean: for signals that constants normalise: of each channel; as they come if not given.
            std: likewise.
        """
        if self.kind == "image":
            half = (0.5,) * self.channels
            return InputSpec.image(self.image_size, self.channels, half, half)
        if self.kind == "audio":
            usual, bands = (speech.SECONDS, 0) if self.backbone == "speech_embedding" else (1.0, self.bands)
            hundredths = round(100 * (self.seconds or usual))
            return InputSpec.audio(hundredths * (self.rate // 100), self.rate, bands)
        if self.normalize == "constant":
            mean, std = mean or (0.0,) * self.channels, std or (1.0,) * self.channels
        return InputSpec.signal(self.samples, self.channels, self.normalize, mean, std, seconds=self.seconds)

    def backbone_name(self) -> str:
        """The backbone's name in the registry."""
        return self.backbone or DEFAULTS[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for the checkpoint."""
        return asdict(self) | {"exclude": list(self.exclude)}

    def stage(self, progress: float) -> tuple[str, float]:
        """Which stage runs after this share of the budget, and how much of the stage is done, 0 to 1."""
        if progress < self.pretrain_share:
            return PRETRAINING, progress / self.pretrain_share
        return META_TRAINING, (progress - self.pretrain_share) / ((1 - self.pretrain_share) or 1.0)

    def progress(self, episode: int, seconds: float) -> float:
        """The share of the budget that is used up, 0 to 1."""
        by_episodes = episode / self.episodes if self.episodes else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_episodes, by_time))
