"""What is put after a network's output: a projection, and division by the length."""

from __future__ import annotations

import numpy as np
import onnx
from edgefew_runtime import head
from onnx import TensorProto, helper, numpy_helper

from ..projection import Projection

_SHORTEST = float(np.float32(head.SHORTEST))


def unit_rows(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """The model with the rows of its only output divided by their lengths, and that called `embeddings`."""
    graph = model.graph
    graph.initializer.append(helper.make_tensor(f"{output}_axis", TensorProto.INT64, [1], [1]))
    graph.initializer.append(helper.make_tensor(f"{output}_shortest", TensorProto.FLOAT, [], [_SHORTEST]))
    graph.node.extend(
        [
            helper.make_node("ReduceL2", [output, f"{output}_axis"], [f"{output}_length"], keepdims=1),
            helper.make_node("Max", [f"{output}_length", f"{output}_shortest"], [f"{output}_divisor"]),
            helper.make_node("Div", [output, f"{output}_divisor"], ["embeddings"]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", None]))
    return model


def project(model: onnx.ModelProto, projection: Projection) -> onnx.ModelProto:
    """The model with a projection after its unit vectors `embeddings`, whose results are unit vectors again."""
    graph = model.graph
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == "embeddings":
                node.output[index] = "features"
    # (x - mean) W = x W - mean W: one matrix product.
    graph.initializer.append(numpy_helper.from_array(projection.matrix, "projection"))
    graph.initializer.append(numpy_helper.from_array(-(projection.mean @ projection.matrix), "projection_bias"))
    graph.node.append(helper.make_node("Gemm", ["features", "projection", "projection_bias"], ["projected"]))
    # Features have the length 1, or 0 where there is no direction: those must not get the bias's.
    graph.initializer.append(helper.make_tensor("features_axis", TensorProto.INT64, [1], [1]))
    graph.node.append(helper.make_node("ReduceL2", ["features", "features_axis"], ["features_length"], keepdims=1))
    graph.node.append(helper.make_node("Mul", ["projected", "features_length"], ["directed"]))
    return unit_rows(model, "directed")
