"""A model repository that Triton Inference Server can load, as far as that can be told without one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgefew_export.triton import MAX_BATCH, repository, write_repository
from edgefew_runtime import Bundle, ExportError
from edgefew_runtime.session import OrtSession

from tests.conftest import Cli

NUMPY = {
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_BOOL": "tensor(bool)",
}
IO = re.compile(r'(input|output) \[ \{ name: "(\w+)" data_type: (\w+) dims: \[ ([-\d, ]+) \] \} \]')


def dims_of(config: str) -> dict[tuple[str, str], tuple[str, list[int]]]:
    """By side and name: the data type and the dimensions."""
    return {(side, name): (kind, [int(d) for d in dims.split(",")]) for side, name, kind, dims in IO.findall(config)}


@pytest.fixture(scope="module")
def files(bundle: Path) -> dict[str, bytes]:
    return repository(Bundle.open(bundle))


@pytest.mark.parametrize("component", ["embed", "enroll", "classify"])
def test_a_configuration_says_what_the_graph_takes_and_gives(
    files: dict[str, bytes], bundle: Path, component: str
) -> None:
    config = files[f"{component}/config.pbtxt"].decode()
    assert files[f"{component}/1/model.onnx"] == Bundle.open(bundle).model(component)
    assert f'name: "{component}"' in config
    assert 'backend: "onnxruntime"' in config
    session = OrtSession(files[f"{component}/1/model.onnx"])._session
    told = dims_of(config)
    real = {("input", i.name): i for i in session.get_inputs()} | {("output", o.name): o for o in session.get_outputs()}
    assert set(told) == set(real)
    batched = component == "embed"
    assert f"max_batch_size: {MAX_BATCH if batched else 0}\n" in config
    assert ("dynamic_batching" in config) is batched
    for key, tensor in real.items():
        kind, dims = told[key]
        assert tensor.type == NUMPY[kind]
        shape = tensor.shape[1:] if batched else tensor.shape
        assert len(dims) == max(1, len(shape))
        # The rule of the server's backend: a fixed dimension as it is, -1 for one that varies, [1] for a scalar.
        expected = [d if isinstance(d, int) else -1 for d in shape] or [1]
        assert all(e in (d, -1) for e, d in zip(expected, dims, strict=True))


def test_the_ensemble_joins_what_fits(files: dict[str, bytes]) -> None:
    config = files["recognise/config.pbtxt"].decode()
    told = dims_of(config)
    steps = re.findall(r'model_name: "(\w+)"', config)
    assert steps == ["embed", "classify"]
    names = {name for side, name in told if side == "input"}
    produced: set[str] = set(names)
    for step, block in zip(steps, config.split("model_name:")[1:], strict=True):
        own = dims_of(files[f"{step}/config.pbtxt"].decode())
        inputs = dict(re.findall(r'input_map \{ key: "(\w+)" value: "(\w+)" \}', block))
        outputs = dict(re.findall(r'output_map \{ key: "(\w+)" value: "(\w+)" \}', block))
        assert set(inputs) == {name for side, name in own if side == "input"}
        assert set(inputs.values()) <= produced
        assert set(outputs) == {name for side, name in own if side == "output"}
        produced |= set(outputs.values())
    assert {name for side, name in told if side == "output"} <= produced


def test_the_server_s_own_definition_reads_every_configuration(files: dict[str, bytes]) -> None:
    pytest.importorskip("google.protobuf")
    service = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]")
    from google.protobuf import text_format

    for name in ("embed", "enroll", "classify", "recognise"):
        config = text_format.Parse(files[f"{name}/config.pbtxt"].decode(), service.ModelConfig())
        assert config.name == name
        assert len(config.input) >= 1
        assert len(config.output) >= 1
        assert all(io.data_type and list(io.dims) for io in (*config.input, *config.output))


def test_the_repository_is_written_whole_or_not_at_all(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    written = write_repository(opened, tmp_path / "models")
    assert (
        sorted(str(p.relative_to(tmp_path / "models")) for p in (tmp_path / "models").rglob("*") if p.is_file())
        == written
    )
    with pytest.raises(ExportError, match="exists already"):
        write_repository(opened, tmp_path / "models")
    with pytest.raises(ExportError, match="There is no folder"):
        write_repository(opened, tmp_path / "none" / "models")
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


def test_the_readme_s_client_does_what_the_runtime_does(
    files: dict[str, bytes], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example's own code, with ONNX Runtime in the place of the server."""
    readme = files["README.md"].decode()
    code = readme.split("```python\n")[1].split("```")[0]
    code = code[code.index("SCALE, THRESHOLD") :].replace('client = triton.InferenceServerClient("localhost:8000")', "")
    body = code.split("def infer")[0] + code[code.index("def enroll") :]
    opened = Bundle.open(bundle)
    sessions = {name: OrtSession(opened.model(name)) for name in ("embed", "enroll", "classify")}

    class Answer(dict[str, np.ndarray]):
        def as_numpy(self, name: str) -> np.ndarray:
            return self[name]

    def infer(model: str, **tensors: np.ndarray) -> Answer:
        if model == "recognise":
            embeddings = infer("embed", frames=tensors.pop("frames"))["embeddings"]
            return infer("classify", embeddings=embeddings, **tensors)
        given = {k: v.reshape(()) if k in ("scale", "threshold") else v for k, v in tensors.items()}
        names = [o.name for o in sessions[model]._session.get_outputs()]
        return Answer(zip(names, sessions[model].run(given), strict=True))

    space: dict[str, object] = {"np": np, "infer": infer}
    exec(compile(body, "README.md", "exec"), space)  # noqa: S102  # our own example, run as a reader would
    frames = np.stack(opened.golden()[0][:4])
    sums, counts = space["enroll"](frames[:1], 0, space["sums"], space["counts"])  # type: ignore[operator]
    sums, counts = space["enroll"](frames[1:2], 1, sums, counts)  # type: ignore[operator]
    assert counts.tolist()[:3] == [1, 1, 0]
    assert space["recognise"](frames[:2], sums, counts).tolist() == [0, 1]  # type: ignore[operator]


def test_export_writes_it_beside_the_bundle_and_so_does_the_command(
    cli: Cli, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "figures.edgefew"
    done = cli("export", checkpoint, out, "--triton", tmp_path / "models")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "models" / "embed" / "config.pbtxt").is_file()
    told = json.loads(cli("triton", bundle, tmp_path / "others", "--max-batch", 4, "--json").stdout)
    assert told["bundle_id"] == Bundle.open(bundle).id
    assert "max_batch_size: 4\n" in (tmp_path / "others" / "embed" / "config.pbtxt").read_text()
    there = cli("export", checkpoint, tmp_path / "second.edgefew", "--triton", tmp_path / "models")
    assert (there.exit_code, "exists already" in there.stderr) == (1, True)
    assert not (tmp_path / "second.edgefew").exists()


def test_onnx_finds_nothing_wrong_with_the_models(files: dict[str, bytes]) -> None:
    for name in ("embed", "enroll", "classify"):
        onnx.checker.check_model(onnx.load_from_string(files[f"{name}/1/model.onnx"]), full_check=True)
