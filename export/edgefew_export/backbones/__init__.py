"""Backbones by name. To add one: a file here with a module that has `kind` and `dimension`, and one line below."""

from __future__ import annotations

from typing import Any

from edgefew_runtime import CheckpointError, InputSpec
from torch import nn

from .centred import Centred
from .conv4 import Conv4
from .efficientnet_lite0 import EfficientNetLite0
from .framed import Framed
from .melnet import MelNet
from .resnet1d import ResNet1d
from .resnet12 import ResNet8, ResNet12
from .speech_embedding import SpeechEmbedding

BACKBONES: dict[str, type[Conv4 | EfficientNetLite0 | MelNet | ResNet1d | ResNet12 | ResNet8 | SpeechEmbedding]] = {
    "conv4": Conv4,
    "efficientnet_lite0": EfficientNetLite0,
    "melnet": MelNet,
    "resnet12": ResNet12,
    "resnet8": ResNet8,
    "resnet1d": ResNet1d,
    "speech_embedding": SpeechEmbedding,
}
DEFAULTS = {"image": "conv4", "signal": "resnet1d", "audio": "melnet"}
"""The backbone for each kind of input where none is named."""


def build_backbone(
    name: str, spec: InputSpec, *, centred: bool = False, frame: int | None = None, **settings: Any
) -> nn.Module:
    """An untrained backbone: float32 [n, *spec.network_shape] → [n, d], with d in its attribute `dimension`.

    Args:
        name: in `BACKBONES`.
        spec: what it takes.
        centred: whether the mean of the training classes' features is subtracted at its end.
        frame: of images: before it, what is drawn is brought to one place and size, at so many pixels a side.
        settings: the backbone's own.

    Raises:
        CheckpointError: no backbone of that name, one for another kind of input, or settings that it does not take.
    """
    if name not in BACKBONES:
        raise CheckpointError(f"There is no backbone {name!r}; there are: {', '.join(sorted(BACKBONES))}.")
    if BACKBONES[name].kind != spec.kind:
        fitting = ", ".join(sorted(n for n, backbone in BACKBONES.items() if backbone.kind == spec.kind))
        raise CheckpointError(f"The backbone {name!r} takes no {spec.kind}s; those that do: {fitting}.")
    if frame is not None and spec.kind != "image":
        raise CheckpointError(f"A frame was asked for; only images have one, and the input is {spec.kind}s.")
    try:
        inner = BACKBONES[name](frame or spec.size[0], spec.channels, **settings)
    except TypeError as error:
        raise CheckpointError(f"The backbone {name!r} does not take these settings: {error}.") from None
    backbone: nn.Module = inner if frame is None else Framed(inner, inner.dimension, spec.size[0], frame)
    return Centred(backbone, inner.dimension) if centred else backbone
