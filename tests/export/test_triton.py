"""A model repository for Triton Inference Server, checked as far as that goes without the server.

What the server checks when it loads a repository is checked here by its own rules: of the ONNX Runtime backend
(onnxruntime_utils.cc, CompareDimsSupported) and of ensembles (ensemble_utils.cc, ValidateEnsembleConfig). The client in
the repository's README runs as it is written, against a stand-in that takes what the configuration says, nothing else.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from edgefew_export.triton import ENSEMBLE, MAX_BATCH, README_FILE, repository, write_repository
from edgefew_export.triton_readme import triton_readme
from edgefew_runtime import Bundle, Classifier, ExportError
from edgefew_runtime.bundle import COMPONENTS

from tests.conftest import Cli, draw_class, draw_folder
from tests.signals import make_signal
from tests.sounds import make_sound

TYPES = {
    "TYPE_UINT8": ("tensor(uint8)", np.uint8, "UINT8"),
    "TYPE_INT64": ("tensor(int64)", np.int64, "INT64"),
    "TYPE_FP32": ("tensor(float)", np.float32, "FP32"),
    "TYPE_BOOL": ("tensor(bool)", np.bool_, "BOOL"),
}

Message = dict[str, list[Any]]
Tensors = dict[str, npt.NDArray[Any]]


def parse(text: str) -> Message:
    """Protobuf's text format: every field as the list of its values; messages are dicts again."""
    tokens = iter(re.findall(r'"[^"]*"|[\w.+-]+|[:{}\[\],]', text))

    def values(opening: str) -> Iterator[Any]:
        if opening == "[":
            for word in tokens:
                if word == "]":
                    return
                if word != ",":
                    yield from values(word)
        elif opening == "{":
            yield message()
        else:
            yield (
                opening.strip('"') if opening[0] == '"' else int(opening) if opening.lstrip("-").isdigit() else opening
            )

    def message() -> Message:
        fields: Message = defaultdict(list)
        for name in tokens:
            if name == "}":
                break
            following = next(tokens)
            fields[name].extend(values(next(tokens) if following == ":" else following))
        return fields

    return message()


@pytest.fixture(params=["bundle", "signal_bundle", "sound_bundle"])
def opened(request: pytest.FixtureRequest) -> Bundle:
    """Of pictures, then of signals, then of sounds."""
    return Bundle.open(request.getfixturevalue(request.param))


def frame_of(opened: Bundle, kind: int, source: int, take: int) -> npt.NDArray[Any]:
    """A frame of a class, as the bundle takes it."""
    if opened.manifest.input.kind == "signal":
        return make_signal(kind, source, take)
    if opened.manifest.input.kind == "audio":
        return make_sound(kind, source, take)
    return np.asarray(draw_class(kind, source, take))


@pytest.fixture
def files(opened: Bundle) -> dict[str, bytes]:
    return repository(opened)


@pytest.fixture
def configs(files: dict[str, bytes]) -> dict[str, Message]:
    return {name: parse(files[f"{name}/config.pbtxt"].decode()) for name in (*COMPONENTS, ENSEMBLE)}


def shapes(config: Message, side: str) -> dict[str, list[int]]:
    """Names and whole shapes, with the batch where the server adds it."""
    batch = [-1] if config["max_batch_size"][0] else []
    return {tensor["name"][0]: batch + tensor["dims"] for tensor in config[side]}


def types(config: Message, side: str) -> dict[str, str]:
    return {tensor["name"][0]: tensor["data_type"][0] for tensor in config[side]}


# ---- what the server checks when it loads the repository ----------------------------------------------


