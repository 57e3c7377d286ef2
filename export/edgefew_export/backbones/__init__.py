"""Backbones by name. To add one: a file here with a module that has `kind` and `dimension`, and one line below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgefew_runtime import CheckpointError, InputSpec
from torch import nn

from .centred import Centred
from .conv4 import Conv4
from .efficientnet_lite0 import EfficientNetLite0
from .ensemble import Ensemble, members
from .framed import Framed
from .melnet import MelNet
from .projected import Projected
from .resnet1d import ResNet1d
from .resnet12 import ResNet8, ResNet8Wide, ResNet12
from .speech_embedding import SpeechEmbedding

Backbone = Conv4 | EfficientNetLite0 | MelNet | ResNet1d | ResNet12 | ResNet8 | ResNet8Wide | SpeechEmbedding

BACKBONES: dict[str, type[Backbone]] = {
    "conv4": Conv4,
    "efficientnet_lite0": EfficientNetLite0,
    "melnet": MelNet,
    "resnet12": ResNet12,
    "resnet8": ResNet8,
    "resnet8_wide": ResNet8Wide,
    "resnet1d": ResNet1d,
    "speech_embedding": SpeechEmbedding,
}
DEFAULTS = {"image": "conv4", "signal": "resnet1d", "audio": "melnet"}
"""The backbone for each kind of input where none is named."""


def build_backbone(
    name: str,
    spec: InputSpec,
    *,
    centred: bool = False,
    frame: int | None = None,
    projected: Sequence[int] | None = None,
    **settings: Any,
) -> nn.Module:
    """An untrained backbone: float32 [n, *spec.network_shape] → [n, d], with d in its attribute `dimension`.

    Args:
        name: in `BACKBONES`; or several, joined by "+", each of which may be followed by "@" and the pixels a side that
            it sees of an image.
        spec: what it takes.
        centred: whether the mean of the training classes' features is subtracted at its end.
        frame: of images: before it, what is drawn is brought to one place and size, at so many pixels a side.
        projected: how many values a projection at its end gives, or, of several, that of each; none if not given.
        settings: the backbone's own.

    Raises:
        CheckpointError: no backbone of that name, one for another kind of input, or settings that it does not take.
    """
    if frame is not None and spec.kind != "image":
        raise CheckpointError(f"A frame was asked for; only images have one, and the input is {spec.kind}s.")
    size = frame or spec.size[0]
    inner = _joined(name, spec, size, settings)
    if projected is not None:
        count = len(inner.dimensions) if isinstance(inner, Ensemble) else 1
        if len(projected) != count or any(values < 1 for values in projected):
            raise CheckpointError(f"Projections to {projected} values were asked for; {count} counts were expected.")
        if isinstance(inner, Ensemble):
            inner = inner.projected(projected)
    framed = inner if frame is None else Framed(inner, inner.dimension, spec.size[0], frame)
    whole = Centred(framed, framed.dimension) if centred else framed
    if projected is None or isinstance(inner, Ensemble):
        return whole
    return Projected(whole, whole.dimension, projected[0])


def _joined(name: str, spec: InputSpec, size: int, settings: dict[str, Any]) -> Backbone | Ensemble:
    several = members(name)
    if len(several) == 1 and several[0].pixels is None:
        return _built(name, spec, size, settings)
    for member in several:
        if member.pixels is not None and (spec.kind != "image" or member.pixels < 16 or size % member.pixels):
            raise CheckpointError(
                f"{member.name}@{member.pixels} was asked for; a size from 16 that divides the {size} pixels of a side "
                "was expected, for images."
            )
    if "speech_embedding" in (member.name for member in several):
        raise CheckpointError(f"{name!r} was asked for; speech_embedding hears samples, not bands, and stays alone.")
    sizes = [member.pixels or size for member in several]
    built = [_built(member.name, spec, own, settings) for member, own in zip(several, sizes, strict=True)]
    return Ensemble(built, [backbone.dimension for backbone in built], [size // own for own in sizes])


def _built(name: str, spec: InputSpec, size: int, settings: dict[str, Any]) -> Backbone:
    if name not in BACKBONES:
        raise CheckpointError(f"There is no backbone {name!r}; there are: {', '.join(sorted(BACKBONES))}.")
    if BACKBONES[name].kind != spec.kind:
        fitting = ", ".join(sorted(n for n, backbone in BACKBONES.items() if backbone.kind == spec.kind))
        raise CheckpointError(f"The backbone {name!r} takes no {spec.kind}s; those that do: {fitting}.")
    try:
        return BACKBONES[name](size, spec.channels, **settings)
    except TypeError as error:
        raise CheckpointError(f"The backbone {name!r} does not take these settings: {error}.") from None
