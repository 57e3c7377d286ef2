"""Bundles to measure the device with: the peer's own network in our format, and one with 1280 features."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from edgefew_export.graphs import classify_graph, embed_graph, enroll_graph, serialize
from edgefew_export.preprocessing import EmbeddingNetwork
from edgefew_export.proof import golden_frames
from edgefew_runtime import Bundle, InputSpec, Manifest, OperatingPoint
from edgefew_runtime.bundle import COMPONENTS, GOLDEN_FILE, MANIFEST_FILE, SUMS_FILE, VARIANT, sums_text
from edgefew_runtime.session import OrtSession
from onnx import TensorProto, helper
from torch import nn

SPEC = InputSpec.image(224, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class LiteNetwork(nn.Module):
    """Inverted residual blocks without squeeze and excitation, widths as in EfficientNet-Lite0; random weights.

    Only its cost matters here: 1280 features, 224 × 224, about 3.4 million weights.
    """

    BLOCKS = (
        (16, 1, 1, 1),
        (24, 2, 2, 6),
        (40, 2, 2, 6),
        (80, 3, 2, 6),
        (112, 3, 1, 6),
        (192, 4, 2, 6),
        (320, 1, 1, 6),
    )
    dimension = 1280

    def __init__(self) -> None:
        super().__init__()
        layers = [_convolution(3, 32, 3, 2)]
        width = 32
        for out, repeats, stride, expand in self.BLOCKS:
            for index in range(repeats):
                layers.append(_Block(width, out, stride if index == 0 else 1, expand))
                width = out
        self.features = nn.Sequential(*layers, _convolution(width, self.dimension, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, 3, 224, 224] → [n, 1280]."""
        features: torch.Tensor = self.features(images).mean((2, 3))
        return features


class _Block(nn.Module):
    def __init__(self, width: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = width * expand
        self.layers = nn.Sequential(
            *([_convolution(width, inner, 1, 1)] if expand > 1 else []),
            _convolution(inner, inner, 3, stride, groups=inner),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.same = stride == 1 and width == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.same else y


def _convolution(width: int, out: int, size: int, stride: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, out, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(out), nn.ReLU6()
    )


def lite_network() -> EmbeddingNetwork:
    """The network with its preprocessing, as it is exported and as PyTorch runs it."""
    torch.manual_seed(0)
    return EmbeddingNetwork(LiteNetwork().eval(), SPEC).eval()


def lite_bundle(out: Path) -> Bundle:
    """`lite_network` as a bundle."""
    return _bundle(out, serialize(embed_graph(lite_network(), SPEC), "embed", {}), LiteNetwork.dimension)


def peer_bundle(model: Path, out: Path) -> Bundle:
    """The peer's ONNX file (float32 [n, 3, 224, 224] → [n, 576]) with our preprocessing in front, as a bundle."""
    network = onnx.load(model)
    onnx.external_data_helper.convert_model_from_external_data(network)
    network = onnx.version_converter.convert_version(network, 18)
    network.ir_version = 8
    network = onnx.compose.add_prefix(network, "peer_")
    before = onnx.parser.parse_model(_BEFORE)
    after = onnx.parser.parse_model(_AFTER)
    (taken,), (given,) = network.graph.input, network.graph.output
    merged = onnx.compose.merge_models(before, network, io_map=[("images", taken.name)])
    merged = onnx.compose.merge_models(merged, after, io_map=[(given.name, "features")])
    del merged.graph.input[:]
    merged.graph.input.append(helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", "height", "width", 3]))
    del merged.graph.output[:]
    dimension = 576
    merged.graph.output.append(helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", dimension]))
    return _bundle(out, serialize(merged, "embed", {}), dimension)


_BEFORE = """
<ir_version: 8, opset_import: ["": 18]>
before (uint8[n, height, width, 3] frames) => (float[n, 3, 224, 224] images)
<int64[2] size = {224, 224}, float[1, 3, 1, 1] mean = {123.675, 116.28, 103.53},
 float[1, 3, 1, 1] std = {58.395, 57.12, 57.375}>
{
    resized = Resize <mode = "linear", antialias = 1, exclude_outside = 1,
        coordinate_transformation_mode = "half_pixel", axes = [1, 2]> (frames, , , size)
    planes = Transpose <perm = [0, 3, 1, 2]> (resized)
    values = Cast <to = 1> (planes)
    centred = Sub (values, mean)
    images = Div (centred, std)
}
"""

_AFTER = """
<ir_version: 8, opset_import: ["": 18]>
after (float[n, d] features) => (float[n, d] embeddings)
<int64[1] columns = {1}>
{
    norm = ReduceL2 <keepdims = 1> (features, columns)
    embeddings = Div (features, norm)
}
"""


def _bundle(out: Path, embed: bytes, dimension: int) -> Bundle:
    """A bundle around a graph: its golden vectors are its own, its threshold accepts everything."""
    point = OperatingPoint(1_000_000, 1, 0.05, -1.0, None, 59, 1)
    manifest = Manifest(out.stem, "1", dimension, "cosine", 10.0, SPEC, (point,), (), {})
    models = {
        "embed": embed,
        "enroll": serialize(enroll_graph(), "enroll", {}),
        "classify": serialize(classify_graph(), "classify", {}),
    }
    session = OrtSession(embed)
    golden = io.BytesIO()
    frames = golden_frames(SPEC)
    embeddings = np.concatenate([session.run({"frames": frame[None]})[0] for frame in frames])
    np.savez(golden, embeddings=embeddings, **{f"frame_{i}": frame for i, frame in enumerate(frames)})
    variant = {"ep": "CPUExecutionProvider", "device": "cpu", "executor_info": {"ort": {"model_file": "model.onnx"}}}
    files = {f"{name}/{VARIANT}/model.onnx": model for name, model in models.items()}
    files |= {f"{name}/component.json": json.dumps({"variants": {VARIANT: variant}}).encode() for name in models}
    files |= {MANIFEST_FILE: json.dumps(manifest.to_dict(COMPONENTS)).encode(), GOLDEN_FILE: golden.getvalue()}
    for name, content in (files | {SUMS_FILE: sums_text(files)}).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Bundle.open(out)
