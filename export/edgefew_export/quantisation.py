"""The embed graph in integers: uint8 or int8 activations, int8 weights, as QuantizeLinear and DequantizeLinear.

What comes before the network (resize, normalisation) and after it (division by the length) stays in float. So do, in
some settings, its first layers: they see a few channels and make all the others, so their error is everybody's (of
several backbones side by side these are the first backbone's). And in some of a network of texts all that is no layer
with weights: its sums over tokens have no range that fits them all.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from edgefew_runtime import ExportError
from onnx import numpy_helper

from .graphs import serialize

CALIBRATION_FRAMES = 64
"""Frames whose activations decide the ranges."""

_AT_ONCE = 8
"""Frames whose activations are held in memory together."""

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_LENGTHS = ("ReduceL2", "LpNormalization")

_LARGEST_WEIGHT = 127
_LARGEST_PAIR = 128
"""Two weights beside each other, together. x86 without VNNI adds two products of a uint8 and an int8 in 16 bits, which
saturate: 255 × 128 is the most that fits (onnxruntime issue 6004). With it, every processor computes the same integers.
"""


@dataclass(frozen=True)
class Setting:
    """One way to quantise.

    Attributes:
        activations: "uint8" or "int8".
        per_channel: whether each channel of a weight has its own scale; else one for the whole tensor, of 7 bits.
        ranges: "minmax" or "percentile" (99.999 %): which activations the integers must hold.
        float_layers: how many of the first layers with weights stay in float.
        layers_alone: whether what lies between layers with weights stays in float.
    """

    activations: str
    per_channel: bool
    ranges: str
    float_layers: int
    layers_alone: bool = False

    def __str__(self) -> str:
        """For people.

        >>> str(Setting("uint8", True, "minmax", 3))
        'uint8 activations, weights per channel, ranges by minmax, first 3 layers in float'
        """
        weights = "per channel" if self.per_channel else "per tensor"
        kept = f", first {self.float_layers} layers in float" if self.float_layers else ""
        between = ", all between layers in float" if self.layers_alone else ""
        return f"{self.activations} activations, weights {weights}, ranges by {self.ranges}{kept}{between}"

    def to_dict(self) -> dict[str, Any]:
        """As the report has it."""
        return asdict(self)


def settings_for(target: str, *, of_texts: bool = False) -> list[Setting]:
    """The settings to be tried: uint8 activations, on ARM int8 ones too; of a network of texts also layers alone."""
    plain = Setting("uint8", True, "minmax", 0)
    tried = [
        plain,
        replace(plain, per_channel=False),
        replace(plain, ranges="percentile", float_layers=3),
        replace(plain, float_layers=1),
        replace(plain, float_layers=3),
    ]
    if of_texts:
        tried.append(replace(plain, float_layers=1, layers_alone=True))
    return [replace(s, activations="int8") for s in tried] + tried if target == "arm" else tried


class Quantiser:
    """Makes int8 graphs of one embed graph; the ranges of its activations are measured once.

    Args:
        model: the embed graph in float32.
        frames: raw frames of classes that training never saw.

    Raises:
        ExportError: the graph has no layer with weights.
    """

    def __init__(self, model: bytes, frames: Sequence[npt.NDArray[Any]]) -> None:
        self._model = onnx.load_from_string(model)
        network_nodes(self._model)
        self._frames = list(frames)
        self._ranges: dict[str, Any] = {}

    def quantise(self, setting: Setting) -> bytes:
        """The graph quantised so; the same graph, frames and setting give the same bytes.

        Raises:
            ExportError: ONNX Runtime cannot quantise it.
        """
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        nodes = network_nodes(self._model, setting.float_layers)
        if setting.layers_alone:
            layers = _weights(self._model)
            nodes = [name for name in nodes if name in layers]
        extra: dict[str, Any] = {}
        if setting.per_channel:
            extra["TensorQuantOverrides"] = self._overrides(nodes)
        try:
            with _quiet():
                ranges = self._ranges_by(setting.ranges)
                quantizer = QDQQuantizer(
                    model,
                    setting.per_channel,
                    not setting.per_channel,
                    QuantType.QInt8,
                    QuantType.QUInt8 if setting.activations == "uint8" else QuantType.QInt8,
                    ranges,
                    nodes,
                    [],
                    sorted({n.op_type for n in self._model.graph.node if n.name in set(nodes)}),
                    extra,
                )
                quantizer.quantize_model()
                quantizer.model.topological_sort()
        except Exception as error:  # what it raises is not said anywhere
            raise ExportError(f"ONNX Runtime cannot quantise the graph ({setting}): {error}") from error
        made = quantizer.model.model
        for opset in [o for o in made.opset_import if o.domain]:
            made.opset_import.remove(opset)
        return serialize(made, "embed", {p.key: p.value for p in self._model.metadata_props if p.key != "edgefew.role"})

    def _overrides(self, nodes: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The range of each channel of each weight, wide enough that no two products pass 16 bits."""
        overrides: dict[str, list[dict[str, Any]]] = {}
        weights = _weights(self._model)
        for node in self._model.graph.node:
            weight = weights.get(node.name) if node.name in nodes else None
            if weight is None or weight.ndim < 2:
                continue
            axis = 0 if node.op_type == "Conv" or _transposed(node) else weight.ndim - 1
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            kernels = np.moveaxis(weight, axis, 0)
            limits = _steps(kernels, depthwise=groups > 1 and kernels.shape[1] == 1) * _LARGEST_WEIGHT
            channels: list[dict[str, Any]] = [
                {"rmin": np.float32(-limit), "rmax": np.float32(limit), "symmetric": True} for limit in limits
            ]
            channels[0]["axis"] = axis
            overrides[node.input[1]] = channels
        return overrides

    def _ranges_by(self, method: str) -> Any:
        """The range of every activation over the frames."""
        if method not in self._ranges:
            from onnxruntime.quantization import CalibrationMethod
            from onnxruntime.quantization.calibrate import create_calibrator

            kinds = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
            with tempfile.TemporaryDirectory() as scratch:
                file = Path(scratch) / "embed.onnx"
                onnx.save(self._model, file)
                calibrator = create_calibrator(
                    file,
                    sorted({n.op_type for n in self._model.graph.node}),
                    augmented_model_path=str(Path(scratch) / "augmented.onnx"),
                    calibrate_method=kinds[method],
                )
                for _, group in itertools.groupby(self._frames, np.shape):  # those of other shapes fit no one array
                    alike = list(group)
                    for start in range(0, len(alike), _AT_ONCE):
                        calibrator.collect_data(_Reader(alike[start : start + _AT_ONCE]))
                self._ranges[method] = calibrator.compute_data()
                del calibrator  # on some systems a file that is open cannot be removed
        return self._ranges[method]


