"""The graph `embed`: raw frames, as the camera gives them → unit vectors. Preprocessing is inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from edgefew_runtime import ExportError, InputSpec
from onnx import TensorProto, helper

from ..preprocessing import EmbeddingNetwork

OPSET, IR_VERSION = 18, 8
"""Read by every ONNX Runtime from 1.14 on."""


def embed_graph(network: EmbeddingNetwork, spec: InputSpec) -> onnx.ModelProto:
    """`embed(frames: uint8 [n, H, W, 3]) → embeddings: float32 [n, d]`, any H and W.

    Raises:
        ExportError: the network is in training mode, or PyTorch cannot export it.
    """
    if network.training:
        raise ExportError("The network is in training mode: batch norm would depend on the batch. Call .eval() first.")
    model = _trace(network, spec)
    _put_resize_first(model.graph, spec)
    return model


def _trace(network: EmbeddingNetwork, spec: InputSpec) -> onnx.ModelProto:
    height, width = spec.size
    # Two frames: an example batch of one would fix the batch to one.
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=["frames"],
                output_names=["embeddings"],
                dynamic_shapes={"frames": {0: torch.export.Dim("n")}},
            )
    except Exception as error:
        raise ExportError(f"PyTorch cannot export this network: {error}") from error
    if program is None:
        raise ExportError("PyTorch exported nothing for this network.")
    model: onnx.ModelProto = program.model_proto
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


def _put_resize_first(graph: onnx.GraphProto, spec: InputSpec) -> None:
    """Let the graph take frames of any size.

    On uint8 [n, H, W, 3], before anything else: within 1/255 of Pillow's antialiased BILINEAR, and as fast. Casting
    first would cost a float copy of the whole frame; without antialias the mean error is 23/255.
    """
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "frames":
                node.input[index] = "resized"
    resize = helper.make_node(
        "Resize",
        ["frames", "", "", "resized_size"],
        ["resized"],
        name="resize",
        mode="linear",
        antialias=1,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
        axes=[1, 2],
    )
    graph.node.insert(0, resize)
    graph.initializer.append(helper.make_tensor("resized_size", TensorProto.INT64, [2], list(spec.size)))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", "height", "width", 3]))
