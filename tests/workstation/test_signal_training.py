"""Backbones for signals: trained on a folder of windows, evaluated beside raw samples, resumed to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from edgefew_export.checkpoint import read_checkpoint
from edgefew_runtime import InputSpec, SignalInput

from edgefew.baseline import raw_signal
from edgefew.training.augment_signal import SignalAugmentation
from tests.conftest import SOURCE_PATTERN, Cli
from tests.signals import SAMPLES, make_folder, make_signal

BUDGET = ["--way", 4, "--source-pattern", SOURCE_PATTERN, "--device", "cpu", "--samples", 32]


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("waves") / "waves", range(8))


def test_a_checkpoint_of_signals_says_what_it_takes(signal_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(signal_checkpoint)
    assert checkpoint.input == InputSpec.signal(SAMPLES, 2, seconds=0.5)
    assert checkpoint.backbone == "resnet1d"
    assert checkpoint.held_out.frames.dtype == np.float32
    assert checkpoint.held_out.raw(checkpoint.input).shape[1:] == (SAMPLES, 2)


def test_evaluation_across_machines_beats_chance_beside_raw_samples(
    cli: Cli, signal_checkpoint: Path, signal_bundle: Path, tmp_path: Path
) -> None:
    data = make_folder(tmp_path / "data", range(50, 60))
    options = ["--source-pattern", SOURCE_PATTERN, "--episodes", 100]
    result = cli("evaluate", signal_checkpoint, data, "--against", signal_bundle, *options, "--json")
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert measured["accuracy"] > 0.8
    assert measured["agreement"] > 0.99
    result = cli("evaluate", "raw-signal", data, *options, "--json")
    assert 0.2 < json.loads(result.stdout)["accuracy"] <= 1
    result = cli("evaluate", signal_checkpoint, data, "--against", "raw-pixels", *options)
    assert (result.exit_code, "takes signals and raw-pixels images" in result.stderr) == (2, True)


def test_constants_are_those_of_the_training_classes(cli: Cli, waves: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.ckpt"
    result = cli("train", waves, "--out", out, *BUDGET, "--episodes", 2, "--normalize", "constant")
    assert result.exit_code == 0, result.output
    spec = read_checkpoint(out).input
    assert isinstance(spec, SignalInput)
    assert (spec.normalize, len(spec.mean), len(spec.std)) == ("constant", 2, 2)
    assert all(1.5 < mean < 2.5 for mean in spec.mean)  # sources lie at 0, 2 and 4
    assert all(1.5 < std < 3 for std in spec.std)


def test_a_resumed_training_ends_with_the_same_weights(cli: Cli, waves: Path, tmp_path: Path) -> None:
    from edgefew_export.labelled_folder import read_labelled_folder

    from edgefew.training.config import TrainingConfig
    from edgefew.training.loop import train
    from edgefew.training.progress import Step

    folder = read_labelled_folder(waves, SOURCE_PATTERN)
    config = TrainingConfig(kind="signal", channels=2, samples=32, way=4, episodes=4, device="cpu")

    def stop(step: Step) -> None:
        if step.episode == 2:
            raise KeyboardInterrupt

    train(folder, tmp_path / "whole.ckpt", config)
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "parts.ckpt", config, on_step=stop)
    train(folder, tmp_path / "parts.ckpt", config, resume=True)
    whole, parts = read_checkpoint(tmp_path / "whole.ckpt"), read_checkpoint(tmp_path / "parts.ckpt")
    assert all(torch.equal(tensor, parts.weights[name]) for name, tensor in whole.weights.items())


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--image-size", 32], 2, "--image-size cannot be given: the folder holds signals"),
        (["--kind", "image"], 1, "holds no images"),
        (["--backbone", "conv4"], 1, "'conv4' takes no signals"),
        (["--channels", 3], 1, "has 2 channels, 3 expected"),
        (["--samples", 4], 1, "--samples 4 was given"),
    ],
)
def test_what_does_not_fit_signals_is_refused(
    cli: Cli, waves: Path, tmp_path: Path, options: list[object], code: int, says: str
) -> None:
    result = cli("train", waves, "--out", tmp_path / "c.ckpt", "--episodes", 2, "--way", 4, *options)
    assert result.exit_code == code
    assert says in " ".join(result.stderr.split())


def test_augmentation_changes_each_window_and_keeps_its_scale() -> None:
    windows = torch.from_numpy(np.stack([make_signal(kind, 0, 0, 256).T for kind in range(64)]))

    def augmented(seed: int, **settings: float) -> torch.Tensor:
        return SignalAugmentation(**settings)(windows, torch.Generator().manual_seed(seed))

    assert torch.equal(augmented(0), augmented(0))
    assert not torch.equal(augmented(0), augmented(1))
    still = {"shift": 0.0, "stretch": 0.0, "scale": 0.0, "noise": 0.0, "dropout": 0.0}
    assert torch.allclose(augmented(0, **still), windows, atol=1e-4)
    moved = augmented(0, **{**still, "shift": 0.05})
    assert torch.allclose(moved.std(dim=2), windows.std(dim=2), rtol=0.2)
    waves = augmented(0, **{**still, "wander": 1.0}) - windows
    spectrum = torch.fft.rfft(waves).abs().square()
    assert spectrum[:, :, :8].sum() / spectrum.sum() > 0.95
    assert (waves.abs().amax(dim=2) < 1.01 * windows.std(dim=2, correction=0) + 1e-3).all()
    off = augmented(0, **{**still, "dropout": 1.0}).std(dim=2) < 1e-4
    assert off.sum(dim=1).tolist() == [1] * 64
    assert not (SignalAugmentation(dropout=1.0)(windows[:, :1], torch.Generator()).std(dim=2) < 1e-4).any()


def test_raw_samples_do_not_depend_on_gain_offset_or_rate() -> None:
    window = make_signal(3, 0, 0, 300)
    vectors = raw_signal([window, window * 5 + 3, np.repeat(window, 4, axis=0)])
    assert ((vectors @ vectors.T) > 0.99).all()
