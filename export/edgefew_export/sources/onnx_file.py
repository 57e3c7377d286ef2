"""An ONNX file that embeds already: pictures in, vectors out, from whatever software."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from edgefew_runtime import InputSpec, SourceError, head
from edgefew_runtime.frames import Pixels
from edgefew_runtime.session import OrtSession
from onnx import TensorProto, compose, version_converter

from ..graphs import OPSET, preprocessing_graph, unit_rows
from ..preprocessing import Preprocessing, resize
from .source import Source, check_vectors

if TYPE_CHECKING:
    from . import DeclaredInput


def onnx_source(path: Path, declared: DeclaredInput) -> Source:
    """The file's graph, with the declared preprocessing before it and unit vectors after it.

    Raises:
        SourceError: it is no ONNX file, has not one picture as input and one vector as output, or uses operators that
            are not of the standard set.
    """
    content, model = _read(path)
    size, channels = _picture(model, path)
    spec = declared.spec(size)
    if channels not in (None, spec.channels) or (size is not None and spec.size != size):
        raise SourceError(
            f"{path} takes {channels} channels at {size}; {spec.channels} at {spec.size} were declared. Leave out what "
            "the file says itself."
        )
    session = OrtSession(content)
    feed = model.graph.input[0].name
    _check(session, feed, spec)
    preprocessing = Preprocessing(spec).eval()

    def reference(frames: list[Pixels]) -> head.Embeddings:
        fitted = torch.from_numpy(np.stack([resize(frame, spec) for frame in frames]))
        with torch.inference_mode():
            images = preprocessing(fitted).numpy()
        return head.unit(np.concatenate([session.run({feed: image[None]})[0] for image in images]))

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


def _picture(model: onnx.ModelProto, path: Path) -> tuple[tuple[int, int] | None, int | None]:
    """Height and width, and channels, as far as the file says them."""
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in names]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise SourceError(
            f"{path} has {len(inputs)} inputs and {len(model.graph.output)} outputs; one picture in and one vector out "
            "were expected."
        )
    kind = inputs[0].type.tensor_type
    sizes = [d.dim_value or None for d in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(sizes) != 4:
        shown = TensorProto.DataType.Name(kind.elem_type)
        raise SourceError(f"{path} takes {shown} {sizes}; float32 [n, C, H, W] was expected.")
    _, channels, height, width = sizes
    if channels not in (1, 3, None):
        raise SourceError(f"{path} takes {sizes}; float32 [n, C, H, W] with 1 or 3 channels was expected (not NHWC).")
    return ((height, width) if height and width else None), channels


def _check(session: OrtSession, feed: str, spec: InputSpec) -> None:
    images = np.random.default_rng(0).normal(size=(3, spec.channels, *spec.size)).astype(np.float32)
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
    return unit_rows(joined, joined.graph.output[0].name)
