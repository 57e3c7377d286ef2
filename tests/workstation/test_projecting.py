"""The projection that a training ends with: fitted on its classes, the network's last layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from edgefew_export.checkpoint import Checkpoint, read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import evaluate
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_export.projection import KINDS, Projection, fit_projection
from edgefew_runtime import TrainingError, head

from edgefew.training import projecting
from edgefew.training.config import TrainingConfig
from edgefew.training.dataset import Frames, load_frames, split_classes
from edgefew.training.loop import train
from edgefew.training.progress import Trained
from edgefew.training.validation import embed
from tests.conftest import SOURCE_PATTERN, Cli


def config(**changes: object) -> TrainingConfig:
    settings = {"way": 5, "image_size": 16, "channels": 1, "episodes": 12, "device": "cpu"}
    return TrainingConfig(**(settings | changes))  # type: ignore[arg-type]


def trained(folder: Path, out: Path, **changes: object) -> Trained:
    return train(read_labelled_folder(folder, SOURCE_PATTERN), out, config(**changes))


def frames_of(folder: Path, like: Checkpoint, scratch: Path) -> tuple[Frames, Frames]:
    """What a training on the folder trained on, and what it was validated on."""
    read = read_labelled_folder(folder, SOURCE_PATTERN)
    parts = [read.select_classes(classes)[0] for classes in split_classes(read, 0)]
    training, validation = (load_frames(part, like.input, None, scratch) for part in parts)
    return training, validation


@pytest.mark.parametrize(
    ("kind", "backbone", "sizes"), [*((kind, "conv4", [64]) for kind in KINDS), ("wccn", "conv4+resnet8", [64, 96])]
)
def test_it_is_that_of_the_training_classes_after_each_backbone(
    kind: str, backbone: str, sizes: list[int], training_folder: Path, tmp_path: Path
) -> None:
    told = trained(training_folder, tmp_path / "with.ckpt", project=kind, backbone=backbone)
    plain = trained(training_folder, tmp_path / "without.ckpt", backbone=backbone)
    checkpoint, without = read_checkpoint(tmp_path / "with.ckpt"), read_checkpoint(tmp_path / "without.ckpt")
    assert told.validation_other == plain.validation
    assert (told.projected, plain.projected, plain.validation_other) == (True, False, None)
    assert checkpoint.training["validation"]["accuracy"] == told.validation

    training, validation = frames_of(training_folder, without, tmp_path)
    described = checkpoint.training["projection"]
    assert (described["classes"], described["images"]) == (training.classes, len(training.labels))
    known = embed(without.network(), training.values, "cpu")
    asked = embed(without.network(), validation.values, "cpu")
    ends = np.cumsum(sizes)[:-1]
    expected = [
        fit_projection(kind, head.unit(ours), training.labels, shrinkage=shrinkage).apply(head.unit(theirs))
        for ours, theirs, shrinkage in zip(
            np.split(known, ends, axis=1), np.split(asked, ends, axis=1), described["shrinkages"], strict=True
        )
    ]
    ours = embed(checkpoint.network(), validation.values, "cpu")
    assert np.allclose(ours, head.unit(np.concatenate(expected, axis=1)), atol=1e-5)


def test_the_shrinkage_is_the_most_of_those_that_the_validation_classes_cannot_tell_from_the_best() -> None:
    rng = np.random.default_rng(0)
    loud = np.where(np.arange(16) < 4, 4.0, 0.3)  # directions in which frames of one class differ

    def drawn(classes: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        labels = np.arange(classes).repeat(8)
        return head.unit(rng.normal(size=(classes, 16))[labels] + loud * rng.normal(size=(8 * classes, 16))), labels

    (known, labels), (asked, others) = drawn(60), drawn(20)
    sampler = EpisodeSampler(others, way=10, shot=1, query=1, seed=0)
    made, shrinkage = projecting._best("wccn", known, labels, asked, sampler)
    told = {
        weight: evaluate(fit_projection("wccn", known, labels, shrinkage=weight).apply(asked), sampler, 600)
        for weight in projecting.SHRINKAGES
    }
    best = max(told.values(), key=lambda one: one.accuracy)
    assert best.ci95 is not None
    assert 0 <= best.accuracy - told[shrinkage].accuracy <= best.ci95 / 1.96
    assert all(best.accuracy - one.accuracy > best.ci95 / 1.96 for weight, one in told.items() if weight > shrinkage)
    assert shrinkage < max(projecting.SHRINKAGES)
    assert best.accuracy > evaluate(asked, sampler, 600).accuracy + 0.1
    assert np.array_equal(made.matrix, fit_projection("wccn", known, labels, shrinkage=shrinkage).matrix)
    assert projecting._best("centre", known, labels, asked, sampler)[1] is None  # it has no covariance


def test_it_is_fitted_on_a_bounded_number_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(*sizes: int) -> npt.NDArray[np.int64]:
        """How many of each class are taken."""
        labels = np.random.default_rng(0).permutation(np.arange(len(sizes)).repeat(sizes))
        none = np.zeros(len(sizes), np.int64)
        frames = Frames(torch.zeros(len(labels), 1), labels, None, len(sizes), none, none)
        rows = projecting._some(frames, 0)
        assert len(np.unique(rows)) == len(rows)
        assert np.array_equal(rows, projecting._some(frames, 0))
        return np.bincount(labels[rows], minlength=len(sizes))

    monkeypatch.setattr(projecting, "MOST_FRAMES", 300)
    assert kept(10, 20, 5).tolist() == [10, 20, 5]
    assert kept(1000, 1000, 1000).tolist() == [100, 100, 100]  # few and large: as many of each
    some = kept(*[6] * 100)  # many and small: half of them, whole
    assert sorted(some.tolist()) == [0] * 50 + [6] * 50
    many = kept(*[500] * 20)  # large and many: 64 of each of as many as there is room for
    assert sorted(many.tolist()) == [0] * 16 + [64] * 4
    assert kept(5, 0, 7, 3).tolist() == [5, 0, 7, 3]  # one whose every file was unreadable


def test_too_few_classes_for_it_are_refused_before_anything_is_trained(training_folder: Path, tmp_path: Path) -> None:
    read = read_labelled_folder(training_folder, SOURCE_PATTERN)
    few, others = read.select_classes(np.arange(2))[0], read.select_classes(np.arange(2, 10))[0]
    says = "--project lda was given, and 2 classes to train on; at least 3 were expected"
    with pytest.raises(TrainingError, match=says):
        train(few, tmp_path / "a.ckpt", config(project="lda", way=2), held_out=others)
    assert not list(tmp_path.iterdir())


def test_a_network_of_too_many_values_is_refused_before_anything_is_trained(
    training_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="a backbone of 9216 values; at most 4096 were expected"):
        trained(training_folder, tmp_path / "a.ckpt", project="wccn", image_size=192, way=2)
    assert not list(tmp_path.iterdir())


def test_what_is_worse_with_it_is_left_without(
    training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    def harmful(*arguments: object, shrinkage: float) -> Projection:
        good = fit_projection(*arguments, shrinkage=shrinkage)  # type: ignore[arg-type]
        return replace(good, matrix=np.full_like(good.matrix, np.nan))

    monkeypatch.setattr(projecting, "fit_projection", harmful)
    common = ["--source-pattern", SOURCE_PATTERN, "--way", 5, "--episodes", 12, "--device", "cpu"]
    size = ["--channels", 1, "--image-size", 16]
    told = cli("train", training_folder, "--out", tmp_path / "a.ckpt", "--project", "wccn", *size, *common)
    assert told.exit_code == 0, told.output
    assert "with the projection, which was left out)" in told.output
    plain = trained(training_folder, tmp_path / "b.ckpt")
    ours, theirs = read_checkpoint(tmp_path / "a.ckpt"), read_checkpoint(tmp_path / "b.ckpt")
    assert ours.training["validation"] == theirs.training["validation"]
    assert ours.training["validation"]["accuracy"] == plain.validation
    assert "projected" not in ours.settings
    assert ours.training["validation_other"]["accuracy"] < theirs.training["validation"]["accuracy"]
    assert all(torch.equal(tensor, ours.weights[name]) for name, tensor in theirs.weights.items())


def test_stopped_at_its_end_and_resumed_it_is_fitted_once(
    training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = read_labelled_folder(training_folder, SOURCE_PATTERN), tmp_path / "a.ckpt"
    whole = trained(training_folder, tmp_path / "whole.ckpt", project="wccn")
    with monkeypatch.context() as patch:
        patch.setattr("edgefew.training.loop.with_projection", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trained(training_folder, out, project="wccn")
    state = out.with_name("a.ckpt.resume").read_bytes()
    for _ in range(2):  # the second time as if the end came between the checkpoint and the state's removal
        out.with_name("a.ckpt.resume").write_bytes(state)
        resumed = train(folder, out, config(project="wccn"), resume=True)
        assert (resumed.validation, resumed.validation_other) == (whole.validation, whole.validation_other)
        ours, theirs = read_checkpoint(out), read_checkpoint(tmp_path / "whole.ckpt")
        assert ours.training == theirs.training
        assert all(torch.equal(tensor, ours.weights[name]) for name, tensor in theirs.weights.items())


def test_another_training_starts_from_the_network_before_it(training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    out, second = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    common = ["--source-pattern", SOURCE_PATTERN, "--way", 5, "--episodes", 3, "--device", "cpu"]
    size = ["--channels", 1, "--image-size", 16, "--backbone", "resnet8+resnet8", "--frame", 16]
    told = cli("train", training_folder, "--out", out, "--project", "wccn", *size, *common)
    assert told.exit_code == 0, told.output
    assert "fitting the projection (wccn)" in told.output
    assert "before the projection)" in told.output
    told = cli("train", training_folder, "--out", second, "--init", out, "--learning-rate", 1e-12, *common)
    assert told.exit_code == 0, told.output
    before, after = read_checkpoint(out).weights, read_checkpoint(second).weights
    moving = ("running_mean", "running_var", "num_batches_tracked")
    for name, tensor in after.items():
        was = before[name.replace(".blocks", ".backbone.blocks", 1)]
        assert name.endswith(moving) or torch.allclose(tensor, was, atol=1e-6), name


def test_none_that_there_is_not(training_folder: Path) -> None:
    with pytest.raises(TrainingError, match="--project pca was given; none, centre, whiten, lda, wccn was expected"):
        config(project="pca")
