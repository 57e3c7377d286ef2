"""What makes training fast changes what it computes by rounding alone: precision, compilation, where frames lie."""

from __future__ import annotations

import copy
import runpy
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from edgefew_export.backbones import build_backbone
from edgefew_export.checkpoint import Checkpoint, read_checkpoint
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_runtime import TrainingError

from edgefew.training.config import TrainingConfig
from edgefew.training.dataset import Frames, load_frames
from edgefew.training.loop import choose_precision, train
from edgefew.training.training_frames import TrainingFrames
from tests.conftest import ROOT, SOURCE_PATTERN

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


def config(**changes: object) -> TrainingConfig:
    settings = {"way": 5, "image_size": 16, "channels": 1, "episodes": 4, "device": "cpu"} | changes
    return TrainingConfig(**settings)  # type: ignore[arg-type]


def trained(folder: Path, out: Path, **changes: object) -> Checkpoint:
    train(read_labelled_folder(folder, SOURCE_PATTERN), out, config(**changes))
    return read_checkpoint(out)


def largest_difference(one: Checkpoint, other: Checkpoint) -> float:
    return max(float((t.double() - other.weights[n].double()).abs().max()) for n, t in one.weights.items())


def frames(folder: Path, scratch: Path, **options: int) -> Frames:
    return load_frames(
        read_labelled_folder(folder, SOURCE_PATTERN), config().input(), lambda _: None, scratch, **options
    )


def test_frames_in_a_file_are_those_in_memory_and_leave_no_file(training_folder: Path, tmp_path: Path) -> None:
    data, scratch = Path(shutil.copytree(training_folder, tmp_path / "data")), tmp_path / "scratch"
    scratch.mkdir()
    (data / "figure103" / "hand0-bad.png").write_text("no image")
    held, mapped = frames(data, scratch), frames(data, scratch, mapped_bytes=1000)
    assert (held.is_mapped, mapped.is_mapped) == (False, True)
    assert not list(scratch.iterdir())
    assert len(held.values) == 480  # without the one that cannot be read
    assert torch.equal(held.values, mapped.values)
    assert np.array_equal(held.labels, mapped.labels)
    index = np.array([3, 477, 3])
    taken = [TrainingFrames(part, config(), "cpu").take(index, 5) for part in (held, mapped)]
    assert torch.equal(*taken)
    assert not torch.equal(taken[0][0], taken[0][2])  # each is augmented on its own


def test_frames_that_do_not_fit_are_told_of(training_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere does not take the frames .* Make room"):
        frames(training_folder, tmp_path / "nowhere", mapped_bytes=0)


def test_bf16_rounds_what_the_network_computes_and_keeps_its_weights(training_folder: Path, tmp_path: Path) -> None:
    exact = trained(training_folder, tmp_path / "exact.ckpt", precision="fp32")
    rounded = trained(training_folder, tmp_path / "rounded.ckpt", precision="bf16")
    assert (exact.training["precision"], rounded.training["precision"]) == ("fp32", "bf16")
    assert {tensor.dtype for tensor in rounded.weights.values()} == {tensor.dtype for tensor in exact.weights.values()}
    assert 0 < largest_difference(exact, rounded) < 0.05
    by_itself = trained(training_folder, tmp_path / "auto.ckpt")
    assert largest_difference(exact, by_itself) == 0  # on a processor, auto is fp32


def test_another_precision_does_not_resume(training_folder: Path, tmp_path: Path) -> None:
    folder, out = read_labelled_folder(training_folder, SOURCE_PATTERN), tmp_path / "a.ckpt"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, out, config(), on_step=stop)
    with pytest.raises(TrainingError, match="precision was 'fp32', now 'bf16'"):
        train(folder, out, config(precision="bf16"), resume=True)
    train(folder, out, config(precision="fp32"), resume=True)


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler here")
def test_a_compiled_network_learns_the_same(training_folder: Path, tmp_path: Path) -> None:
    plain = trained(training_folder, tmp_path / "plain.ckpt")
    compiled = trained(training_folder, tmp_path / "compiled.ckpt", compile=True)
    assert set(plain.weights) == set(compiled.weights)
    assert largest_difference(plain, compiled) < 1e-3


def test_a_network_that_cannot_be_compiled_is_told_of(
    training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "no-compiler"),))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch._dynamo.reset()
    with pytest.raises(TrainingError, match=r"--compile was given, but .* cannot be compiled here"):
        trained(training_folder, tmp_path / "a.ckpt", compile=True)


@pytest.mark.parametrize("name", ["conv4", "resnet8"])
def test_pooling_before_the_relu_is_the_same_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    learns = build_backbone(name, config().input())
    as_published = copy.deepcopy(learns).eval()
    for module in as_published.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()  # the same statistics; all else as a graph has it
    images = torch.randn(6, 1, 18, 18)
    results = []
    for network in (learns, as_published):
        features = network(images)
        features.square().mean().backward()
        results.append((features, [parameter.grad for parameter in network.parameters()]))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(one, other) for one, other in zip(results[0][1], results[1][1], strict=True))
    assert not torch.equal(learns.eval()(images), results[0][0])  # it was in training mode


def test_the_benchmarks_timer_counts_the_backbone_alone_while_it_learns() -> None:
    timer = runpy.run_path(str(ROOT / "benchmarks" / "backbone_timer.py"))["BackboneTimer"](Pause)
    network = torch.nn.Sequential(Pause(), Pause(), torch.nn.Identity())
    values = torch.ones(1, requires_grad=True)
    with timer.watching():
        network.eval()(values)
        assert timer.seconds == 0
        network.train()
        began = time.perf_counter()
        for _ in range(2):
            loss = network(values).sum()
            time.sleep(0.2)  # what else a step does
            loss.backward()
        took = time.perf_counter() - began
    assert 2 * 2 * 0.06 <= timer.seconds <= took - 2 * 0.2  # two of them, twice, each way 0.03; without the rest
    before = timer.seconds
    network(values).sum().backward()
    assert timer.seconds == before


class Slow(torch.autograd.Function):
    @staticmethod
    def forward(context: object, values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        time.sleep(0.03)
        return values * 1

    @staticmethod
    def backward(context: object, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        time.sleep(0.03)
        return gradient, gradient


class Pause(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return Slow.apply(values, self.weight)


@gpu
def test_a_gpu_takes_bf16_by_itself_where_it_has_it(training_folder: Path, tmp_path: Path) -> None:
    has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    assert choose_precision("auto", "cuda") == ("bf16" if has_it else "fp32")
    made = trained(training_folder, tmp_path / "a.ckpt", device="cuda")
    assert made.training["precision"] == ("bf16" if has_it else "fp32")


@gpu
def test_a_gpu_gets_frames_from_a_file_too(training_folder: Path, tmp_path: Path) -> None:
    index = np.array([3, 477, 3])
    taken = [
        TrainingFrames(frames(training_folder, tmp_path, mapped_bytes=size), config(augment="none"), "cuda").take(
            index, 5
        )
        for size in (0, 10**9)
    ]
    assert taken[0].device.type == "cuda"
    assert torch.equal(*taken)
