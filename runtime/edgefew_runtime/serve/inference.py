"""The Open Inference Protocol (KServe V2, REST) for `embed`, `classify` and `enroll`, with tensors as JSON or binary.

See kserve/open-inference-protocol, specification/protocol/inference_rest.md; the binary tensors are Triton's
extension (triton-inference-server/server, docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import EdgeFewError, UnknownClassError
from .access import OPERATOR, TEACHER, Tokens
from .routes import Operation
from .site import Site

_Tensor = npt.NDArray[Any]

_TYPES: dict[str, str] = {"UINT8": "|u1", "FP32": "<f4", "INT64": "<i8", "BOOL": "|b1"}
_HEADER_LENGTH = "inference-header-content-length"
_VERSION = "1"
_MOST_FRAMES = 256


class InferenceError(EdgeFewError):
    """A request is not as the protocol, or the model, wants it."""


class Inference:
    """The protocol's operations on one site."""

    def __init__(self, site: Site, tokens: Tokens) -> None:
        self._site, self._tokens = site, tokens
        spec = site.classifier.bundle.manifest.input
        self._datatype = {"uint8": "UINT8", "int64": "INT64"}.get(spec.dtype, "FP32")
        lengths = [n if spec.kind == "signal" else -1 for n in spec.raw_shape]
        self._shape = [-1, *lengths] if len(lengths) == 1 else [-1, *lengths[:-1], spec.raw_shape[-1]]
        dimension = site.classifier.bundle.manifest.dimension
        frames = [_described("frames", self._datatype, self._shape)]
        answers = [("label", "BYTES"), ("probability", "FP32"), ("score", "FP32"), ("known", "BOOL")]
        counts = [_described("examples", "INT64", [1]), _described("added", "INT64", [1])]
        self._models: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
            "embed": (frames, [_described("embeddings", "FP32", [-1, dimension])]),
            "classify": (frames, [_described(name, kind, [-1]) for name, kind in answers]),
            "enroll": ([*frames, _described("label", "BYTES", [1])], counts),
        }

    def operations(self) -> list[Operation]:
        """All of them."""
        found = [
            Operation("GET", "/v2", self.server, "The server and its extensions"),
            Operation("GET", "/v2/health/live", self.ready, "Whether the server lives"),
            Operation("GET", "/v2/health/ready", self.ready, "Whether it can be asked"),
        ]
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            found += [
                Operation("GET", path, self.model, "A model's inputs and outputs"),
                Operation("GET", path + "/ready", self.model_ready, "Whether a model can be asked"),
                Operation("POST", path + "/infer", self.infer, "Ask a model", OPERATOR, _REQUEST),
            ]
        return found

    async def server(self, request: Request) -> Response:
        """Name, version, extensions."""
        version = metadata.version("edgefew-runtime")
        return JSONResponse({"name": "edgefew", "version": version, "extensions": ["binary_tensor_data"]})

    async def ready(self, request: Request) -> Response:
        """It is."""
        return JSONResponse({"live": True} if request.url.path.endswith("live") else {"ready": True})

    async def model(self, request: Request) -> Response:
        """What it takes and gives."""
        name = self._known(request)
        inputs, outputs = self._models[name]
        told = {"name": name, "versions": [_VERSION], "platform": "edgefew", "inputs": inputs, "outputs": outputs}
        return JSONResponse(told)

    async def model_ready(self, request: Request) -> Response:
        """It is, if there is one of that name."""
        return JSONResponse({"name": self._known(request), "ready": True})

    async def infer(self, request: Request) -> Response:
        """The model's outputs for these inputs."""
        name = self._known(request)
        if name == "enroll":
            self._tokens.require(request, TEACHER)
        asked, given = _read(await request.body(), request.headers.get(_HEADER_LENGTH))
        frames = self._frames(given)
        parameters = asked.get("parameters")
        parameters = parameters if isinstance(parameters, dict) else {}
        outputs = await self._site.run(getattr(self, f"_{name}"), frames, given, parameters)
        return self._answer(name, asked, parameters, outputs)

    def _known(self, request: Request) -> str:
        name = str(request.path_params["model"])
        if name not in self._models or request.path_params.get("version", _VERSION) != _VERSION:
            raise UnknownClassError(
                f"There is no model {name!r} here in that version; there are embed, classify, enroll."
            )
        return name

    def _frames(self, given: Mapping[str, _Tensor]) -> _Tensor:
        frames = given.get("frames")
        wanted = f"frames, {self._datatype} {self._shape}"
        if frames is None:
            raise InferenceError(f"The input frames is missing: {wanted} was expected.")
        fits = frames.ndim == len(self._shape) and all(
            w in (-1, n) for w, n in zip(self._shape, frames.shape, strict=True)
        )
        if frames.dtype != np.dtype(_TYPES[self._datatype]) or not fits:
            raise InferenceError(f"frames is {frames.dtype} {list(frames.shape)}; {wanted} was expected.")
        if not 1 <= len(frames) <= _MOST_FRAMES:
            raise InferenceError(f"{len(frames)} frames were given; 1 to {_MOST_FRAMES} were expected.")
        return frames

    def _embed(
        self, frames: _Tensor, given: Mapping[str, _Tensor], parameters: Mapping[str, Any]
    ) -> dict[str, _Tensor]:
        return {"embeddings": self._site.classifier.embed(list(frames))}

    def _classify(
        self, frames: _Tensor, given: Mapping[str, _Tensor], parameters: Mapping[str, Any]
    ) -> dict[str, _Tensor]:
        answers = self._site.classifier.classify_many(list(frames))
        return {
            "label": np.array([answer.label or "" for answer in answers], object),
            "probability": np.array([answer.probability for answer in answers], np.float32),
            "score": np.array([math.nan if answer.score is None else answer.score for answer in answers], np.float32),
            "known": np.array([answer.known for answer in answers], np.bool_),
        }

    def _enroll(
        self, frames: _Tensor, given: Mapping[str, _Tensor], parameters: Mapping[str, Any]
    ) -> dict[str, _Tensor]:
        label = given.get("label")
        if label is None or label.dtype != object or label.size != 1:
            raise InferenceError("The input label is missing: one text (BYTES [1]) was expected.")
        actor = parameters.get("by", "")
        result = self._site.classifier.enroll(
            str(label.ravel()[0]),
            list(frames),
            actor if isinstance(actor, str) else "",
            keep_frames=self._site.keep_frames,
        )
        return {
            "examples": np.array([result.examples], np.int64),
            "added": np.array([len(result.accepted)], np.int64),
        }

    def _answer(
        self, name: str, asked: Mapping[str, Any], parameters: Mapping[str, Any], outputs: Mapping[str, _Tensor]
    ) -> Response:
        wanted = asked.get("outputs")
        wanted = [one for one in wanted if isinstance(one, dict)] if isinstance(wanted, list) else []
        options = {str(one.get("name")): one.get("parameters") or {} for one in wanted} or {key: {} for key in outputs}
        if unknown := sorted(set(options) - set(outputs)):
            raise InferenceError(f"{name} has no output {unknown[0]!r}; it has {', '.join(outputs)}.")
        listed, parts = [], []
        for output, its in options.items():
            values = outputs[output]
            datatype = _datatype(values)
            told: dict[str, Any] = {"name": output, "datatype": datatype, "shape": list(values.shape)}
            if its.get("binary_data", parameters.get("binary_data_output", False)) is True:
                parts.append(_packed(values))
                told["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                # JSON has no NaN: an answer without a score has null.
                told["data"] = [None if isinstance(v, float) and math.isnan(v) else v for v in values.ravel().tolist()]
            listed.append(told)
        whole = {"model_name": name, "model_version": _VERSION, "outputs": listed}
        if isinstance(asked.get("id"), str):
            whole["id"] = asked["id"]
        head = json.dumps(whole).encode()
        if not parts:
            return Response(head, media_type="application/json")
        length = {_HEADER_LENGTH: str(len(head))}
        return Response(head + b"".join(parts), media_type="application/octet-stream", headers=length)


_REQUEST = {
    "application/json": {
        "schema": {"type": "object", "required": ["inputs"], "properties": {"inputs": {"type": "array"}}}
    },
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}


def _described(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _datatype(values: _Tensor) -> str:
    return next((name for name, kind in _TYPES.items() if values.dtype == np.dtype(kind)), "BYTES")


def _packed(values: _Tensor) -> bytes:
    if values.dtype == object:
        texts = [str(value).encode() for value in values.ravel()]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.ascontiguousarray(values, _TYPES[_datatype(values)]).tobytes()


def _read(body: bytes, header_length: str | None) -> tuple[dict[str, Any], dict[str, _Tensor]]:
    """The request's JSON and its input tensors by name."""
    if header_length is not None and not (header_length.isdigit() and int(header_length) <= len(body)):
        raise InferenceError(
            f"The header Inference-Header-Content-Length is {header_length!r}; the body has {len(body)}."
        )
    end = len(body) if header_length is None else int(header_length)
    try:
        asked = json.loads(body[:end])
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list):
        raise InferenceError("A JSON object with the list inputs was expected.")
    rest, tensors = memoryview(body)[end:], {}
    for one in asked["inputs"]:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise InferenceError("An input is no object with a name.")
        size = (
            (one.get("parameters") or {}).get("binary_data_size") if isinstance(one.get("parameters"), dict) else None
        )
        part: memoryview | None = None
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(rest):
                raise InferenceError(
                    f"The input {one['name']} says {size!r} bytes of binary data; {len(rest)} are left."
                )
            part, rest = rest[:size], rest[size:]
        tensors[one["name"]] = _tensor(one, part)
    if len(rest):
        raise InferenceError(f"{len(rest)} bytes follow the last input's.")
    return asked, tensors


def _tensor(one: Mapping[str, Any], part: memoryview | None) -> _Tensor:
    name, datatype, shape = one["name"], one.get("datatype"), one.get("shape")
    known = isinstance(datatype, str) and (datatype in _TYPES or datatype == "BYTES")
    if not known or not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise InferenceError(f"The input {name} has the type {datatype!r} and shape {shape!r}; see the model's inputs.")
    count = math.prod(shape)
    if datatype == "BYTES":
        flat: _Tensor = np.array(_texts(part) if part is not None else one.get("data"), object).ravel()
    elif part is not None:
        kind = np.dtype(_TYPES[str(datatype)])
        if len(part) != count * kind.itemsize:
            raise InferenceError(
                f"The input {name} has {len(part)} bytes; {count * kind.itemsize} fit its shape {shape}."
            )
        flat = np.frombuffer(part, kind)
    else:
        flat = _numbers(one.get("data"), str(datatype), name)
    if flat.size != count:
        raise InferenceError(f"The input {name} has {flat.size} values; {count} fit its shape {shape}.")
    return flat.reshape(shape)


def _numbers(data: Any, datatype: str, name: str) -> _Tensor:
    kind = np.dtype(_TYPES[datatype])
    try:
        wide = np.array(data, np.float64 if kind.kind == "f" else None).ravel()
    except (TypeError, ValueError, OverflowError):
        wide = np.empty(0, object)
    taken = "fi" if kind.kind == "f" else {"u": "i"}.get(kind.kind, kind.kind)
    fits = wide.dtype.kind in taken and (kind.kind not in "ui" or np.array_equal(wide.astype(kind), wide))
    if (wide.size and not fits) or wide.dtype == object:
        raise InferenceError(f"The data of the input {name} are no {datatype} that it could take.")
    return wide.astype(kind)


def _texts(part: memoryview) -> list[str]:
    texts = []
    while len(part):
        length = int.from_bytes(part[:4], "little")
        if len(part) < 4 or length > len(part) - 4:
            raise InferenceError("A text of the binary data is cut off.")
        try:
            texts.append(bytes(part[4 : 4 + length]).decode())
        except UnicodeDecodeError:
            raise InferenceError("A text of the binary data is not UTF-8.") from None
        part = part[4 + length :]
    return texts
