"""`edgefew train --init`: another checkpoint is where a training starts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from edgefew_export.checkpoint import read_checkpoint

from tests.conftest import SOURCE_PATTERN, Cli


def test_another_checkpoint_is_a_start(checkpoint: Path, training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    options = ["--init", checkpoint, "--way", 8, "--source-pattern", SOURCE_PATTERN, "--episodes", 1]
    out = tmp_path / "b.ckpt"
    result = cli("train", training_folder, "--out", out, *options, "--learning-rate", 1e-9, "--head", "simpleshot")
    assert result.exit_code == 0, result.output
    first, second = read_checkpoint(checkpoint), read_checkpoint(out)
    assert (second.input, second.backbone) == (first.input, "conv4")
    assert second.training["init_sha256"] == first.sha256
    name = "blocks.0.weight"
    assert torch.allclose(first.weights[name], second.weights[f"backbone.{name}"], atol=1e-6)
    assert str(checkpoint) not in str(second.training)


def test_the_scale_that_a_head_learned_is_the_first_of_the_same_head(
    checkpoint: Path, training_folder: Path, tmp_path: Path, cli: Cli
) -> None:
    learned = tmp_path / "learned.ckpt"
    dataclasses.replace(read_checkpoint(checkpoint), scale=27.5).save(learned)
    options = ["--init", learned, "--way", 8, "--source-pattern", SOURCE_PATTERN, "--episodes", 1, "--json"]

    def first_scale(*more: object) -> float:
        out = tmp_path / "b.ckpt"
        result = cli("train", training_folder, "--out", out, "--replace", *options, "--learning-rate", 1e-9, *more)
        assert result.exit_code == 0, result.output
        scale = read_checkpoint(out).training["config"]["scale"]
        assert read_checkpoint(out).scale == pytest.approx(scale)
        return float(scale)

    assert first_scale() == 27.5
    assert first_scale("--scale", 12) == 12
    assert first_scale("--head", "ridge") == 10


def test_a_start_that_does_not_fit_is_refused(
    checkpoint: Path, signal_checkpoint: Path, training_folder: Path, tmp_path: Path, cli: Cli
) -> None:
    def told(*options: object) -> str:
        result = cli("train", training_folder, "--out", tmp_path / "b.ckpt", "--episodes", 1, "--way", 5, *options)
        assert result.exit_code == 1
        return " ".join(result.stderr.split())

    assert "those of a conv4 with 1 channels and do not fit" in told("--init", checkpoint, "--backbone", "resnet8")
    assert "those of a conv4 with 1 channels and do not fit" in told("--init", checkpoint, "--channels", 3)
    assert "--init is a checkpoint of signals; the folder holds images" in told("--init", signal_checkpoint)
    both = cli("train", training_folder, "--out", tmp_path / "b.ckpt", "--init", checkpoint, "--pretrained")
    assert (both.exit_code, "give one of them" in both.stderr) == (2, True)
    assert not (tmp_path / "b.ckpt").exists()
