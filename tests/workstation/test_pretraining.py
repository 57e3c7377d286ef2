"""Pre-training, quarter turns, mixed images, and starting from published weights."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edgefew_export.backbones import build_backbone
from edgefew_export.backbones.ensemble import Ensemble
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_export.sources.pretrained import fill_published
from edgefew_runtime import DataError, TrainingError, head
from edgefew_runtime.refinement import Refinement
from torch import nn

from edgefew.training.config import TrainingConfig
from edgefew.training.dataset import Frames, split_classes
from edgefew.training.learner import Learner
from edgefew.training.loop import train
from edgefew.training.pretraining import Mixture, PretrainingHead
from edgefew.training.progress import Step
from edgefew.training.steps import episode_loss
from edgefew.training.training_episodes import TrainingEpisodes
from edgefew.training.training_frames import TrainingFrames
from tests.conftest import SOURCE_PATTERN, Cli, draw_folder


def config(**changes: object) -> TrainingConfig:
    settings = {"way": 5, "image_size": 16, "channels": 1, "episodes": 12, "device": "cpu", "batch_size": 32}
    return TrainingConfig(**(settings | changes))  # type: ignore[arg-type]


def stages(log: Path) -> list[tuple[int, str]]:
    with log.open() as file:
        return [(int(row["episode"]), row["stage"]) for row in csv.DictReader(file)]


def test_pre_training_alone_learns(training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    trained = train(folder, tmp_path / "a.ckpt", config(episodes=60, pretrain_share=1.0))
    assert trained.validation > 0.5  # of 5 ways
    assert stages(tmp_path / "a.ckpt.log.csv") == [(60, "pre-training")]


def test_one_stage_follows_the_other_and_each_is_measured(training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    seen: list[str] = []
    train(folder, tmp_path / "a.ckpt", config(pretrain_share=0.25), on_step=lambda step: seen.append(step.stage))
    assert seen == ["pre-training"] * 3 + ["meta-training"] * 9
    assert stages(tmp_path / "a.ckpt.log.csv") == [(3, "pre-training"), (12, "meta-training")]


@pytest.mark.parametrize("rotations", ["none", "classes", "predict"])
def test_resumed_in_either_stage_is_the_same_as_not_interrupted(
    rotations: str, training_folder: Path, tmp_path: Path
) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    wanted = config(episodes=8, pretrain_share=0.5, mixup=0.4, rotations=rotations, augment="drawing")
    train(folder, tmp_path / "whole.ckpt", wanted)

    def stop(step: Step) -> None:
        if step.episode in (2, 6):
            raise KeyboardInterrupt

    parts = tmp_path / "parts.ckpt"
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            train(folder, parts, wanted, resume=resume, on_step=stop)
    train(folder, parts, wanted, resume=True)
    whole, resumed = read_checkpoint(tmp_path / "whole.ckpt"), read_checkpoint(parts)
    assert resumed.training == whole.training
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in whole.weights.items())


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses() -> None:
    mixture = Mixture(torch.tensor([1, 0]), 0.25)
    images = torch.tensor([0.0, 8.0]).view(2, 1, 1, 1)
    assert mixture.mix(images).flatten().tolist() == [6.0, 2.0]
    logits, truth = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2])
    expected = 0.25 * F.cross_entropy(logits, truth) + 0.75 * F.cross_entropy(logits, truth.flip(0))
    assert torch.allclose(mixture.loss(logits, truth), expected)
    still = Mixture.draw(2, 0.0, np.random.default_rng(0))
    assert torch.equal(still.mix(images), images)
    assert torch.equal(still.loss(logits, truth), F.cross_entropy(logits, truth))


def test_the_pre_training_head_compares_directions() -> None:
    head = PretrainingHead(4, 3, quarters=False)
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(head(features), head(7 * features), atol=1e-5)
    assert head(features).abs().max() <= head.log_scale.exp() + 1e-4


def test_quarter_turns_are_further_classes() -> None:
    values = torch.arange(2 * 16).view(2, 1, 4, 4).to(torch.uint8)
    frames = Frames(values, np.array([0, 1]), np.array([5, 6]), 2, np.array([0, 1]), np.array([0, 0]))
    turned = TrainingFrames(frames, config(rotations="classes", augment="none"), "cpu")
    assert (turned.classes, turned.labels.tolist()) == (8, [0, 1, 2, 3, 4, 5, 6, 7])
    assert turned.sources is not None
    assert turned.sources.tolist() == [5, 6] * 4
    taken = turned.take(np.arange(8), 0)
    for turn in range(4):
        assert torch.equal(taken[2 * turn : 2 * turn + 2], torch.rot90(values.float(), turn, (2, 3)))
    again = turned.take(np.array([0, 3]), 0, np.array([1, 3]))
    assert torch.equal(again[0], torch.rot90(values[0].float(), 1, (1, 2)))
    assert torch.equal(again[1], values[1].float())  # one quarter by its class and three besides


def test_a_share_of_the_episodes_is_of_one_group() -> None:
    labels, groups = np.repeat(np.arange(12), 4), np.repeat([0, 1, 2], 4)
    frames = Frames(torch.zeros(48, 1, 4, 4, dtype=torch.uint8), labels, None, 12, groups, np.zeros(12, np.int64))
    for share in (0.0, 0.5, 1.0):
        settings = config(rotations="classes", augment="none", way=4, group_share=share)
        turned = TrainingFrames(frames, settings, "cpu")
        assert len(set(turned.groups.tolist())) == 12  # an alphabet on its side is another one
        draws = TrainingEpisodes(turned, settings)
        within = [len(set(turned.groups[draws.episode(n).classes].tolist())) == 1 for n in range(200)]
        assert abs(np.mean(within) - share) < 0.1


def test_of_several_folders_each_gives_as_many_episodes() -> None:
    labels, roots = np.repeat(np.arange(45), 3), np.repeat([0, 1], [5, 40])
    frames = Frames(torch.zeros(135, 1, 4, 4, dtype=torch.uint8), labels, None, 45, roots, roots)
    settings = config(way=5, query=1, group_share=0.5)
    draws = TrainingEpisodes(TrainingFrames(frames, settings, "cpu"), settings)
    seen = [set(roots[draws.episode(n).classes].tolist()) for n in range(300)]
    assert all(len(of) == 1 for of in seen)
    assert 120 < sum(of == {0} for of in seen) < 180
    with pytest.raises(DataError, match="5 classes have that many"):
        TrainingEpisodes(TrainingFrames(frames, config(way=6), "cpu"), config(way=6))


def test_each_frame_of_an_episode_may_be_an_example_in_its_turn() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.integers(0, 256, (20, 1, 16, 16), np.uint8))
    labels, none = np.repeat(np.arange(5), 4), np.zeros(5, np.int64)
    settings = config(augment="none", shot=1, query=2, in_turn=True)
    torch.manual_seed(0)
    learner = Learner(settings, settings.input(), 5).eval()
    scale = learner.head.scale.item()

    def expected(places: np.ndarray, asked: Callable[[int, int, int], bool]) -> float:
        """Of frames [5, 3]: each column in turn is the example of its class, and these others are asked."""
        units = F.normalize(learner.network.features(values[places.ravel()].float()), dim=1).detach()
        units = units.view(5, 3, -1)
        losses = []
        for turn in range(3):
            pairs = [(row, column) for row in range(5) for column in range(3) if asked(row, turn, column)]
            logits = torch.stack([scale * units[:, turn] @ units[row, column] for row, column in pairs])
            losses.append(F.cross_entropy(logits, torch.tensor([row for row, _ in pairs])).item())
        return float(np.mean(losses))

    plain = TrainingFrames(Frames(values, labels, None, 5, none, none), settings, "cpu")
    draws = TrainingEpisodes(plain, settings)
    episode = draws.episode(0)
    places = np.concatenate([episode.support, episode.query], axis=1)
    loss = episode_loss(learner, plain, draws, 0, in_turn=True)[0].item()
    assert loss == pytest.approx(expected(places, lambda _, turn, column: column != turn), rel=1e-4)
    assert loss != pytest.approx(episode_loss(learner, plain, draws, 0)[0].item(), rel=1e-4)
    # Two of a class's four frames are of one source: none of them is asked where the other is the example.
    sources = np.tile([0, 1, 1, 2], 5)
    known = TrainingFrames(Frames(values, labels, sources, 5, none, none), settings, "cpu")
    draws = TrainingEpisodes(known, settings)
    numbers = [n for n in range(20) if (same := sources[draws.episode(n).query])[:, 0].tolist() != same[:, 1].tolist()]
    episode = draws.episode(numbers[0])
    places = np.concatenate([episode.support, episode.query], axis=1)
    of = sources[places]
    loss = episode_loss(learner, known, draws, numbers[0], in_turn=True)[0].item()
    assert loss == pytest.approx(expected(places, lambda row, t, c: of[row, c] != of[row, t]), rel=1e-4)
    assert (of[:, 1] == of[:, 2]).any()


def test_unlabelled_frames_of_an_episode_refine_its_prototypes() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.integers(0, 256, (35, 1, 16, 16), np.uint8))
    frames = Frames(values, np.repeat(np.arange(7), 5), None, 7, np.zeros(7, np.int64), np.zeros(7, np.int64))
    settings = config(augment="none", way=5, shot=1, query=1, unlabelled=3, distractors=2)
    torch.manual_seed(0)
    learner = Learner(settings, settings.input(), 7).eval()
    ready = TrainingFrames(frames, settings, "cpu")
    draws = TrainingEpisodes(ready, settings)
    episode = draws.episode(0)
    assert episode.support.shape == (7, 1) and episode.query.shape == (7, 4)

    def units(rows: np.ndarray) -> np.ndarray:
        return F.normalize(learner.network.features(values[rows.ravel()].float()), dim=1).detach().numpy()

    refined, _ = Refinement().refine(units(episode.query[:, 1:]), units(episode.support[:5]), np.ones(5, np.float32))
    logits = learner.head.scale.item() * units(episode.query[:5, :1]) @ head.unit(refined).T
    expected = F.cross_entropy(torch.from_numpy(logits), torch.arange(5)).item()
    assert episode_loss(learner, ready, draws, 0)[0].item() == pytest.approx(expected, rel=1e-4)
    loss, _ = episode_loss(learner, ready, draws, 0, in_turn=True)
    loss.backward()
    assert loss.item() != expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"unlabelled": -1}, "0 or more"),
        ({"unlabelled": 1, "head": "ridge"}, "only cosine, simpleshot can refine"),
        ({"distractors": 1}, "without --unlabelled"),
    ],
)
def test_unlabelled_frames_that_nothing_can_use_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        config(**options)


def test_frozen_parts_stay_as_they_were_and_the_others_learn(training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    first, second = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    train(folder, first, config(backbone="resnet8", episodes=2))
    start = read_checkpoint(first)
    train(folder, second, config(backbone="resnet8", episodes=3, freeze=2, augment="microscope"), init=start)
    weights = read_checkpoint(second).weights
    moved = {name for name, tensor in weights.items() if not torch.equal(tensor, start.weights[name])}
    assert {name.split(".")[1] for name in moved} == {"2", "3"}
    assert any("running_mean" in name for name in moved)


def test_several_backbones_learn_apart() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.integers(0, 256, (24, 1, 16, 16), np.uint8))
    frames = Frames(values, np.repeat(np.arange(6), 4), None, 6, np.zeros(6, np.int64), np.zeros(6, np.int64))

    def learned(backbone: str, weights: nn.Module | None = None) -> tuple[float, nn.Module]:
        """The loss of an episode, and the backbone with its gradients."""
        settings = config(backbone=backbone, in_turn=True, task_augment="warp")
        torch.manual_seed(0)
        learner = Learner(settings, settings.input(), 6)
        if weights is not None:
            learner.network.backbone.load_state_dict(weights.state_dict())
        ready = TrainingFrames(frames, settings, "cpu")
        loss, _ = episode_loss(learner, ready, TrainingEpisodes(ready, settings), 0, in_turn=True)
        loss.backward()
        return loss.item(), learner.network.backbone

    loss, ensemble = learned("conv4+resnet8")
    assert isinstance(ensemble, Ensemble)
    alone = [learned(name, member) for name, member in zip(("conv4", "resnet8"), ensemble.members, strict=True)]
    assert loss == pytest.approx((alone[0][0] + alone[1][0]) / 2, rel=1e-5)
    for member, (_, other) in zip(ensemble.members, alone, strict=True):
        for ours, theirs in zip(member.parameters(), other.parameters(), strict=True):
            assert ours.grad is not None
            assert theirs.grad is not None
            assert torch.allclose(2 * ours.grad, theirs.grad, atol=1e-4)


def test_of_several_backbones_those_with_published_weights_start_from_them_and_are_frozen() -> None:
    settings = {"backbone": "resnet8@32+efficientnet_lite0", "channels": 3, "image_size": 64, "pretrained": True}
    chosen = config(**settings, freeze=4)
    learner = Learner(chosen, chosen.input(), 10)
    learner.start_from_published()
    ensemble = learner.network.backbone
    assert isinstance(ensemble, Ensemble)
    still = [not parameter.requires_grad for parameter in ensemble.members[0].parameters()]
    assert not any(still)
    frozen = [not parameter.requires_grad for parameter in ensemble.members[1].parameters()]
    assert any(frozen)
    assert not all(frozen)
    published = build_backbone("efficientnet_lite0", chosen.input())
    fill_published(published)
    assert all(torch.equal(a, b) for a, b in zip(ensemble.members[1].parameters(), published.parameters(), strict=True))


def test_a_backbone_that_is_frozen_whole_is_refused(training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    with pytest.raises(TrainingError, match="has 4 parts"):
        train(folder, tmp_path / "a.ckpt", config(backbone="resnet8", freeze=4))
    with pytest.raises(TrainingError, match="--freeze -1"):
        config(freeze=-1)
    for several in ("conv4+resnet8", "conv4@16"):
        with pytest.raises(TrainingError, match="only those with published weights can be frozen"):
            train(folder, tmp_path / "a.ckpt", config(backbone=several, freeze=2, image_size=32))


def test_classes_that_are_held_out_by_name_let_all_others_train(
    training_folder: Path, unseen_folder: Path, tmp_path: Path, cli: Cli
) -> None:
    out = tmp_path / "all.ckpt"
    options = ["--way", 5, "--episodes", 5, "--held-out", unseen_folder, "--json"]
    size = ["--channels", 1, "--image-size", 16, "--source-pattern", SOURCE_PATTERN, "--device", "cpu"]
    result = cli("train", training_folder, "--out", out, *options, *size)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["classes"], told["validation_classes"], told["skipped"]) == (40, 10, 0)
    checkpoint = read_checkpoint(out)
    held_out = checkpoint.held_out
    assert held_out is not None
    assert len(np.unique(held_out.labels)) == 10
    unseen = read_labelled_folder(unseen_folder, SOURCE_PATTERN)
    assert checkpoint.training["held_out_sha256"] == unseen.content_sha256()
    missing = cli("train", training_folder, "--out", tmp_path / "b.ckpt", *options[:4], "--held-out", tmp_path / "none")
    assert missing.exit_code == 1 and "does not exist" in missing.output


def test_training_with_unlabelled_frames_ends_in_a_checkpoint(training_folder: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "refined.ckpt"
    options = ["--way", 5, "--unlabelled", 2, "--distractors", 2, "--head", "simpleshot", "--episodes", 5]
    size = ["--channels", 1, "--image-size", 16, "--source-pattern", SOURCE_PATTERN, "--device", "cpu"]
    result = cli("train", training_folder, "--out", out, *options, *size)
    assert result.exit_code == 0, result.output
    told = read_checkpoint(out).training["config"]
    assert (told["unlabelled"], told["distractors"]) == (2, 2)


def test_classes_of_one_source_take_part_in_pre_training(tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", range(6))
    draw_folder(data, range(10, 40), sources=1)
    folder = read_labelled_folder(data, SOURCE_PATTERN)
    chosen, held = split_classes(folder, 0)
    assert (len(chosen), len(held)) == (32, 4)
    assert max(held) < 6
    trained = train(folder, tmp_path / "a.ckpt", config(way=2, episodes=4, pretrain_share=0.5))
    assert (trained.classes, trained.episodes) == (32, 4)


def test_published_weights_are_a_start(training_folder: Path, tmp_path: Path) -> None:
    from edgefew_export.backbones.efficientnet_lite0 import EfficientNetLite0

    published = EfficientNetLite0(32)
    fill_published(published)
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    settings = {"backbone": "efficientnet_lite0", "image_size": 32, "channels": 3, "episodes": 1}
    train(folder, tmp_path / "a.ckpt", config(**settings, pretrained=True, learning_rate=1e-9))
    weights = read_checkpoint(tmp_path / "a.ckpt").weights
    assert torch.allclose(weights["_conv_head.weight"], published.state_dict()["_conv_head.weight"], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pretrain_share": 1.5}, "--pretrain-share 1.5 was given; 0 to 1"),
        ({"batch_size": 1}, "--batch-size 1 was given; at least 2"),
        ({"mixup": -1.0}, "--mixup -1.0 was given"),
        ({"rotations": "some"}, "--rotations some was given; none, classes, predict"),
        ({"rotations": "predict"}, "give --pretrain-share, too"),
        ({"kind": "signal", "rotations": "classes"}, "only images are turned"),
        (
            {"augment": "wild"},
            "--augment wild was given; drawing, light, microscope, none, photo was expected for images",
        ),
        ({"pretrained": True}, "--pretrained was given for conv4 with 1 channels; .* efficientnet_lite0, .* with 3"),
        ({"task_augment": "bend"}, "--task-augment bend was given; none, warp was expected for images"),
        ({"kind": "signal", "task_augment": "warp"}, "--task-augment warp was given; none was expected for signals"),
        ({"backbone": "conv4+resnet8", "head": "euclidean"}, "--head euclidean was given with conv4.resnet8"),
        ({"backbone": "conv4+resnet8", "head": "simpleshot"}, "cosine or ridge was expected"),
        ({"backbone": "conv4@16", "head": "euclidean"}, "or of one at a size of its own, features are unit vectors"),
        (
            {"backbone": "efficientnet_lite0+efficientnet_lite0", "channels": 3, "pretrained": True},
            "two that start alike would stay alike",
        ),
        ({"backbone": "conv4+resnet8", "pretrained": True, "channels": 3}, "--pretrained was given for conv4.resnet8"),
        ({"kind": "signal", "augment": "photo"}, "light, none, rough was expected for signals"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        config(**changes)