@pytest.mark.parametrize("component", COMPONENTS)
def test_inputs_and_outputs_are_those_of_the_graph(
    files: dict[str, bytes], configs: dict[str, Message], component: str
) -> None:
    session = ort.InferenceSession(files[f"{component}/1/model.onnx"], providers=["CPUExecutionProvider"])
    config = configs[component]
    for side, values in (("input", session.get_inputs()), ("output", session.get_outputs())):
        # As the backend sees them: -1 for what varies. It asks for the same dimensions to the last; a scalar is [1].
        seen = {v.name: [d if isinstance(d, int) else -1 for d in v.shape] or [1] for v in values}
        assert shapes(config, side) == seen
        assert {name: TYPES[kind][0] for name, kind in types(config, side).items()} == {v.name: v.type for v in values}


def test_embed_joins_requests_and_what_has_a_state_does_not(configs: dict[str, Message]) -> None:
    assert configs["embed"]["max_batch_size"] == [MAX_BATCH]
    assert configs["embed"]["dynamic_batching"] == [{}]
    for name in ("enroll", "classify", ENSEMBLE):
        assert configs[name]["max_batch_size"] == [0]
        assert not configs[name]["dynamic_batching"]


def test_names_and_backends_are_what_the_server_looks_for(
    files: dict[str, bytes], configs: dict[str, Message], opened: Bundle
) -> None:
    for name, config in configs.items():
        assert config["name"] == [name]
        assert any(file.startswith(f"{name}/1/") for file in files)
        (origin,) = config["parameters"]
        assert (origin["key"], origin["value"][0]["string_value"]) == (["edgefew.bundle_id"], [opened.id])
    for component in COMPONENTS:
        assert configs[component]["backend"] == ["onnxruntime"]
        assert files[f"{component}/1/model.onnx"] == opened.model(component)
    assert configs[ENSEMBLE]["platform"] == ["ensemble"]


def test_the_steps_of_the_ensemble_fit_together(configs: dict[str, Message]) -> None:
    ensemble = configs[ENSEMBLE]
    shape = shapes(ensemble, "input") | shapes(ensemble, "output")
    kind = types(ensemble, "input") | types(ensemble, "output")
    there = set(types(ensemble, "input"))
    for step in ensemble["ensemble_scheduling"][0]["step"]:
        model = configs[step["model_name"][0]]
        for side in ("input", "output"):
            mapped = {pair["key"][0]: pair["value"][0] for pair in step[f"{side}_map"]}
            assert mapped.keys() == types(model, side).keys()
            for name, tensor in mapped.items():
                assert kind.setdefault(tensor, types(model, side)[name]) == types(model, side)[name]
                known, own = shape.setdefault(tensor, shapes(model, side)[name]), shapes(model, side)[name]
                assert len(known) == len(own)
                assert all(-1 in (a, b) or a == b for a, b in zip(known, own, strict=True))
            assert side == "output" or set(mapped.values()) <= there
        there |= {pair["value"][0] for pair in step["output_map"]}
    assert set(types(ensemble, "output")) <= there


@pytest.mark.parametrize("name", [*COMPONENTS, ENSEMBLE])
def test_the_configuration_is_one_of_tritons_own_definition(files: dict[str, bytes], name: str) -> None:
    pytest.importorskip("grpc", reason="tritonclient[grpc] is not installed")
    definition = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="tritonclient[grpc] is not installed")
    from google.protobuf import text_format

    text = files[f"{name}/config.pbtxt"].decode()
    config = text_format.Parse(text, definition.ModelConfig())
    assert shapes(parse(text), "input") == {
        tensor.name: [-1] * (config.max_batch_size > 0) + list(tensor.dims) for tensor in config.input
    }


# ---- the client of the README -------------------------------------------------------------------------


