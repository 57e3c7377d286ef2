"""The embed graph in float16, for GPUs. Frames come as before, and embeddings go out in float32."""

from __future__ import annotations

import warnings

import onnx
from edgefew_runtime import ExportError

from .graphs import serialize
from .quantisation import network_nodes


def to_half(model: bytes) -> bytes:
    """The graph with its network in float16; what comes before and after it stays in float32.

    Raises:
        ExportError: ONNX Runtime's converter cannot convert it.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    read = onnx.load_from_string(model)
    network = network_nodes(read)
    kept = [node.name for node in read.graph.node if node.name not in set(network)]
    try:
        with warnings.catch_warnings():
            # It warns of each weight too small for float16; what that changes is measured.
            warnings.simplefilter("ignore")
            made = convert_float_to_float16(read, keep_io_types=True, node_block_list=kept, op_block_list=[])
            ONNXModel(made).topological_sort()
    except Exception as error:  # what it raises is not said anywhere
        raise ExportError(f"ONNX Runtime cannot convert the graph to float16: {error}") from error
    return serialize(made, "embed", {p.key: p.value for p in read.metadata_props if p.key != "edgefew.role"})
