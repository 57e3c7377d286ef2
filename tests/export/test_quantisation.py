"""Integers in place of floats: what is quantised, that no processor saturates, the same bytes each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgefew_export.graphs import serialize
from edgefew_export.half import to_half
from edgefew_export.proof import golden_frames
from edgefew_export.quantisation import Quantiser, Setting, network_nodes, settings_for
from edgefew_runtime import Bundle, ExportError
from edgefew_runtime.session import OrtSession
from onnx import TensorProto, helper, numpy_helper

PLAIN = Setting("uint8", True, "minmax", 0)


def one_layer(weight: np.ndarray) -> bytes:
    """frames uint8 [n, H, W, C] → a 1 × 1 convolution of the pixels, averaged, as unit vectors."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["images"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["images", "weight"], ["maps"]),
        helper.make_node("ReduceMean", ["maps", "places"], ["vectors"], keepdims=0),
        helper.make_node("ReduceL2", ["vectors", "last"], ["length"], keepdims=1),
        helper.make_node("Div", ["vectors", "length"], ["embeddings"]),
    ]
    constants = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.array([2, 3]), "places"),
        numpy_helper.from_array(np.array([1]), "last"),
    ]
    shape = ["n", "height", "width", weight.shape[1]]
    graph = helper.make_graph(
        nodes,
        "embed",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", weight.shape[0]])],
        constants,
    )
    return serialize(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), "embed", {})


def white(channels: int) -> np.ndarray:
    frame = np.full((4, 4, channels), 255, np.uint8)
    frame[0, 0] = 0
    return frame


def test_the_largest_products_do_not_saturate() -> None:
    # All weights alike and all pixels white: two products pass 16 bits, unless the weights keep room.
    weight = np.full((3, 64, 1, 1), 0.01, np.float32)
    weight[1] *= -1
    weight[2, ::2] = 0
    graph = one_layer(weight)
    quantised = Quantiser(graph, [white(64)]).quantise(PLAIN)
    expected, found = (OrtSession(model).run({"frames": white(64)[None]})[0] for model in (graph, quantised))
    assert np.abs(expected - found).max() < 0.01


@pytest.mark.parametrize("setting", settings_for("arm"))
def test_every_setting_gives_the_same_bytes_each_time(bundle: Path, setting: Setting) -> None:
    opened = Bundle.open(bundle)
    frames, expected = opened.golden()
    first, again = (Quantiser(opened.model("embed"), frames).quantise(setting) for _ in range(2))
    assert first == again
    found = np.concatenate([OrtSession(first).run({"frames": frame[None]})[0] for frame in frames])
    assert (found * expected).sum(axis=1).min() > 0.9


def test_a_network_of_texts_is_quantised_with_its_sums_in_float(text_bundle: Path) -> None:
    graph = Bundle.open(text_bundle).model("embed")
    spec = Bundle.open(text_bundle).manifest.input
    frames, asked = golden_frames(spec, 1), golden_frames(spec, 0)
    assert len({len(frame) for frame in frames}) > 1, "texts differ in length"
    quantiser = Quantiser(graph, frames)
    expected = np.stack([OrtSession(graph).run({"frames": frame[None]})[0][0] for frame in asked])

    def cosine(setting: Setting) -> float:
        session = OrtSession(quantiser.quantise(setting))
        found = np.stack([session.run({"frames": frame[None]})[0][0] for frame in asked])
        return float((found * expected).sum(axis=1).min())

    alone = settings_for("x86", of_texts=True)[-1]
    assert "all between layers in float" in str(alone)
    assert cosine(alone) > 0.98
    assert cosine(alone) > cosine(replace(alone, layers_alone=False, ranges="percentile"))
    model = onnx.load_from_string(quantiser.quantise(alone))
    made_by = {output: node.op_type for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type in ("ReduceSum", "LayerNormalization", "Tanh"):
            assert made_by.get(node.input[0]) != "DequantizeLinear"


def test_what_comes_before_and_after_the_network_stays_in_float(bundle: Path) -> None:
    model = onnx.load_from_string(Bundle.open(bundle).model("embed"))
    network = network_nodes(model)
    kinds = {node.name: node.op_type for node in model.graph.node}
    assert kinds[network[0]] == "Conv"
    outside = {kind for name, kind in kinds.items() if name not in network}
    assert {"Resize", "Cast", "ReduceL2"} <= outside
    assert "Conv" not in outside
    later = network_nodes(model, float_layers=2)
    assert set(later) < set(network)
    assert sum(kinds[name] == "Conv" for name in later) == sum(kinds[name] == "Conv" for name in network) - 2


def test_more_float_layers_than_there_are_is_said(bundle: Path) -> None:
    with pytest.raises(ExportError, match="layers with weights"):
        network_nodes(onnx.load_from_string(Bundle.open(bundle).model("embed")), float_layers=99)


def test_float16_halves_the_file_and_gives_float32_vectors(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    frames, expected = opened.golden()
    graph = opened.model("embed")
    half = to_half(graph)
    assert half == to_half(graph)
    assert len(half) < 0.6 * len(graph)
    found = np.concatenate([OrtSession(half).run({"frames": frame[None]})[0] for frame in frames])
    assert found.dtype == np.float32
    assert (found * expected).sum(axis=1).min() > 0.998
    names = {tensor.name for tensor in onnx.load_from_string(half).graph.input}
    assert names == {"frames"}
