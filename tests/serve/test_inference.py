"""The Open Inference Protocol: JSON and binary tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_runtime import Classifier

from tests.conftest import draw_class
from tests.serve.conftest import OPERATOR, TEACHER, Server


def frames(*kinds: int) -> np.ndarray:
    return np.stack([np.asarray(draw_class(kind, 0, 0).convert("RGB")) for kind in kinds])


def as_json(values: np.ndarray) -> dict[str, Any]:
    return {"name": "frames", "shape": list(values.shape), "datatype": "UINT8", "data": values.ravel().tolist()}


def test_it_says_what_it_is(server: Server) -> None:
    assert server.ask("GET", "/v2", token=None)[1]["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/embed/ready", "/v2/models/embed/versions/1/ready"):
        assert server.ask("GET", path, token=None)[0] == 200
    told = server.ask("GET", "/v2/models/embed", token=None)[1]
    assert told["inputs"] == [{"name": "frames", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    status, told, _ = server.ask("GET", "/v2/models/none", token=None)
    assert (status, isinstance(told["error"], str)) == (404, True)


def test_embeddings_are_those_of_the_library(server: Server, bundle: Path) -> None:
    values = frames(50, 51)
    status, told, _ = server.ask("POST", "/v2/models/embed/infer", {"id": "7", "inputs": [as_json(values)]}, OPERATOR)
    assert (status, told["id"], told["outputs"][0]["shape"][0]) == (200, "7", 2)
    with Classifier.open(bundle) as classifier:
        expected = classifier.embed(list(values))
    got = np.array(told["outputs"][0]["data"], np.float32).reshape(told["outputs"][0]["shape"])
    assert np.array_equal(got, expected)


def test_tensors_go_as_bytes_both_ways(server: Server, bundle: Path) -> None:
    values, label = frames(70, 71), "kind ü".encode()
    text = len(label).to_bytes(4, "little") + label
    inputs = [
        {"name": "frames", "shape": list(values.shape), "datatype": "UINT8"}
        | {"parameters": {"binary_data_size": values.nbytes}},
        {"name": "label", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(text)}},
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True, "by": "Mara"}}).encode()
    body, length = head + values.tobytes() + text, {"Inference_Header_Content_Length": str(len(head))}
    assert server.ask("POST", "/v2/models/enroll/infer", body, OPERATOR, **length)[0] == 403
    status, content, answer = server.ask("POST", "/v2/models/enroll/infer", body, TEACHER, **length)
    assert status == 200
    end = int(answer.getheader("inference-header-content-length", ""))
    listed = json.loads(content[:end])["outputs"]
    assert [(one["name"], one["parameters"]["binary_data_size"]) for one in listed] == [("examples", 8), ("added", 8)]
    assert np.frombuffer(content[end:], "<i8").tolist() == [2, 2]
    wanted = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "known"}]
    asked = {"inputs": [as_json(values[:1])], "outputs": wanted}
    status, content, answer = server.ask("POST", "/v2/models/classify/infer", asked)
    end = int(answer.getheader("inference-header-content-length", ""))
    assert [one["name"] for one in json.loads(content[:end])["outputs"]] == ["label", "known"]
    assert content[end:] == text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"inputs": None}, "list inputs"),
        ({"inputs": [3]}, "no object with a name"),
        ({"inputs": []}, "frames is missing"),
        ({"shape": [1, 2, 2, 3]}, "12 fit"),
        ({"shape": [1, -2, 2, 3]}, "see the model's inputs"),
        ({"shape": [2, 2, 3], "data": [0] * 12}, "was expected"),
        ({"shape": [0, 2, 2, 3], "data": []}, "0 frames"),
        ({"datatype": "FP32", "shape": [1, 1, 1, 3], "data": [0, 0, 0]}, "was expected"),
        ({"datatype": "UINT9"}, "UINT9"),
        ({"shape": [1, 1, 1, 3], "data": [0, 0, 256]}, "no UINT8"),
        ({"shape": [1, 1, 1, 3], "data": [0, 0, 0.5]}, "no UINT8"),
        ({"shape": [1, 1, 1, 3], "data": ["a", 0, 0]}, "no UINT8"),
        ({"shape": [1, 1, 1, 3], "data": [[0], 0, 0]}, "no UINT8"),
        ({"parameters": {"binary_data_size": 12}}, "0 are left"),
        ({"outputs": [{"name": "none"}]}, "no output 'none'"),
    ],
)
def test_what_does_not_fit_is_told(server: Server, change: dict[str, Any], says: str) -> None:
    own = {key: change[key] for key in ("inputs", "outputs") if key in change}
    tensor = as_json(frames(50)) | {key: value for key, value in change.items() if key not in own}
    status, told, _ = server.ask("POST", "/v2/models/embed/infer", {"inputs": [tensor], **own})
    assert (status, says in told["error"]) == (400, True), told


def test_a_client_of_triton_works_unchanged(server: Server, bundle: Path) -> None:
    client_of = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    client = client_of.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live()
    assert client.is_model_ready("embed")
    values = frames(50, 51, 52)
    for binary in (True, False):
        given = client_of.InferInput("frames", list(values.shape), "UINT8")
        given.set_data_from_numpy(values, binary_data=binary)
        wanted = [client_of.InferRequestedOutput("embeddings", binary_data=binary)]
        result = client.infer("embed", [given], outputs=wanted, headers={"Authorization": f"Bearer {OPERATOR}"})
        with Classifier.open(bundle) as classifier:
            assert np.array_equal(result.as_numpy("embeddings"), classifier.embed(list(values)))
    client.close()
