"""Several processes train as one does that has their episodes, stop together and go on together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from edgefew_export.checkpoint import read_checkpoint
from safetensors.torch import load_file

from edgefew.training.processes import Processes
from tests.conftest import SOURCE_PATTERN, Cli

OPTIONS = ["--channels", "1", "--image-size", "16", "--way", "5", "--device", "cpu", "--source-pattern", SOURCE_PATTERN]
ROUNDING = 1e-5
"""The largest difference of a weight: two gradients are added in another order."""


def together(*arguments: object, count: int = 2) -> list[str]:
    """The command that starts `edgefew train` in several processes."""
    edgefew = Path(sys.executable).with_name("edgefew")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return [*start, "--no-python", str(edgefew), "train", *map(str, arguments), *OPTIONS]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        together(*arguments), capture_output=True, text=True, timeout=240, check=False, env=environment
    )


@pytest.mark.parametrize(
    "options", [[], ["--pretrain-share", "0.5", "--batch-size", "16"], ["--head", "simpleshot"]], ids=" ".join
)
def test_two_processes_are_one_with_the_doubled_batch(
    options: list[str], training_folder: Path, tmp_path: Path, cli: Cli
) -> None:
    one, two = tmp_path / "one.ckpt", tmp_path / "two.ckpt"
    budget = ["--episodes", "12", *options]
    alone = cli("train", training_folder, "--out", one, *budget, "--accumulate", 2, *OPTIONS, "--json")
    assert alone.exit_code == 0, alone.output
    done = run(training_folder, "--out", two, *budget, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)  # by the first process alone
    assert told["episodes"] == 12
    assert told["validation"] == pytest.approx(json.loads(alone.stdout)["validation"], abs=1e-9)
    single, double = read_checkpoint(one), read_checkpoint(two)
    assert (single.training["processes"], double.training["processes"]) == (1, 2)
    for name, tensor in single.weights.items():
        torch.testing.assert_close(double.weights[name], tensor, rtol=ROUNDING, atol=ROUNDING, msg=name)
    assert double.scale == pytest.approx(single.scale, rel=ROUNDING)


def test_a_second_batch_counts(training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    checkpoints = []
    for count in (1, 2):
        out = tmp_path / f"{count}.ckpt"
        done = cli("train", training_folder, "--out", out, "--episodes", 3, "--accumulate", count, *OPTIONS)
        assert done.exit_code == 0, done.output
        checkpoints.append(read_checkpoint(out))
    for name, tensor in checkpoints[0].weights.items():
        if tensor.dtype.is_floating_point:
            assert not torch.allclose(tensor, checkpoints[1].weights[name], rtol=ROUNDING, atol=ROUNDING), name


def test_an_interrupt_of_one_process_stops_all_and_they_go_on_to_the_same_result(
    training_folder: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.ckpt", tmp_path / "parts.ckpt"
    assert run(training_folder, "--out", whole, "--episodes", "230").returncode == 0
    command = together(training_folder, "--out", parts, "--episodes", "230")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        while not parts.exists():  # the first validation, at episode 200
            assert running.poll() is None
            time.sleep(0.02)
        os.kill(_process_of_rank(running.pid, 1), signal.SIGTERM)
        _, errors = running.communicate(timeout=120)
    assert running.returncode != 0
    assert errors.count("the same command with --resume") == 1
    assert (tmp_path / "parts.ckpt.resume").exists()
    assert load_file(tmp_path / "parts.ckpt.resume")
    resumed = run(training_folder, "--out", parts, "--episodes", "230", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert not (tmp_path / "parts.ckpt.resume").exists()
    one, two = read_checkpoint(whole), read_checkpoint(parts)
    assert one.training == two.training
    assert all(torch.equal(tensor, two.weights[name]) for name, tensor in one.weights.items())


def test_processes_with_other_options_are_refused(training_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "start"
    edgefew = Path(sys.executable).with_name("edgefew")
    script.write_text(f'#!/bin/sh\nexec {edgefew} "$@" --seed "$RANK"\n')
    script.chmod(0o755)
    command = together(training_folder, "--out", tmp_path / "a.ckpt", "--episodes", 3)
    command[command.index(str(edgefew))] = str(script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0
    assert "different options or data" in done.stderr
    assert not (tmp_path / "a.ckpt").exists()


def test_alone_nothing_is_averaged() -> None:
    alone = Processes()
    module = torch.nn.Linear(2, 2)
    assert alone.is_first
    assert alone.wrap(module, parts_rest=True) is module
    assert alone.mean(torch.tensor([3.0])).tolist() == [3.0]
    assert (alone.any(True), alone.any(False), alone.from_first(0.25)) == (True, False, 0.25)


def _process_of_rank(launcher: int, rank: int) -> int:
    """The process that the launcher started with this number."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile, or is another user's
        if parent == launcher and f"RANK={rank}".encode() in environment:
            return int(process.name)
    raise AssertionError(f"no process with number {rank}")
