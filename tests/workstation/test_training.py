"""Training: what it writes, that it repeats, resumes and learns, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.evaluation import Evaluation
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_runtime import DataError, FrameError, TrainingError
from PIL import Image
from safetensors import safe_open

from edgefew.training import loop
from edgefew.training.augment import Augmentation
from edgefew.training.config import TrainingConfig
from edgefew.training.dataset import Frames, split_classes
from edgefew.training.loop import train
from edgefew.training.progress import Step
from tests.conftest import SOURCE_PATTERN, Cli, draw_class, draw_folder


def config(**changes: object) -> TrainingConfig:
    settings = {"way": 5, "image_size": 16, "channels": 1, "episodes": 12, "device": "cpu"} | changes
    return TrainingConfig(**settings)  # type: ignore[arg-type]


def test_a_checkpoint_carries_what_it_needs(checkpoint: Path, training_folder: Path) -> None:
    loaded = read_checkpoint(checkpoint)
    assert (loaded.backbone, loaded.input.size, loaded.input.channels) == ("conv4", (16, 16), 1)
    assert loaded.training["config"]["episodes"] == 60
    assert loaded.training["classes"] == 34
    assert len(set(loaded.held_out.labels.tolist())) == 6
    assert loaded.held_out.sources is not None
    network = loaded.network()
    assert not network.training
    assert str(training_folder) not in json.dumps(dict(loaded.training))


def test_a_checkpoint_holds_tensors_and_text_alone(checkpoint: Path) -> None:
    with safe_open(checkpoint, "pt") as file:
        assert set(file.metadata()) == {"edgefew"}
        assert all(name.startswith(("backbone.", "held_out.")) for name in file.keys())  # noqa: SIM118


def test_it_learns(checkpoint: Path, unseen_folder: Path, cli: Cli) -> None:
    def accuracy(model: object) -> float:
        options = ["--way", "5", "--episodes", "200", "--source-pattern", SOURCE_PATTERN, "--json"]
        return float(json.loads(cli("evaluate", model, unseen_folder, *options).stdout)["accuracy"])

    assert accuracy(checkpoint) > 0.6
    with (checkpoint.parent / "figures.ckpt.log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["episode"]) == 60
    assert float(rows[-1]["validation_accuracy"]) > 0.5


def test_interrupted_and_resumed_is_the_same_as_not_interrupted(training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    train(folder, tmp_path / "whole.ckpt", config())

    def stop(step: Step) -> None:
        if step.episode == 5:
            raise KeyboardInterrupt

    parts = tmp_path / "parts.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(folder, parts, config(), on_step=stop)
    assert not parts.exists()
    train(folder, parts, config(), resume=True)
    whole, resumed = read_checkpoint(tmp_path / "whole.ckpt"), read_checkpoint(parts)
    assert resumed.training == whole.training
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in whole.weights.items())
    assert resumed.scale == whole.scale
    assert not (tmp_path / "parts.ckpt.resume").exists()


def test_resume_refuses_another_run(training_folder: Path, unseen_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    out = tmp_path / "a.ckpt"

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingError, match="nothing to resume"):
        train(folder, out, config(), resume=True)
    with pytest.raises(KeyboardInterrupt):
        train(folder, out, config(), on_step=stop)
    with pytest.raises(TrainingError, match="seed was 0, now 1"):
        train(folder, out, config(seed=1), resume=True)
    with pytest.raises(TrainingError, match="data_sha256"):
        train(read_labelled_folder(unseen_folder, SOURCE_PATTERN), out, config(), resume=True)


def test_ctrl_c_keeps_everything_for_resume(training_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.ckpt"
    edgefew = Path(sys.executable).with_name("edgefew")
    options = [
        "--channels",
        "1",
        "--image-size",
        "16",
        "--way",
        "5",
        "--device",
        "cpu",
        "--source-pattern",
        SOURCE_PATTERN,
    ]
    command = [str(edgefew), "train", str(training_folder), "--out", str(out), *options, "--episodes", "400"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while not out.exists():  # the first validation, at episode 200
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "the same command with --resume" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "a.ckpt.resume").exists()
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["episodes"] == 400
    assert not (tmp_path / "a.ckpt.resume").exists()


@pytest.mark.parametrize(("accuracies", "kept"), [((0.5, 0.9, 0.89, 0.7, 0.88), 5), ((0.5, 0.9, 0.89, 0.7, 0.87), 3)])
def test_the_latest_within_the_interval_of_the_best_is_kept(
    accuracies: tuple[float, ...],
    kept: int,
    training_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = iter(accuracies)
    monkeypatch.setattr(loop, "VALIDATE_EVERY", 1)
    monkeypatch.setattr(loop, "validate", lambda *_: Evaluation(next(measured), 0.0201, 5, 1, 1, 200, 0))
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    trained = train(folder, tmp_path / "a.ckpt", config(episodes=5))
    told = read_checkpoint(tmp_path / "a.ckpt").training
    assert (told["episode"], told["validation"]["accuracy"]) == (kept, accuracies[kept - 1])
    assert trained.validation == accuracies[kept - 1]


def test_time_is_a_budget_too(training_folder: Path, tmp_path: Path) -> None:
    seconds = iter(range(0, 10_000, 3))
    trained = train(
        read_labelled_folder(training_folder, SOURCE_PATTERN),
        tmp_path / "a.ckpt",
        config(episodes=None, minutes=1),
        clock=lambda: float(next(seconds)),
    )
    assert 10 < trained.episodes <= 20  # the clock is read once a step, and when the state is saved


def test_unreadable_images_stop_or_are_counted(training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    data = Path(shutil.copytree(training_folder, tmp_path / "data"))
    (data / "figure103" / "hand0-bad.png").write_text("no image")
    with pytest.raises(FrameError, match=r"hand0-bad\.png"):
        train(read_labelled_folder(data), tmp_path / "a.ckpt", config())
    options = ["--episodes", 3, "--way", 3, "--image-size", 16, "--json", "--skip-bad"]
    result = cli("train", data, "--out", tmp_path / "b.ckpt", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["skipped"] == 1


def test_colour_is_kept_when_asked(tmp_path: Path) -> None:
    for kind in range(8):
        folder = tmp_path / "colours" / f"c{kind}"
        folder.mkdir(parents=True)
        for take in range(4):
            Image.new("RGB", (20, 20), (32 * kind, 255 - 30 * kind, 40 + take)).save(folder / f"{take}.png")
    train(read_labelled_folder(tmp_path / "colours"), tmp_path / "c.ckpt", config(channels=3, way=3, episodes=3))
    assert read_checkpoint(tmp_path / "c.ckpt").held_out.frames.shape[-1] == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"episodes": None}, "Neither --episodes nor --minutes"),
        ({"channels": 2}, "--channels 2"),
        ({"image_size": 8}, "--image-size 8"),
        ({"frame": 48}, "--frame 48 was given; 16 to --image-size, here 16, was expected"),
        ({"frame": 16, "kind": "signal"}, "--frame 16 was given; .* for images"),
        ({"episodes": -1}, "--episodes -1"),
        ({"episodes": 0}, "--episodes 0"),
        ({"minutes": float("nan")}, "--minutes nan"),
        ({"minutes": 0.0}, "--minutes 0"),
        ({"learning_rate": -1.0}, "--learning-rate -1"),
        ({"scale": 0.0}, "--scale 0"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        config(**changes)


def test_data_that_is_too_small_is_refused(training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    with pytest.raises(DataError, match="50-way 1-shot episodes need 50 classes"):
        train(folder, tmp_path / "a.ckpt", config(way=50))
    with pytest.raises(DataError, match="13 support"):
        train(folder, tmp_path / "a.ckpt", config(shot=13))
    few, _ = folder.select_classes(folder.labels[:1])
    with pytest.raises(DataError, match="has 1 classes"):
        train(few, tmp_path / "a.ckpt", config())
    assert not list(tmp_path.iterdir())


def test_nothing_is_trained_over(checkpoint: Path, training_folder: Path, cli: Cli) -> None:
    before = checkpoint.read_bytes()
    result = cli("train", training_folder, "--out", checkpoint, "--episodes", 1)
    assert result.exit_code == 1
    assert "exists already. Use --replace" in result.stderr
    assert checkpoint.read_bytes() == before


def test_augmentation_changes_each_image_and_repeats_with_its_generator() -> None:
    images = torch.rand(6, 1, 20, 20) * 255
    augment = Augmentation()
    one = augment(images, torch.Generator().manual_seed(3))
    again = augment(images, torch.Generator().manual_seed(3))
    assert torch.equal(one, again)
    assert all(not torch.equal(a, b) for a, b in zip(one, images, strict=True))
    assert one.min() >= 0
    assert one.max() <= 255.001
    still = Augmentation(0, 0, 0, 0, 0)(images, torch.Generator().manual_seed(3))
    assert torch.allclose(still, images, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_it_trains_on_a_gpu(training_folder: Path, tmp_path: Path) -> None:
    trained = train(
        read_labelled_folder(training_folder, SOURCE_PATTERN), tmp_path / "g.ckpt", config(device="auto", episodes=30)
    )
    assert trained.device == "cuda"
    assert read_checkpoint(tmp_path / "g.ckpt").network() is not None


def test_a_gpu_that_is_not_there_is_said(training_folder: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU here")
    with pytest.raises(TrainingError, match="finds no CUDA GPU"):
        train(read_labelled_folder(training_folder), tmp_path / "g.ckpt", config(device="cuda"))


def test_a_failed_replacement_keeps_the_old_checkpoint(training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "dear.ckpt"
    out.write_bytes(b"dear")
    for arguments in (["nowhere"], [training_folder, "--way", 99], [training_folder, "--resume"]):
        assert cli("train", *arguments, "--out", out, "--episodes", 2, "--replace").exit_code != 0
        assert out.read_bytes() == b"dear"


def test_tracks_of_their_own_train_to_the_end(tmp_path: Path) -> None:
    data = tmp_path / "tracks"
    for kind in range(12):
        folder = data / f"sign{kind}"
        folder.mkdir(parents=True)
        for track in range(2):
            for take in range(2):
                draw_class(kind, track, take).save(folder / f"s{kind}t{track}_{take}.png")
    folder = read_labelled_folder(data, r"^(s\d+t\d)_")
    trained = train(folder, tmp_path / "t.ckpt", config(way=8, query=2, episodes=25))
    assert trained.episodes == 25


def test_every_held_out_class_is_in_the_checkpoint(monkeypatch: pytest.MonkeyPatch, training_folder: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    values = torch.zeros(len(folder), 1, 4, 4, dtype=torch.uint8)
    images = Frames(values, folder.labels, folder.sources, 40, folder.groups, folder.roots)
    monkeypatch.setattr("edgefew.training.dataset.MAX_HELD_OUT_BYTES", 16 * 40 * 2)
    kept = images.held_out()
    assert np.bincount(kept.labels).tolist() == [2] * 40
    assert kept.sources is not None
    assert all(len(set(kept.sources[kept.labels == label])) == 2 for label in range(40))


def test_classes_that_cannot_be_asked_about_are_not_held_out(tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", range(9))
    for folder in sorted(data.iterdir())[:4]:
        for file in sorted(folder.iterdir())[1:]:
            file.unlink()
    for seed in range(5):
        _, held = split_classes(read_labelled_folder(data, SOURCE_PATTERN), seed)
        assert set(held) <= {4, 5, 6, 7, 8}
    with pytest.raises(DataError, match="images of 2 sources"):
        split_classes(read_labelled_folder(draw_folder(tmp_path / "few", range(9), sources=1), SOURCE_PATTERN), 0)