class Server:
    """Answers requests as the server would: what the configuration does not allow is refused."""

    def __init__(self, folder: Path) -> None:
        self.configs = {p.parent.name: parse(p.read_text()) for p in folder.glob("*/config.pbtxt")}
        self.sessions = {
            p.parent.parent.name: ort.InferenceSession(p, providers=["CPUExecutionProvider"])
            for p in folder.glob("*/1/model.onnx")
        }

    def infer(self, model: str, given: Tensors) -> Tensors:
        config = self.configs[model]
        expected = shapes(config, "input")
        assert given.keys() == expected.keys()
        for name, value in given.items():
            assert value.dtype == TYPES[types(config, "input")[name]][1], name
            assert len(value.shape) == len(expected[name]), name
            assert all(want in (-1, have) for want, have in zip(expected[name], value.shape, strict=True)), name
            assert not config["max_batch_size"][0] or len(value) <= config["max_batch_size"][0]
        if model == ENSEMBLE:
            return self._steps(config, dict(given))
        session = self.sessions[model]
        scalars = {i.name for i in session.get_inputs() if not i.shape}
        feeds = {name: value.reshape(()) if name in scalars else value for name, value in given.items()}
        return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))

    def _steps(self, ensemble: Message, tensors: Tensors) -> Tensors:
        for step in ensemble["ensemble_scheduling"][0]["step"]:
            inputs = {pair["key"][0]: tensors[pair["value"][0]] for pair in step["input_map"]}
            outputs = self.infer(step["model_name"][0], inputs)
            tensors |= {pair["value"][0]: outputs[pair["key"][0]] for pair in step["output_map"]}
        return {name: tensors[name] for name in types(ensemble, "output")}


def readme_client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the README's Python code defines; `tritonclient` is a stand-in."""
    server = Server(folder)

    class InferInput:
        def __init__(self, name: str, shape: tuple[int, ...], datatype: str) -> None:
            self.name, self.shape, self.datatype = name, shape, datatype

        def set_data_from_numpy(self, value: npt.NDArray[Any]) -> None:
            assert (value.shape, to_triton(value.dtype)) == (self.shape, self.datatype)
            self.value = value

    class Result:
        def __init__(self, tensors: Tensors) -> None:
            self.as_numpy = tensors.__getitem__

    class InferenceServerClient:
        def __init__(self, url: str) -> None:
            assert url == "localhost:8000"

        def infer(self, model: str, inputs: list[InferInput]) -> Result:
            return Result(server.infer(model, {i.name: i.value for i in inputs}))

    def to_triton(dtype: Any) -> str:
        return next(name for _, kind, name in TYPES.values() if kind == dtype)

    for name, content in {
        "tritonclient": {},
        "tritonclient.http": {"InferInput": InferInput, "InferenceServerClient": InferenceServerClient},
        "tritonclient.utils": {"np_to_triton_dtype": to_triton},
    }.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            setattr(sys.modules["tritonclient"], name.split(".")[1], module)
    code = re.search(r"```python\n(.*?)```", (folder / README_FILE).read_text(), re.S)
    assert code
    client: dict[str, Any] = {}
    exec(compile(code[1], README_FILE, "exec"), client)  # noqa: S102  (our own README)
    return client


