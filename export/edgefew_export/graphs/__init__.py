"""The graphs of a bundle, and what is done to each before it is written."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from edgefew_runtime import ExportError

from .classify import classify_graph
from .embed import IR_VERSION, OPSET, embed_graph, preprocessing_graph
from .ends import project, unit_rows
from .enroll import enroll_graph
from .hallucinate import hallucinate_graph
from .refine import refine_graph

__all__ = [
    "OPSET",
    "classify_graph",
    "embed_graph",
    "enroll_graph",
    "hallucinate_graph",
    "preprocessing_graph",
    "project",
    "refine_graph",
    "serialize",
    "unit_rows",
]


def serialize(model: onnx.ModelProto, role: str, metadata: Mapping[str, str]) -> bytes:
    """The model as the bytes of a bundle's ONNX file: nothing of the build machine in it, the same each time.

    Raises:
        ExportError: it breaks a rule of the bundle: another opset, a custom operator, external data.
    """
    _strip(model)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "edgefew", "", ""
    model.graph.name = role
    onnx.helper.set_model_props(model, {"edgefew.role": role, **metadata})
    domains = {opset.domain: opset.version for opset in model.opset_import}
    if domains != {"": OPSET} or len(model.functions):
        raise ExportError(
            f"The {role} graph uses operators outside opset {OPSET}: {domains}. Only standard ones are allowed."
        )
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ExportError(f"The {role} graph keeps its weights in another file; a bundle's graphs are whole.")
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter leaves about the build machine: source paths in each node's metadata, comments."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    graph.doc_string = ""
    for entry in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del entry.metadata_props[:]
        entry.doc_string = ""
