"""`edgefew verify`: structure, variants, and episodes beside what the report states."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgefew_runtime import Bundle, DataError, SelfTestError, verify
from edgefew_runtime.bundle import sums_text
from edgefew_runtime.episode_accuracy import check_episodes
from edgefew_runtime.labelled_folder import read_labelled_folder
from edgefew_runtime.session import OrtSession

from tests.conftest import SOURCE_PATTERN, Cli, draw_folder


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy.edgefew"))


@pytest.fixture(scope="module")
def proved_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fixture `bundle` was proved on, drawn anew."""
    return draw_folder(tmp_path_factory.mktemp("proved") / "figures", range(200, 280), takes=1)


def reseal(path: Path) -> Path:
    files = (f for f in path.rglob("*") if f.is_file() and f.name != "SHA256SUMS")
    (path / "SHA256SUMS").write_bytes(sums_text({f.relative_to(path).as_posix(): f.read_bytes() for f in files}))
    return path


def edit_model(path: Path, component: str, edit: Callable[[onnx.ModelProto], object]) -> None:
    file = path / component / "fp32" / "model.onnx"
    model = onnx.load(file)
    edit(model)
    file.write_bytes(model.SerializeToString())
    reseal(path)


def edit_report(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    report = json.loads((path / "report.json").read_bytes())
    edit(report)
    (path / "report.json").write_text(json.dumps(report))
    reseal(path)


def failed(path: Path, **settings: Any) -> dict[str, str]:
    return {v.check: v.seen for v in verify(path, **settings) if not v.passed}


def fix_axis(of: str, place: int, axis: int, length: int) -> Callable[[onnx.ModelProto], object]:
    def edit(model: onnx.ModelProto) -> None:
        shape = getattr(model.graph, of)[place].type.tensor_type.shape
        shape.dim[axis].ClearField("dim_param")
        shape.dim[axis].dim_value = length

    return edit


def rename_output(model: onnx.ModelProto) -> None:
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["vectors" if name == old else name for name in node.output]
        node.input[:] = ["vectors" if name == old else name for name in node.input]
    model.graph.output[0].name = "vectors"


def swap_outputs(model: onnx.ModelProto) -> None:
    outputs = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([outputs[1], outputs[0], *outputs[2:]])


@pytest.mark.parametrize(
    ("component", "edit", "seen"),
    [
        ("embed", fix_axis("input", 0, 0, 1), "frames uint8 [1, ?, ?, 3]"),
        ("embed", fix_axis("input", 0, 1, 16), "frames uint8 [?, 16, ?, 3]"),
        ("embed", rename_output, "vectors float32"),
        ("enroll", fix_axis("input", 3, 0, 20), "sums float32 [20, ?]"),
        ("classify", swap_outputs, "scores float32 [?, ?], probabilities float32 [?, ?]"),
    ],
    ids=["batch fixed", "height fixed", "name", "classes fixed", "order of outputs"],
)
def test_a_graph_of_another_structure_is_told_with_what_was_expected(
    copy: Path, component: str, edit: Callable[[onnx.ModelProto], object], seen: str
) -> None:
    edit_model(copy, component, edit)
    (told,) = failed(copy).items()
    assert told[0] == f"{component} graph"
    assert seen in told[1]
    assert "was expected" in told[1]


def test_every_variant_is_checked(copy: Path) -> None:
    shutil.copytree(copy / "embed" / "fp32", copy / "embed" / "other")
    described = json.loads((copy / "embed" / "component.json").read_bytes())
    described["variants"]["other"] = described["variants"]["fp32"]
    (copy / "embed" / "component.json").write_text(json.dumps(described))
    reseal(copy)
    checks = [v.check for v in verify(copy) if v.passed]
    assert {"embed graph", "embed graph (other)", "golden vectors", "golden vectors (other)"} <= set(checks)
    (copy / "embed" / "other" / "model.onnx").unlink()
    reseal(copy)
    assert list(failed(copy)) == ["embed graph (other)"]


def test_the_same_images_give_the_accuracy_that_the_report_states(bundle: Path, proved_on: Path, cli: Cli) -> None:
    result = cli("verify", bundle, "--data", proved_on, "--source-pattern", SOURCE_PATTERN)
    assert result.exit_code == 0, result.output
    report = Bundle.open(bundle).report()
    stated = report["episodes"]["bundle"]
    shown = f"{stated['accuracy']:.1%} ± {stated['ci95']:.1%}"
    line = result.output.splitlines()[-1]
    assert line.startswith(f"✓ episodes: {stated['way']}-way 1-shot {shown} over 600 episodes of 240 frames")
    assert f"the report states {shown} of the same frames" in line
    assert (report["proved_on"]["sources"], len(report["proved_on"]["data_sha256"])) == (3, 64)


def test_other_classes_may_differ_by_what_their_choice_changes(bundle: Path, tmp_path: Path) -> None:
    others = read_labelled_folder(draw_folder(tmp_path / "others", range(300, 340)), SOURCE_PATTERN)
    opened = Bundle.open(bundle)
    told = check_episodes(opened, OrtSession(opened.model("embed")), others)
    assert "other frames (whose classes may change it by" in told


def test_a_network_that_recognises_less_than_its_report_says_fails(copy: Path, proved_on: Path, cli: Cli) -> None:
    edit_report(copy, lambda report: report["episodes"]["bundle"].update(accuracy=0.999, ci95=0.001))
    result = cli("verify", copy, "--data", proved_on, "--source-pattern", SOURCE_PATTERN, "--json")
    assert result.exit_code == 1
    verdict = json.loads(result.stdout.splitlines()[-1])
    assert (verdict["check"], verdict["passed"]) == ("episodes", False)
    assert "lower than chance explains" in verdict["seen"]


class Blind:
    """Gives noise for every frame."""

    provider = "CPUExecutionProvider"

    def __init__(self, dimension: int) -> None:
        self.dimension, self.made = dimension, np.random.default_rng(0)

    def run(self, inputs: Any) -> list[Any]:
        return [self.made.normal(size=(len(inputs["frames"]), self.dimension)).astype(np.float32)]


def test_frames_that_are_not_what_the_network_takes_fail(bundle: Path, proved_on: Path) -> None:
    """As if the colours were wrong: a network that sees nothing."""
    opened, folder = Bundle.open(bundle), read_labelled_folder(proved_on, SOURCE_PATTERN)
    with pytest.raises(SelfTestError, match="lower than chance explains"):
        check_episodes(opened, Blind(opened.manifest.dimension), folder)


def test_a_network_that_gives_no_embeddings_fails(bundle: Path, proved_on: Path) -> None:
    folder = read_labelled_folder(proved_on, SOURCE_PATTERN)
    with pytest.raises(SelfTestError, match=r"gives float32 \(1, 7\) for a frame"):
        check_episodes(Bundle.open(bundle), Blind(7), folder)


def test_a_variants_own_accuracy_goes_before_the_bundles(copy: Path, proved_on: Path) -> None:
    stated = Bundle.open(copy).report()["episodes"]
    edit_report(
        copy,
        lambda report: (
            report["variants"]["fp32"].update(episodes=json.loads(json.dumps(stated))),
            report["episodes"]["bundle"].update(accuracy=1.0, ci95=0.0),
        ),
    )
    folder = read_labelled_folder(proved_on, SOURCE_PATTERN)
    assert not failed(copy, data=folder)


def test_too_few_classes_for_the_reports_episodes_fail(bundle: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(draw_folder(tmp_path / "few", range(3)))
    assert "3 classes have that many" in failed(bundle, data=folder)["episodes"]


def test_an_image_that_cannot_be_read_fails(bundle: Path, proved_on: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(proved_on, tmp_path / "data"))
    (data / "figure200" / "hand0-0.png").write_bytes(b"x")
    told = failed(bundle, data=read_labelled_folder(data, SOURCE_PATTERN))["episodes"]
    assert "hand0-0.png" in told


LIES: list[dict[str, Any]] = [
    {"way": 1},
    {"way": True},
    {"way": 2**40},
    {"way": "5"},
    {"shot": 10**6},
    {"query": 0},
    {"seed": -1},
    {"accuracy": 1.5},
    {"accuracy": None},
    {"ci95": -0.1},
    {"ci95": "wide"},
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_report_that_lies_fails_and_does_not_run_without_end(
    copy: Path, proved_on: Path, lie: dict[str, Any]
) -> None:
    edit_report(copy, lambda report: report["episodes"]["bundle"].update(lie))
    assert list(failed(copy, data=read_labelled_folder(proved_on, SOURCE_PATTERN))) == ["episodes"]


@pytest.mark.parametrize("lie", [{"episodes": []}, {"variants": []}, {"proved_on": 7}, {"proved_on": {"classes": "x"}}])
def test_a_report_without_its_parts_is_no_traceback(copy: Path, tmp_path: Path, lie: dict[str, Any]) -> None:
    edit_report(copy, lambda report: report.update(lie))
    others = read_labelled_folder(draw_folder(tmp_path / "others", range(300, 330)), SOURCE_PATTERN)
    assert set(failed(copy, data=others)) <= {"episodes"}


def test_mistakes_on_the_command_line_are_told(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("verify", bundle, "--source-pattern", "x").exit_code == 2
    result = cli("verify", bundle, "--data", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "does not exist; a folder of class folders was expected" in result.output
    with pytest.raises(DataError):
        read_labelled_folder(tmp_path / "nowhere")
