"""A bundle's graphs as a model repository of Triton Inference Server, for those who outgrow one machine.

    embed/      frames → embeddings, requests of one frame size joined by dynamic batching
    enroll/     the bundle's `enroll`; its state comes with each request and goes back
    classify/   the bundle's `classify`, likewise
    recognise/  embed and classify in one request (an ensemble)

The model files are the bundle's, byte for byte. What the configuration must say is laid down by the ONNX Runtime
backend (triton-inference-server/onnxruntime_backend, src/onnxruntime_utils.cc, CompareDimsSupported): dimensions of
outputs exactly those of the model, with -1 for one that varies, and without the batch where `max_batch_size` is not 0.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.shape_inference
from edgefew_runtime import Bundle, ExportError
from edgefew_runtime.bundle import COMPONENTS, check_outside
from onnx import TensorProto

from .destination import write_files
from .triton_readme import triton_readme

MAX_BATCH = 32
"""Frames that `embed` takes at once; whoever runs the server may write another number into the configuration."""

ENSEMBLE = "recognise"
README_FILE = "README.md"

_TYPES: dict[int, str] = {
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.BOOL: "TYPE_BOOL",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model.

    Attributes:
        name: as in the graph.
        data_type: Triton's word for it.
        dims: the whole shape, with -1 for what varies; none for a scalar.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]


def write_repository(bundle: Bundle, folder: Path) -> list[str]:
    """Write the repository to a new folder, all of it or nothing; gives the names of its files.

    Raises:
        ExportError: `folder` is there already, is in the bundle, or cannot be written.
    """
    check_new(folder, bundle.path)
    files = repository(bundle)
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
        try:
            write_files(part, files)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}.") from None
    return sorted(files)


def check_new(folder: Path, bundle: Path) -> None:
    """Refuse a folder that a bundle's repository cannot be written to.

    Raises:
        ExportError: it is there already, is in the bundle, or the folder around it is not there.
    """
    check_outside(folder, ExportError, bundle)
    if folder.exists():
        raise ExportError(f"{folder} exists already. Give the name of a new folder for the model repository.")
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise ExportError(f"There is no folder {parent} to write {folder.name} to. Create it first.")


def repository(bundle: Bundle) -> dict[str, bytes]:
    """The files of the repository by name."""
    models = {component: bundle.model(component) for component in COMPONENTS}
    tensors = {component: _tensors(model) for component, model in models.items()}
    files = {f"{component}/1/model.onnx": model for component, model in models.items()}
    for component, (inputs, outputs) in tensors.items():
        batch = MAX_BATCH if component == "embed" else 0
        text = _model_config(component, inputs, outputs, batch, bundle.id)
        files[f"{component}/config.pbtxt"] = text.encode()
    # Triton wants the folder of a version, though an ensemble has no file of its own.
    files[f"{ENSEMBLE}/1/.keep"] = b""
    files[f"{ENSEMBLE}/config.pbtxt"] = _ensemble_config(tensors, bundle.id).encode()
    return files | {README_FILE: triton_readme(bundle, MAX_BATCH).encode()}


def _tensors(model: bytes) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs and outputs of a graph, with as much of their shapes as can be inferred, as ONNX Runtime does."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    return [_tensor(value) for value in graph.input], [_tensor(value) for value in graph.output]


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return Tensor(value.name, _TYPES[kind.elem_type], dims)


def _model_config(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], max_batch: int, bundle_id: str
) -> str:
    batched = max_batch > 0
    # On the CPU: a few kilobytes of arithmetic, and the state comes from there.
    scheduling = "dynamic_batching { }" if batched else "instance_group [ { kind: KIND_CPU } ]"
    return (
        f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {max_batch}\n'
        + "".join(_io("input", tensor, batched) for tensor in inputs)
        + "".join(_io("output", tensor, batched) for tensor in outputs)
        + f"{scheduling}\n{_origin(bundle_id)}"
    )


def _ensemble_config(tensors: Mapping[str, tuple[list[Tensor], list[Tensor]]], bundle_id: str) -> str:
    frames, embeddings = tensors["embed"]
    given, answers = tensors["classify"]
    linked = {tensor.name for tensor in embeddings}
    inputs = [*frames, *(tensor for tensor in given if tensor.name not in linked)]
    steps = ",\n".join(_step(name, *tensors[name]) for name in ("embed", "classify"))
    # Not batched: the state has no batch dimension. The step `embed` joins frames of several requests all the same.
    return (
        f'name: "{ENSEMBLE}"\nplatform: "ensemble"\nmax_batch_size: 0\n'
        + "".join(_io("input", tensor, batched=False) for tensor in inputs)
        + "".join(_io("output", tensor, batched=False) for tensor in answers)
        + f"ensemble_scheduling {{\n  step [\n{steps}\n  ]\n}}\n{_origin(bundle_id)}"
    )


def _io(side: str, tensor: Tensor, batched: bool) -> str:
    # A scalar is [1] to the clients; the backend hands it on as what it is.
    dims = ", ".join(map(str, tensor.dims[1:] if batched else tensor.dims or (1,)))
    return f'{side} [ {{ name: "{tensor.name}" data_type: {tensor.data_type} dims: [ {dims} ] }} ]\n'


def _step(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str:
    maps = [("input_map", tensor.name) for tensor in inputs] + [("output_map", tensor.name) for tensor in outputs]
    lines = "\n".join(f'      {side} {{ key: "{tensor}" value: "{tensor}" }}' for side, tensor in maps)
    return f'    {{\n      model_name: "{name}"\n      model_version: -1\n{lines}\n    }}'


def _origin(bundle_id: str) -> str:
    return f'parameters {{ key: "edgefew.bundle_id" value {{ string_value: "{bundle_id}" }} }}\n'
