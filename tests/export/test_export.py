"""From checkpoint to bundle: the same bytes each time, nothing of this machine in them, all or nothing."""

from __future__ import annotations

import getpass
import json
import platform
import re
from pathlib import Path

import numpy as np
import pytest
from edgefew_export.bundle_writer import export_bundle
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_export.sources.trained import trained_source
from edgefew_runtime import Bundle, CheckpointError, DataError, ExportError, InputSpec

from tests.conftest import SOURCE_PATTERN, Cli, draw_folder


def contents(path: Path) -> dict[str, bytes]:
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    first, again = (tmp_path / place / "figures.edgefew" for place in ("here", "elsewhere"))
    for path in (first, again):
        path.parent.mkdir()
        export_bundle(trained_source(checkpoint), path)
    assert contents(again) == contents(first)
    assert len(contents(first)) > 5


def test_export_says_what_the_bundle_promises(cli: Cli, checkpoint: Path, unseen_folder: Path, tmp_path: Path) -> None:
    told = cli("export", checkpoint, tmp_path / "few.edgefew").stdout
    assert "! no false-accept rate is promised" in told
    assert "(62 are needed for 5 %)" in told
    folder = draw_folder(tmp_path / "more", range(300, 365), sources=2, takes=1)
    told = cli("export", checkpoint, tmp_path / "b.edgefew", "--data", folder).stdout
    assert "✓ false-accept rates promised from 65 unseen classes: 0.05 (up to 50 classes), 0.1 (up to 100" in told


def test_nothing_of_the_build_machine_is_in_any_file(bundle: Path, checkpoint: Path) -> None:
    long = {str(Path.home()), str(Path.cwd()), str(checkpoint.parent), "site-packages", ".venv"}
    short = {getpass.getuser(), platform.node()}
    for name, content in contents(bundle).items():
        assert not [word for word in long if word.encode() in content], name
        if not name.endswith((".onnx", ".npz")):  # a host named "vm" is in any large binary file
            text = content.decode()
            assert not [word for word in short if re.search(rf"\b{re.escape(word)}\b", text)], name


def test_no_frame_of_the_data_is_in_the_bundle(bundle: Path, checkpoint: Path) -> None:
    held_out = {
        frame.tobytes() for frame in read_checkpoint(checkpoint).held_out.raw(InputSpec.image(16, 1, (0.5,), (0.5,)))
    }
    frames, _ = Bundle.open(bundle).golden()
    assert not held_out & {frame.tobytes() for frame in frames}


def test_the_report_holds_what_was_measured(bundle: Path) -> None:
    report = Bundle.open(bundle).report()
    embedding = report["variants"]["fp32"]["embedding"]
    assert set(embedding["batch_sizes"]) == {"1", "2", "7"}
    assert all(b["max_abs_error"] < 1e-4 for b in embedding["batch_sizes"].values())
    episodes = report["episodes"]
    assert episodes["agreement"] >= 0.999
    assert episodes["bundle"]["episodes"] >= 200
    assert 0 < episodes["bundle"]["accuracy"] <= 1
    errors = report["calibration"]["expected_calibration_error"]
    assert 0 <= errors["after"] < errors["before"]
    card = (bundle / "model-card.md").read_text()
    assert f"off by {errors['after']:.1%}" in card
    assert f"{episodes['bundle']['accuracy']:.1%}" in card


def test_thresholds_rise_with_the_promise(bundle: Path) -> None:
    points = Bundle.open(bundle).manifest.operating_points
    for way, shot in {(p.way, p.shot) for p in points}:
        ordered = sorted((p for p in points if (p.way, p.shot) == (way, shot)), key=lambda p: p.false_accept_rate)
        thresholds = [p.threshold for p in ordered]
        assert thresholds == sorted(thresholds, reverse=True)
        recalls = [p.recall for p in ordered if p.recall is not None]
        assert recalls == sorted(recalls)


def test_a_failed_proof_leaves_no_bundle(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setattr("edgefew_export.proof.MAX_ERROR", 1e-12)
    result = cli("export", checkpoint, tmp_path / "never.edgefew")
    assert result.exit_code == 1
    assert "differ from the source's" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_is_there_is_replaced_only_when_asked(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.edgefew"
    first = export_bundle(trained_source(checkpoint), out)
    with pytest.raises(ExportError, match="--replace"):
        export_bundle(trained_source(checkpoint), out, version="2")
    assert Bundle.open(out).id == first.id
    second = export_bundle(trained_source(checkpoint), out, version="2", overwrite=True)
    assert second.id != first.id
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "dear.png").write_bytes(b"x")
    with pytest.raises(ExportError, match="is not a bundle"):
        export_bundle(trained_source(checkpoint), folder, overwrite=True)
    assert (folder / "dear.png").exists()


def test_it_can_be_proved_on_a_folder(checkpoint: Path, unseen_folder: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "figures.edgefew"
    result = cli("export", checkpoint, out, "--data", unseen_folder, "--source-pattern", SOURCE_PATTERN, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)["report"]
    assert report["proved_on"]["images"] == len(read_labelled_folder(unseen_folder))


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "There is no checkpoint"), (b"no checkpoint", "is not a checkpoint"), (b"", "is not a")],
)
def test_what_is_no_checkpoint_is_said(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "some.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        export_bundle(trained_source(path), tmp_path / "out.edgefew")


def test_a_damaged_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    for length in (7, 100, len(content) // 2, len(content) - 1):
        path = tmp_path / "cut.ckpt"
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def test_too_few_classes_to_prove_on_is_said(checkpoint: Path, unseen_folder: Path, tmp_path: Path) -> None:
    one, _ = read_labelled_folder(unseen_folder, SOURCE_PATTERN).select_classes(np.array([0]))
    with pytest.raises((ExportError, DataError), match=r"--data|classes"):
        export_bundle(trained_source(checkpoint), tmp_path / "out.edgefew", data=one)
    assert not list(tmp_path.iterdir())


def test_what_stops_an_export_leaves_nothing_behind(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: Path) -> None:
        assert path.is_dir()
        raise SystemExit(143)

    monkeypatch.setattr("edgefew_export.bundle_writer._check_as_device", stop)
    with pytest.raises(SystemExit):
        export_bundle(trained_source(checkpoint), tmp_path / "never.edgefew")
    assert not list(tmp_path.iterdir())
