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

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.shape_inference
from edgefew_runtime import Bundle, ExportError
from edgefew_runtime.bundle import COMPONENTS
from onnx import TensorProto

MAX_BATCH = 32
"""Frames that `embed` takes at once, if nothing else is asked for."""

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


def write_repository(bundle: Bundle, folder: Path, *, max_batch: int = MAX_BATCH) -> list[str]:
    """Write the repository, all of it or nothing; gives the names of its files.

    Args:
        bundle: the bundle.
        folder: a new folder.
        max_batch: frames that `embed` takes at once.

    Raises:
        ExportError: `folder` is there already, or cannot be written.
    """
    check_new_folder(folder)
    files = repository(bundle, max_batch)
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
        try:
            _write(part, files)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}.") from None
    return sorted(files)


def check_new_folder(folder: Path) -> None:
    """Pass if a repository can be written there.

    Raises:
        ExportError: something is there already, or its parent is not.
    """
    if folder.exists():
        raise ExportError(f"{folder} exists already. Give the name of a new folder.")
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise ExportError(f"There is no folder {parent} to write {folder.name} to. Create it first.")


def repository(bundle: Bundle, max_batch: int = MAX_BATCH) -> dict[str, bytes]:
    """The files of the repository by name."""
    models = {component: bundle.model(component) for component in COMPONENTS}
    tensors = {component: _tensors(model) for component, model in models.items()}
    files = {f"{component}/1/model.onnx": model for component, model in models.items()}
    for component, (inputs, outputs) in tensors.items():
        batch = max_batch if component == "embed" else 0
        text = _model_config(component, inputs, outputs, batch, bundle.id)
        files[f"{component}/config.pbtxt"] = text.encode()
    # Triton wants the folder of a version, though an ensemble has no file of its own.
    files[f"{ENSEMBLE}/1/.keep"] = b""
    files[f"{ENSEMBLE}/config.pbtxt"] = _ensemble_config(tensors, bundle.id).encode()
    return files | {README_FILE: _readme(bundle, max_batch).encode()}


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


_README = """# {name}, for Triton Inference Server

Made by `edgefew triton` from the bundle `{bundle_id}`.
The model files are the bundle's.

```console
$ tritonserver --model-repository=.
```

- `embed`: `frames` uint8 `[n, H, W, 3]`, RGB, any height and width, n up to {max_batch} → `embeddings` float32
  `[n, {dimension}]`
- `enroll`: `embeddings`, `labels` int64 `[n]`, `weights` `[n]`, `sums` `[c, {dimension}]`, `counts` `[c]` → `new_sums`,
  `new_counts`, `accepted` bool `[n]`
- `classify`: `embeddings`, `sums`, `counts`, `scale` `[1]`, `threshold` `[1]` → `probabilities` and `scores` `[n, c]`,
  `best` int64 `[n]`, `known` bool `[n]`
- `recognise`: `frames` and what `classify` takes beside the embeddings → what `classify` gives

What to know:

- The server keeps no state: a client sends the sums and counts of its classes, and keeps what comes back. So one server
  serves many sites.
- Where `known` is false the answer is "unknown", whatever `best` says. The rule for negatives ("this is not X") is not
  in `classify`.
- Requests to `embed` are joined only if their frames have the same height and width: send frames of one size.
- `scale` and `threshold` are scalars in the graph, and `[1]` here: the server's ONNX Runtime backend has taken scalars
  since its pull request 213 (September 2023).

```python
import numpy as np
import tritonclient.http as triton  # pip install 'tritonclient[http]'
from tritonclient.utils import np_to_triton_dtype

SCALE, THRESHOLD = np.array([{scale}], np.float32), np.array([{threshold}], np.float32)
client = triton.InferenceServerClient("localhost:8000")


def infer(model, **tensors):
    inputs = []
    for name, value in tensors.items():
        inputs.append(triton.InferInput(name, value.shape, np_to_triton_dtype(value.dtype)))
        inputs[-1].set_data_from_numpy(value)
    return client.infer(model, inputs)


def enroll(frames, label, sums, counts):
    n = len(frames)
    embeddings = infer("embed", frames=frames).as_numpy("embeddings")
    labels, weights = np.full(n, label, np.int64), np.ones(n, np.float32)  # weight -1 takes an example out again
    answer = infer("enroll", embeddings=embeddings, labels=labels, weights=weights, sums=sums, counts=counts)
    return answer.as_numpy("new_sums"), answer.as_numpy("new_counts")


def recognise(frames, sums, counts):
    answer = infer("recognise", frames=frames, sums=sums, counts=counts, scale=SCALE, threshold=THRESHOLD)
    return np.where(answer.as_numpy("known"), answer.as_numpy("best"), -1)  # -1 is unknown


# The state that this client keeps: room for {classes} classes.
sums, counts = np.zeros(({classes}, {dimension}), np.float32), np.zeros({classes}, np.float32)
```

{thresholds}
"""

_TABLE = """`THRESHOLD` is a cosine; the one above is for {rate:g} and {classes} classes. These hold for any number of
examples (the bundle's manifest has them by examples, too):

| false accepts, at most | classes, up to | threshold |
|---|---|---|
"""
_NO_TABLE = """The bundle promises no false-accept rate of {rate:g}, so with the `THRESHOLD` above nothing is known.
Export the bundle with more `--data`, or find a threshold with frames of your own that are of no class.
"""

_NOTHING_KNOWN = 2.0
_RATE, _CLASSES = 0.05, 20


def _readme(bundle: Bundle, max_batch: int) -> str:
    manifest = bundle.manifest
    held: dict[tuple[float, int], float] = {}
    for point in manifest.operating_points:
        key = point.false_accept_rate, point.way
        held[key] = max(point.threshold, held.get(key, point.threshold))
    offered = [key for key in held if key[0] <= _RATE]
    # For as many classes as the example has, if there is one; then the largest rate, then the lowest threshold.
    rate, classes = max(offered, key=lambda key: (min(key[1], _CLASSES), key[0], -key[1]), default=(_RATE, 0))
    rows = "".join(f"| {rate:g} | {way} | {held[rate, way]:.6f} |\n" for rate, way in sorted(held))
    return _README.format(
        name=manifest.name,
        bundle_id=bundle.id,
        max_batch=max_batch,
        dimension=manifest.dimension,
        scale=manifest.scale,
        threshold=held.get((rate, classes), _NOTHING_KNOWN),
        classes=classes or _CLASSES,
        thresholds=(_TABLE if classes else _NO_TABLE).format(rate=rate, classes=classes) + rows,
    )


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.chmod(0o755)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
