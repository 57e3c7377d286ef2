"""The graph `embed`: raw frames, as the camera gives them → unit vectors. Preprocessing is inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from edgefew_runtime import ExportError, InputSpec
from edgefew_runtime.text_input import MAX_TOKENS

from ..log_mel import SoundPreprocessing
from ..preprocessing import EmbeddingNetwork, SignalPreprocessing, preprocessing_of
from .fit import take_any_size

OPSET, IR_VERSION = 18, 8
"""Read by every ONNX Runtime from 1.14 on."""


def embed_graph(network: EmbeddingNetwork, spec: InputSpec) -> onnx.ModelProto:
    """`embed(frames) → embeddings: float32 [n, d]`, frames of any size.

    Frames are uint8 [n, H, W, 3], float32 [n, samples, C] or float32 [n, samples].

    Raises:
        ExportError: the network is in training mode, or PyTorch cannot export it.
    """
    if network.training:
        raise ExportError("The network is in training mode: batch norm would depend on the batch. Call .eval() first.")
    return _trace(network, spec, "embeddings")


def preprocessing_graph(spec: InputSpec) -> onnx.ModelProto:
    """`(frames) → images: float32 [n, C, …], usable: float32 [n, 1]`: what comes before a network that is ONNX already.

    `usable` is 1 where a frame can be used and else 0; where every frame can (images), it is not there.
    """
    preprocessing = preprocessing_of(spec).eval()
    if isinstance(preprocessing, (SignalPreprocessing, SoundPreprocessing)):
        return _trace(_WithUsable(preprocessing), spec, "images", "usable")
    return _trace(preprocessing, spec, "images")


class _WithUsable(torch.nn.Module):
    def __init__(self, preprocessing: SignalPreprocessing | SoundPreprocessing) -> None:
        super().__init__()
        self.preprocessing = preprocessing

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        signals = self.preprocessing.select_channels(frames)
        return self.preprocessing.scale(signals), self.preprocessing.usable(signals).float()


def _trace(network: torch.nn.Module, spec: InputSpec, *outputs: str) -> onnx.ModelProto:
    """A network of frames at the backbone's size as a graph of frames of any size."""
    free = {0: torch.export.Dim("n")}
    if spec.kind == "text":
        free[1] = torch.export.Dim("tokens", max=MAX_TOKENS)
    # Two frames: an example batch of one would fix the batch to one.
    example = torch.from_numpy(np.zeros((2, *spec.raw_shape), spec.dtype))
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=["frames"],
                output_names=list(outputs),
                dynamic_shapes={"frames": free},
            )
    except Exception as error:
        raise ExportError(f"PyTorch cannot export this network: {error}") from error
    if program is None:
        raise ExportError("PyTorch exported nothing for this network.")
    model: onnx.ModelProto = program.model_proto
    if spec.kind != "text":
        take_any_size(model.graph, spec)
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own chatter out of the user's terminal; its errors still arrive."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
