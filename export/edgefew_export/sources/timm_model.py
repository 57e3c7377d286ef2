"""`timm:NAME`: a network of the package timm, where it is installed."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefew_runtime import ImageInput, SourceError

from .source import Source, torch_source
from .weights import load_weights

if TYPE_CHECKING:
    from . import DeclaredInput


def timm_source(name: str, declared: DeclaredInput, weights: Path | None) -> Source:
    """The network without its classifier, with the hub's weights, or with those of a file and then without a network.

    Size, mean, deviation and fit are timm's own for the network where they are not declared.

    Raises:
        SourceError: timm is not installed, knows no such network, or its weights cannot be had.
    """
    try:
        timm: Any = importlib.import_module("timm")
    except Exception as error:  # beside a torch without its torchvision, timm fails with a RuntimeError
        raise SourceError(
            f"timm cannot be imported ({type(error).__name__}: {error}). pip install 'edgefew-export[timm]', with a "
            "torch and torchvision of the same release."
        ) from error
    try:
        network = timm.create_model(name, pretrained=weights is None, num_classes=0).eval()
        lineage = {"source": "timm", "network": name, "timm": timm.__version__}
    except Exception as error:
        raise SourceError(
            f"timm gives no network {name!r} ({type(error).__name__}: {error}). timm.list_models() names those that it "
            "has; without a network give the weights with --weights FILE."
        ) from error
    if weights is not None:
        lineage["weights_sha256"] = load_weights(network, weights)
    return torch_source(network, _spec(network.pretrained_cfg, declared), lineage)


def _spec(config: dict[str, Any], declared: DeclaredInput) -> ImageInput:
    channels, *size = config["input_size"]
    spec = declared.spec((size[0], size[1]), "unit")
    if declared.scaling is not None or spec.channels != channels:
        return spec
    own_fit = "crop" if config.get("crop_mode", "center") == "center" else "stretch"
    return replace(spec, mean=tuple(config["mean"]), std=tuple(config["std"]), fit=declared.fit or own_fit)
