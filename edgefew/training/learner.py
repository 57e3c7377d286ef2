"""All that the optimiser changes."""

from __future__ import annotations

from typing import Any

import torch
from edgefew_export.backbones import build_backbone
from edgefew_export.backbones.centred import Centred
from edgefew_export.backbones.efficientnet_lite0 import EfficientNetLite0
from edgefew_export.backbones.ensemble import Ensemble
from edgefew_export.backbones.framed import Framed
from edgefew_export.backbones.projected import Projected
from edgefew_export.backbones.speech_embedding import SpeechEmbedding
from edgefew_export.checkpoint import Checkpoint
from edgefew_export.preprocessing import EmbeddingNetwork
from edgefew_export.sources.pretrained import fill_published
from edgefew_export.sources.speech_embedding import fill_speech_embedding
from edgefew_runtime import InputSpec, TrainingError
from torch import nn

from .config import TrainingConfig
from .heads import build_head
from .pretraining import PretrainingHead


class Learner(nn.Module):
    """The network, the head of its episodes, and that of its pre-training if there is any.

    Attributes:
        dimensions: how many of the features are each backbone's, where there are several: they learn episodes apart.

    Args:
        config: what to learn.
        spec: what the backbone takes.
        classes: how many pre-training tells apart.
        bf16: whether the network computes in bfloat16 while it learns; weights and heads stay float32.
    """

    def __init__(self, config: TrainingConfig, spec: InputSpec, classes: int, *, bf16: bool = False) -> None:
        super().__init__()
        self.head = build_head(config.head, config.scale)
        self.settings: dict[str, Any] = {"centred": True} if self.head.centred else {}
        if config.frame is not None:
            self.settings["frame"] = config.frame
        backbone = build_backbone(config.backbone_name(), spec, **self.settings)
        self.network = EmbeddingNetwork(backbone, spec)
        self.pretraining = (
            PretrainingHead(_dimension(backbone), classes, config.rotations == "predict")
            if config.pretrain_share
            else None
        )
        inner = _inner(backbone)
        self.dimensions = inner.dimensions if isinstance(inner, Ensemble) else [_dimension(backbone)]
        frozen = _published(inner) if isinstance(inner, Ensemble) else [inner]
        if config.freeze and not frozen:
            raise TrainingError(
                f"--freeze {config.freeze} was given for {config.backbone_name()}: of several backbones, or of one at "
                "a size of its own, only those with published weights can be frozen. Leave it out."
            )
        # a list: they are the backbone's, not held twice
        self._frozen = [part for one in frozen for part in _first_parts(one, config.freeze)]
        for part in self._frozen:
            part.requires_grad_(False)
        self._bf16 = bf16
        self._features = torch.compile(self.network.features) if config.compile else self.network.features

    def train(self, mode: bool = True) -> Learner:
        """Set the mode of all but the frozen parts, whose running means must not move either."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """What the backbone makes of frames as they came, to learn from: float32 [n, d], not yet of unit length.

        Raises:
            TrainingError: it cannot be compiled here.
        """
        try:
            with torch.autocast(frames.device.type, torch.bfloat16, enabled=self._bf16):
                return self._features(frames).float()
        except RuntimeError as error:
            from torch._dynamo.exc import TorchDynamoException  # takes a second, so not before it is needed

            if not isinstance(error, TorchDynamoException):
                raise
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise TrainingError(
                f"--compile was given, but the network cannot be compiled here: {reason} "
                "Install a C++ compiler (such as g++), or leave it out."
            ) from None

    def start_from(self, checkpoint: Checkpoint) -> None:
        """Give the backbone another checkpoint's weights.

        Raises:
            TrainingError: it is of another backbone, or of frames with other channels.
        """
        own, other = (nn.ModuleList(_parts(one)) for one in (self.network.backbone, checkpoint.network().backbone))
        try:
            own.load_state_dict(other.state_dict())
        except RuntimeError as error:
            raise TrainingError(
                f"The weights of --init are those of a {checkpoint.backbone} with {checkpoint.input.channels} channels "
                f"and do not fit: {error}. Give the same --backbone and --channels, or leave them out."
            ) from None

    def start_from_published(self) -> None:
        """Give the backbones that are of `PUBLISHED` the weights that were published for them.

        Raises:
            SourceError: they are not installed.
        """
        for backbone in _published(self.network.backbone):
            if isinstance(backbone, SpeechEmbedding):
                fill_speech_embedding(backbone)
            else:
                fill_published(backbone)


def _dimension(backbone: nn.Module) -> int:
    dimension = backbone.dimension
    assert isinstance(dimension, int)  # noqa: S101
    return dimension


def _first_parts(backbone: nn.Module, count: int) -> list[nn.Module]:
    """The first layers and blocks of a backbone; those in a list or a sequence count one by one."""
    parts: list[nn.Module] = []
    for child in backbone.children():
        parts += list(child) if isinstance(child, (nn.Sequential, nn.ModuleList)) else [child]
    if count and count >= len(parts):
        raise TrainingError(
            f"--freeze {count} was given; the backbone has {len(parts)} parts, of which at least one must learn."
        )
    return parts[:count]


def _published(backbone: nn.Module) -> list[EfficientNetLite0 | SpeechEmbedding]:
    """Of a backbone, or of several, those that have published weights."""
    return [one for one in _parts(backbone) if isinstance(one, EfficientNetLite0 | SpeechEmbedding)]


def _parts(backbone: nn.Module) -> list[nn.Module]:
    """The backbones that a name joins, or the one: what learns, without what is put before and after it."""
    inner = _inner(backbone)
    return [_inner(one) for one in inner.members] if isinstance(inner, Ensemble) else [inner]


def _inner(backbone: nn.Module) -> nn.Module:
    while isinstance(backbone, Centred | Framed | Projected):
        backbone = backbone.backbone
    return backbone
