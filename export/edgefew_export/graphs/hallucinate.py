"""The graph `hallucinate`: prototypes and noise → embeddings that the classes may have."""

from __future__ import annotations

import onnx
import onnx.parser
from onnx import numpy_helper
from torch import nn

_TEXT = """
<ir_version: 8, opset_import: ["": 18]>
hallucinate (float[c, {d}] prototypes, float[c, k, {z}] noise) => (float[c, k, {d}] embeddings)
<
    int64[1] samples = {{1}}, int64[1] values = {{2}}, float shortest = {{1e-12}}
>
{{
    of_prototype = Gemm <transB: int = 1> (prototypes, of_prototype_weight, of_prototype_bias)
    of_prototype_3d = Unsqueeze (of_prototype, samples)
    by_noise = Transpose <perm: ints = [1, 0]> (of_noise_weight)
    of_noise = MatMul (noise, by_noise)
    summed = Add (of_prototype_3d, of_noise)
    hidden = LeakyRelu <alpha: float = 0.2> (summed)
    by_hidden = Transpose <perm: ints = [1, 0]> (out_weight)
    turned = MatMul (hidden, by_hidden)
    change = Add (turned, out_bias)
    prototypes_3d = Unsqueeze (prototypes, samples)
    moved = Add (prototypes_3d, change)
    length = ReduceL2 <keepdims: int = 1> (moved, values)
    divisor = Max (length, shortest)
    embeddings = Div (moved, divisor)
}}
"""


def hallucinate_graph(generator: nn.Module) -> onnx.ModelProto:
    """What `hallucination.Generator` computes: prototypes [c, d], noise [c, k, z] → unit embeddings [c, k, d]."""
    weights = {name: tensor.detach().numpy() for name, tensor in generator.state_dict().items()}
    text = _TEXT.format(d=len(weights["out.bias"]), z=weights["of_noise.weight"].shape[1])
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name.replace(".", "_")) for name, array in weights.items()
    )
    return model
