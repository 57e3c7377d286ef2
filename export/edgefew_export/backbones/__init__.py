"""Backbones by name. To add one: a file here with a module that has `dimension`, and one line below."""

from __future__ import annotations

from typing import Any

from edgefew_runtime import CheckpointError
from torch import nn

from .conv4 import Conv4

BACKBONES = {"conv4": Conv4}


def build_backbone(name: str, image_size: int, channels: int, **settings: Any) -> nn.Module:
    """An untrained backbone: float32 [n, C, S, S] → [n, d], with d in its attribute `dimension`.

    Raises:
        CheckpointError: no backbone of that name, or settings that it does not take.
    """
    try:
        return BACKBONES[name](image_size, channels, **settings)
    except KeyError:
        raise CheckpointError(f"There is no backbone {name!r}; there are: {', '.join(sorted(BACKBONES))}.") from None
    except TypeError as error:
        raise CheckpointError(f"The backbone {name!r} does not take these settings: {error}.") from None
