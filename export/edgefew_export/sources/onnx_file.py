"""An ONNX file that embeds already: pictures or signals in, vectors out, from whatever software."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from edgefew_runtime import InputSpec, SourceError, head
from edgefew_runtime.frames import RawFrame
from edgefew_runtime.session import OrtSession
from onnx import TensorProto, compose, helper, version_converter

from ..graphs import OPSET, preprocessing_graph, unit_rows
from ..preprocessing import preprocessing_of, resize
from . import Declared, DeclaredInput, DeclaredSound
from .source import Source, check_vectors


def onnx_source(path: Path, declared: Declared) -> Source:
    """The file's graph, with the declared preprocessing before it and unit vectors after it.

    Raises:
        SourceError: it is no ONNX file, has not one frame as input and one vector as output, or uses operators that
            are not of the standard set.
    """
    content, model = _read(path)
    spec = _declared(declared, _shape(model, path), path)
    session = OrtSession(content)
    feed = model.graph.input[0].name
    _check(session, feed, spec)
    preprocessing = preprocessing_of(spec).eval()

    def reference(frames: list[RawFrame]) -> head.Embeddings:
        fitted = torch.from_numpy(np.stack([resize(frame, spec) for frame in frames]))
        with torch.inference_mode():
            selected = preprocessing.select_channels(fitted)
            images = preprocessing.scale(selected).numpy()
            vectors = head.unit(np.concatenate([session.run({feed: image[None]})[0] for image in images]))
            return preprocessing.mask(selected, torch.from_numpy(vectors)).numpy()

    lineage = {"source": "onnx", "onnx_sha256": hashlib.sha256(content).hexdigest()}
    return Source(lambda: _joined(model, spec), reference, "ONNX Runtime on the file given", spec, lineage)


def _read(path: Path) -> tuple[bytes, onnx.ModelProto]:
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
    except Exception as error:  # protobuf and the checker have errors of their own
        raise SourceError(
            f"{path} is no whole ONNX file ({type(error).__name__}: {error}). External data is not taken: save it as "
            "one file."
        ) from None
    domains = sorted({o.domain for o in model.opset_import} - {"", "ai.onnx"})
    if domains:
        raise SourceError(f"{path} uses operators of {', '.join(domains)}. Only standard ones run everywhere.")
    if model.opset_import[0].version > OPSET:
        raise SourceError(
            f"{path} is of opset {model.opset_import[0].version}; bundles are of opset {OPSET}, which older devices "
            "read. Export it again with that opset."
        )
    return content, model


def _shape(model: onnx.ModelProto, path: Path) -> list[int | None]:
    """The sides of its only input, as far as the file says them."""
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in names]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise SourceError(
            f"{path} has {len(inputs)} inputs and {len(model.graph.output)} outputs; one frame in and one vector out "
            "were expected."
        )
    kind = inputs[0].type.tensor_type
    sizes = [d.dim_value or None for d in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(sizes) not in (3, 4):
        shown = TensorProto.DataType.Name(kind.elem_type)
        raise SourceError(f"{path} takes {shown} {sizes}; float32 [n, C, H, W] or [n, C, samples] was expected.")
    return sizes


def _declared(declared: Declared, shape: list[int | None], path: Path) -> InputSpec:
    """What was declared, with what the file says itself; refused where they differ."""
    _, channels, *size = shape
    wanted = "image" if len(size) == 2 else "signal"
    if isinstance(declared, DeclaredSound):
        return _checked(declared.spec(), shape, path)
    if declared.kind != wanted:
        raise SourceError(f"{path} takes {shape}, as a network of {wanted}s does. Give --kind {wanted}.")
    spec: InputSpec
    if isinstance(declared, DeclaredInput):
        if channels not in (1, 3, None):
            raise SourceError(
                f"{path} takes {shape}; float32 [n, C, H, W] with 1 or 3 channels was expected (not NHWC)."
            )
        spec = declared.spec((size[0], size[1]) if size[0] and size[1] else None)
    else:
        spec = declared.spec(size[0], channels)
    return _checked(spec, shape, path)


def _checked(spec: InputSpec, shape: list[int | None], path: Path) -> InputSpec:
    """The specification, where it is none that the file says otherwise."""
    differs = any(said not in (None, own) for said, own in zip(shape[1:], spec.network_shape, strict=False))
    if differs or len(shape) != 1 + len(spec.network_shape):
        raise SourceError(
            f"{path} takes {shape}; {list(spec.network_shape)} was declared for one frame. Leave out what the file "
            "says itself."
        )
    return spec


def _check(session: OrtSession, feed: str, spec: InputSpec) -> None:
    images = np.random.default_rng(0).normal(size=(3, *spec.network_shape)).astype(np.float32)
    alone = session.run({feed: images[:1]})[0]
    try:
        together = session.run({feed: images})[0]
    except Exception:
        # A batch fixed to one: joined by hand here, and the graph is freed of it below.
        together = np.concatenate([session.run({feed: image[None]})[0] for image in images])
    check_vectors(together, alone)


def _joined(model: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    """Preprocessing, the file's graph and unit length as one graph of opset 18."""
    body = version_converter.convert_version(model, OPSET) if model.opset_import[0].version < OPSET else model
    body = onnx.ModelProto.FromString(body.SerializeToString())
    for value in (body.graph.input[0], body.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    del body.graph.value_info[:]
    first = preprocessing_graph(spec)
    body.ir_version = first.ir_version
    joined = compose.merge_models(
        compose.add_prefix(first, "pre/", rename_inputs=False, rename_outputs=False),
        compose.add_prefix(body, "net/", rename_inputs=True, rename_outputs=True),
        io_map=[("images", f"net/{body.graph.input[0].name}")],
    )
    vectors = f"net/{body.graph.output[0].name}"
    if any(output.name == "usable" for output in first.graph.output):
        joined.graph.node.append(helper.make_node("Mul", [vectors, "usable"], ["usable_vectors"]))
        vectors = "usable_vectors"
    return unit_rows(joined, vectors)