def network_nodes(model: onnx.ModelProto, float_layers: int = 0) -> list[str]:
    """The names of a graph's nodes from its first layer with weights on, up to where vectors get their length.

    Gives each node a name of its own, which an ONNX graph need not have.

    Args:
        model: the embed graph.
        float_layers: leave out so many of the first layers with weights, and what depends on them alone.

    Raises:
        ExportError: there is no such layer.
    """
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    layers = list(_weights(model))
    if not layers[float_layers:]:
        raise ExportError(f"The embed graph has {len(layers)} layers with weights: too few to convert.")
    starts = set(layers[float_layers:])
    network: set[str] = set()
    ended: set[str] = set()
    made_by = {output: n.name for n in model.graph.node for output in n.output}
    for node in model.graph.node:  # they are in topological order
        before = {made_by[name] for name in node.input if name in made_by}
        if node.name in starts or before & network:
            network.add(node.name)
            if node.op_type in _LENGTHS or before & ended:
                ended.add(node.name)
    return [n.name for n in model.graph.node if n.name in network - ended]


def _weights(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.float32]]:
    """The weight of each layer that has one, by the layer's name, in the graph's order."""
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    return {
        node.name: numpy_helper.to_array(known[node.input[1]])
        for node in model.graph.node
        if node.op_type in _WEIGHTED and node.input[1] in known
    }


def _transposed(node: onnx.NodeProto) -> bool:
    return node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)


def _steps(channels: npt.NDArray[np.float32], depthwise: bool) -> npt.NDArray[np.float64]:
    """The step of each channel's integers: float64 [channels], from weights [channels, inputs, …].

    The integers reach `_LARGEST_WEIGHT`, and two that are multiplied together `_LARGEST_PAIR`. Depthwise convolutions
    have code of their own, which does not add in 16 bits.
    """
    sizes = np.abs(channels.astype(np.float64))
    steps = sizes.reshape(len(sizes), -1).max(axis=1) / _LARGEST_WEIGHT
    if not depthwise:
        # A convolution goes through the places of an input, or through the inputs of a place.
        for order in (sizes, np.moveaxis(sizes, 1, -1)):
            row = order.reshape(len(order), -1)
            even = np.pad(row, ((0, 0), (0, row.shape[1] % 2)))
            steps = np.maximum(steps, (even[:, ::2] + even[:, 1::2]).max(axis=1) / _LARGEST_PAIR)
    return np.asarray(np.maximum(steps, np.finfo(np.float32).tiny * _LARGEST_PAIR))


class _Reader:
    """Frames one by one, as ONNX Runtime's calibration asks for them."""

    def __init__(self, frames: Sequence[npt.NDArray[Any]]) -> None:
        self._frames = iter(frames)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        """The next frame as the graph's input; None after the last."""
        frame = next(self._frames, None)
        return None if frame is None else {"frames": frame[None]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime's chatter out of the user's terminal; its errors still arrive."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