def test_the_client_of_the_readme_answers_as_the_classifier(
    opened: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_repository(opened, tmp_path / "models")
    client = readme_client(tmp_path / "models", monkeypatch)
    sums, counts = client["sums"], client["counts"]
    kinds, strangers = range(50, 56), range(60, 66)
    with Classifier.open(opened, false_accept_rate=None) as classifier:
        for index, kind in enumerate(kinds):
            frames = [frame_of(opened, kind, source, 0) for source in range(2)]
            sums, counts = client["enroll"](np.stack(frames), index, sums, counts)
            classifier.enroll(str(index), frames)
        asked = [frame_of(opened, kind, 2, 1) for kind in (*kinds, *strangers)]
        decided = classifier.classify_many(asked)
        # A threshold between two scores, so that some are known and some are not, whatever the bundle promises.
        scores = sorted(float(a.score or 0) for a in decided)
        client["THRESHOLD"][:] = threshold = np.float32((scores[5] + scores[6]) / 2)
        answers = client["recognise"](np.stack(asked), sums, counts)
        expected = [int(a.label or -1) if (a.score or 0) >= threshold else -1 for a in decided]
    assert counts[: len(kinds)].tolist() == [2] * len(kinds)
    assert answers.tolist() == expected
    assert len(set(expected)) > 2
    assert -1 in expected


def test_the_threshold_of_the_readme_is_one_that_the_bundle_promises(opened: Bundle) -> None:
    text = triton_readme(opened, MAX_BATCH)
    used = re.search(r"THRESHOLD = .*, np.array\(\[(.+)\], np.float32\)\n", text)
    room = re.search(r"room for (\d+) classes", text)
    assert used and room
    holding = [p for p in opened.manifest.operating_points if p.false_accept_rate <= 0.05 and p.way >= int(room[1])]
    way = min(p.way for p in holding)
    assert float(used[1]) >= max(p.threshold for p in holding if p.way == way and p.false_accept_rate == 0.05)
    for point in opened.manifest.operating_points:
        row = re.search(rf"^\| {point.way} \|(.*)\|$", text, re.M)
        assert row
        assert max(float(cell) for cell in row[1].split("|") if cell.strip()) >= point.threshold


def test_the_readme_says_what_the_graph_takes(opened: Bundle) -> None:
    spec = opened.manifest.input
    shape = {"signal": "[n, samples, 2]", "audio": "[n, samples]", "image": "[n, H, W, 3]"}[spec.kind]
    assert f"`frames` {spec.dtype} `{shape}`" in triton_readme(opened, MAX_BATCH)


def test_a_bundle_that_promises_nothing_says_so(checkpoint: Path, tmp_path: Path, cli: Cli) -> None:
    """`edgefew export --triton`, too: it writes what `edgefew triton` writes."""
    few = draw_folder(tmp_path / "few", range(70, 75))
    models, bundle = tmp_path / "models", tmp_path / "few.edgefew"
    result = cli("export", checkpoint, bundle, "--data", few, "--triton", models)
    assert result.exit_code == 0, result.output
    assert f"{models}: model repository" in result.stdout
    written = {file.relative_to(models).as_posix(): file.read_bytes() for file in models.rglob("*") if file.is_file()}
    assert written == repository(Bundle.open(bundle))
    text = written[README_FILE].decode()
    assert "promises no false-accept rate of 0.05 or less" in text
    assert "np.array([2.0], np.float32)" in text


# ---- where it is written ------------------------------------------------------------------------------


def test_the_command_writes_the_same_files_each_time(tmp_path: Path, cli: Cli, opened: Bundle) -> None:
    for name in ("a", "b"):
        result = cli("triton", opened.path, tmp_path / name)
        assert result.exit_code == 0, result.output
        assert f"{tmp_path / name / 'embed' / 'config.pbtxt'}\n" in result.stdout
        for file, content in repository(opened).items():
            assert (tmp_path / name / file).read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_that_is_there_is_kept(bundle: Path, tmp_path: Path, checkpoint: Path, cli: Cli) -> None:
    other = tmp_path / "models"
    other.mkdir()
    (other / "config.pbtxt").write_text("mine")
    for arguments in (("triton", bundle, other), ("export", checkpoint, tmp_path / "new.edgefew", "--triton", other)):
        result = cli(*arguments)
        assert result.exit_code == 1
        assert f"{other} exists already" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert (other / "config.pbtxt").read_text() == "mine"


def test_nothing_is_written_into_a_bundle_or_into_no_folder(opened: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is in the bundle"):
        write_repository(opened, opened.path / "models")
    with pytest.raises(ExportError, match=r"no folder .*nowhere"):
        write_repository(opened, tmp_path / "nowhere" / "models")
    assert Bundle.open(opened.path).id == opened.id


def test_no_path_of_this_machine_is_in_the_repository(files: dict[str, bytes]) -> None:
    assert not any(re.search(rb"/(home|tmp|root|work)/", content) for content in files.values())
