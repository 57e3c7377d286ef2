"""Networks of signals become bundles: from a factory, an ONNX file and a checkpoint; and why they are refused."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from edgefew_export.backbones import build_backbone
from edgefew_export.backbones.resnet1d import ResNet1d
from edgefew_export.graphs import embed_graph, preprocessing_graph, serialize
from edgefew_export.labelled_folder import read_frames, read_labelled_folder
from edgefew_export.preprocessing import EmbeddingNetwork, preprocessing_of, resample, resize
from edgefew_export.sources import DeclaredInput, DeclaredSignal, open_source
from edgefew_runtime import Bundle, CheckpointError, Classifier, DataError, FrameError, InputSpec, SourceError
from edgefew_runtime.session import OrtSession
from PIL import Image

from tests.conftest import ROOT, SOURCE_PATTERN, Cli
from tests.signals import make_folder, make_signal

SPECTRUM = "examples.signal_backbone:spectrum"
DECLARED = ["--kind", "signal", "--samples", 128, "--channels", 2, "--normalize", "window"]


@pytest.fixture
def _in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("channels", [1, 3, 12])
@pytest.mark.parametrize("length", [16, 100])
def test_a_window_of_any_length_is_resampled_as_the_reference_does(length: int, channels: int) -> None:
    spec = InputSpec.signal(length, channels, "none")
    session = OrtSession(serialize(preprocessing_graph(spec), "preprocessing", {}))
    for samples in (1, 2, 15, 16, 17, 99, 100, 101, 333, 5000):
        windows = np.random.default_rng(samples).normal(size=(2, samples, channels)).astype(np.float32)
        windows[:, -1] += 1  # not flat, however short
        ours, usable = session.run({"frames": windows})
        theirs = np.stack([resample(window, length).T for window in windows])
        if samples > 1:
            assert usable.all()
            assert np.abs(ours - theirs).max() < 2e-4


def test_the_reference_resamples_as_pillow_does() -> None:
    for samples, length in ((300, 64), (40, 64), (64, 64), (1000, 17)):
        values = np.random.default_rng(0).normal(size=samples).astype(np.float32)
        pillow = Image.fromarray(values[None]).resize((length, 1), Image.Resampling.BILINEAR)
        assert np.abs(resample(values[:, None], length)[:, 0] - np.asarray(pillow)[0]).max() < 1e-5


def test_what_is_below_the_new_rate_survives_and_what_is_above_goes() -> None:
    time = np.arange(4096) / 4096
    slow, fast = np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 1500 * time)
    kept = resample((slow + fast).astype(np.float32)[:, None], 256)[:, 0]
    assert np.abs(kept - np.sin(2 * np.pi * 5 * (np.arange(256) + 0.5) / 256)).max() < 0.05


def test_each_normalisation_is_what_the_network_sees() -> None:
    window = make_signal(1, 0, 0) * 3 + 8
    frames = torch.from_numpy(window[None])
    plain = preprocessing_of(InputSpec.signal(64, 2, "none"))(frames)
    assert torch.equal(plain[0], torch.from_numpy(window.T))
    constant = preprocessing_of(InputSpec.signal(64, 2, "constant", (8.0, 7.0), (3.0, 2.0)))(frames)
    assert np.allclose(constant[0].numpy(), (window.T - [[8], [7]]) / [[3], [2]], atol=1e-5)
    each = preprocessing_of(InputSpec.signal(64, 2, "window"))(frames)
    assert np.allclose(each.mean(dim=2), 0, atol=1e-5)
    assert np.allclose(each.std(dim=2, correction=0), 1, atol=1e-5)


def test_a_channel_that_is_off_counts_as_zero_and_the_gain_does_not_count() -> None:
    spec = InputSpec.signal(64, 2)
    preprocessing = preprocessing_of(spec)
    window = make_signal(1, 0, 0)
    off = window.copy()
    off[:, 1] = 4711.3
    seen = preprocessing(torch.from_numpy(off[None]))
    assert not seen[0, 1].any()
    assert torch.allclose(seen[0, 0], preprocessing(torch.from_numpy(window[None] * 1000))[0, 0], atol=1e-4)


@pytest.mark.parametrize("normalize", ["window", "constant", "none"])
def test_the_graph_equals_pytorch_at_any_batch(normalize: str) -> None:
    constants = ((0.5, 1.0), (2.0, 3.0)) if normalize == "constant" else ((), ())
    spec = InputSpec.signal(64, 2, normalize, *constants)
    torch.manual_seed(0)
    network = EmbeddingNetwork(build_backbone("resnet1d", spec), spec).eval()
    session = OrtSession(serialize(embed_graph(network, spec), "embed", {}))
    windows = np.stack([make_signal(kind, 1, 0) for kind in range(5)])
    windows[3] = 2.5  # flat
    for batch in (1, 2, 5):
        with torch.inference_mode():
            theirs = network(torch.from_numpy(windows[:batch])).numpy()
        assert np.abs(session.run({"frames": windows[:batch]})[0] - theirs).max() < 1e-5
    assert not session.run({"frames": windows})[0][3].any()


def test_a_backbone_is_for_one_kind() -> None:
    assert ResNet1d(64, 2)(torch.zeros(3, 2, 64)).shape == (3, ResNet1d(64, 2).dimension)
    with pytest.raises(CheckpointError, match="'conv4' takes no signals; those that do: resnet1d"):
        build_backbone("conv4", InputSpec.signal(64, 2))
    with pytest.raises(CheckpointError, match="'resnet1d' takes no images"):
        build_backbone("resnet1d", InputSpec.image(32, 1, (0.5,), (0.5,)))


@pytest.mark.usefixtures("_in_root")
def test_the_examples_factory_becomes_a_bundle_that_a_device_uses(cli: Cli, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", range(300, 310), takes=1)
    options = [*DECLARED, "--seconds", 0.5, "--data", data, "--source-pattern", SOURCE_PATTERN]
    result = cli("export", SPECTRUM, tmp_path / "b.edgefew", *options)
    assert result.exit_code == 0, result.output
    assert "✓ 100.00% of" in result.stdout
    spec = Bundle.open(tmp_path / "b.edgefew").manifest.input
    assert spec == InputSpec.signal(128, 2, "window", seconds=0.5)
    card = (tmp_path / "b.edgefew" / "model-card.md").read_text()
    assert "A window lasts 0.5 s" in card
    assert "normalised (window)" in card
    with Classifier.open(tmp_path / "b.edgefew", false_accept_rate=None) as classifier:
        classifier.enroll("one", [make_signal(1, s, 0) for s in range(2)])
        classifier.enroll("two", [make_signal(2, s, 0) for s in range(2)])
        assert classifier.classify(make_signal(1, 2, 1, samples=640)).label == "one"


@pytest.mark.usefixtures("_in_root")
def test_a_projection_leaves_windows_that_cannot_be_used_without_direction(cli: Cli, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", range(300, 306), takes=1)
    other = make_folder(tmp_path / "other", range(400, 410), takes=2)
    options = [*DECLARED, "--data", data, "--source-pattern", SOURCE_PATTERN]
    project = ["--project", "whiten", "--project-data", other, "--dimension", 8]
    result = cli("export", SPECTRUM, tmp_path / "b.edgefew", *options, *project)
    assert result.exit_code == 0, result.output
    session = OrtSession(Bundle.open(tmp_path / "b.edgefew").model("embed"))
    windows = np.stack([make_signal(1, 0, 0), np.full((64, 2), 3, np.float32)])
    lengths = np.linalg.norm(session.run({"frames": windows})[0], axis=1)
    assert lengths == pytest.approx([1, 0], abs=1e-5)


@pytest.mark.usefixtures("_in_root")
def test_an_onnx_file_of_signals_says_its_own_size(cli: Cli, tmp_path: Path) -> None:
    from examples.signal_backbone import spectrum

    file = io.BytesIO()
    warnings.simplefilter("ignore")  # of torch's own exporter; pytest puts the filters back
    program = torch.onnx.export(
        spectrum(),
        (torch.zeros(2, 2, 128),),
        input_names=["signals"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        opset_version=18,
        dynamo=True,
    )
    assert program is not None
    program.save(file)
    (tmp_path / "s.onnx").write_bytes(file.getvalue())
    data = make_folder(tmp_path / "data", range(300, 306), takes=1)
    proof = ["--data", data, "--source-pattern", SOURCE_PATTERN]
    result = cli(
        "export", tmp_path / "s.onnx", tmp_path / "b.edgefew", *proof, "--kind", "signal", "--normalize", "window"
    )
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(tmp_path / "b.edgefew")
    assert bundle.manifest.input == InputSpec.signal(128, 2)
    session = OrtSession(bundle.model("embed"))
    assert not session.run({"frames": np.full((1, 70, 2), np.nan, np.float32)})[0].any()
    with pytest.raises(SourceError, match=r"as a network of signals does\. Give --kind signal"):
        open_source(str(tmp_path / "s.onnx"), DeclaredInput())
    with pytest.raises(SourceError, match="was declared for one frame"):
        open_source(str(tmp_path / "s.onnx"), DeclaredSignal(64, normalize="none"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--kind", "signal", "--image-size", 32, "--order", "BGR"], "--image-size, --order: of images alone"),
        (["--samples", 64, "--mean", "1,2"], "--samples, --mean: of signals alone, and the kind is image"),
        (["--channels", 2], "an image has 1 or 3"),
        (["--kind", "signal", "--mean", "a,b"], "is no list of numbers"),
    ],
)
def test_options_of_the_other_kind_are_refused(cli: Cli, tmp_path: Path, options: list[object], says: str) -> None:
    result = cli("export", SPECTRUM, tmp_path / "b.edgefew", *options)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())


@pytest.mark.usefixtures("_in_root")
@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (DeclaredSignal(), "--samples, --channels, --normalize must be given"),
        (DeclaredSignal(128, 2), "--normalize must be given"),
        (DeclaredSignal(128, 2, "constant"), "do not fit"),
        (DeclaredSignal(128, 2, "constant", (0.0,), (1.0,)), "do not fit"),
        (DeclaredSignal(128, 2, "window", (0.0, 0.0), (1.0, 1.0)), "do not fit"),
        (DeclaredSignal(64, 2, "none"), r"cannot take float32 \[3, 2, 64\]"),
    ],
)
def test_a_signal_must_be_declared_whole(declared: DeclaredSignal, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        open_source(SPECTRUM, declared)


def test_sources_of_images_refuse_signals(signal_checkpoint: Path) -> None:
    for name in ("efficientnet_lite0", "timm:resnet18"):
        with pytest.raises(SourceError, match="is a network of images; --kind signal"):
            open_source(name, DeclaredSignal(64, 2, "window"))
    with pytest.raises(SourceError, match="has its own; an input"):
        open_source(str(signal_checkpoint), DeclaredSignal())


def test_a_folder_is_of_one_kind(cli: Cli, signal_checkpoint: Path, unseen_folder: Path, tmp_path: Path) -> None:
    waves = make_folder(tmp_path / "waves", range(2))
    assert read_labelled_folder(waves).kind == "signal"
    assert read_labelled_folder(unseen_folder).kind == "image"
    (waves / "wave000" / "plot.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds 1 images .* and 12 signals .* --kind"):
        read_labelled_folder(waves)
    assert len(read_labelled_folder(waves, kind="signal")) == 12
    with pytest.raises(DataError, match="holds no signals"):
        read_labelled_folder(unseen_folder, kind="signal")
    result = cli("export", signal_checkpoint, tmp_path / "b.edgefew", "--data", unseen_folder)
    assert (result.exit_code, "holds images; the network takes signals" in result.stderr) == (1, True)


def test_all_windows_of_a_folder_have_the_channels_of_the_first(tmp_path: Path) -> None:
    waves = make_folder(tmp_path / "waves", range(2))
    np.save(waves / "wave001" / "machine0-9.npy", np.zeros((64, 3)))
    with pytest.raises(FrameError, match=r"machine0-9\.npy has 3 channels, 2 expected"):
        list(read_frames(read_labelled_folder(waves)))
    bad: list[FrameError] = []
    assert len(list(read_frames(read_labelled_folder(waves), bad.append))) == 12
    assert len(bad) == 1
    with pytest.raises(FrameError, match="network takes float32"):
        resize(np.zeros((64, 3), np.float32), InputSpec.signal(64, 2))
