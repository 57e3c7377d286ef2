"""Heads of training: what each computes, that its gradient reaches the backbone, and what the device makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edgefew_export.backbones.centred import Centred
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.evaluation import episode_scores
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_runtime import TrainingError

from edgefew.training.config import TrainingConfig
from edgefew.training.heads import HEADS, build_head
from edgefew.training.loop import train
from tests.conftest import SOURCE_PATTERN


def clusters(way: int = 4, shot: int = 3, query: int = 2, dimension: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Support and query features close to each class's own place."""
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(way, 1, dimension, generator=generator)
    support = places + 0.05 * torch.randn(way, shot, dimension, generator=generator)
    return support, (places + 0.05 * torch.randn(way, query, dimension, generator=generator)).flatten(0, 1)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_each_head_finds_the_class_and_teaches_the_backbone(name: str) -> None:
    support, query = clusters()
    support.requires_grad_()
    logits = build_head(name)(support, query)
    assert logits.shape == (8, 4)
    assert logits.argmax(dim=1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    F.cross_entropy(logits, torch.zeros(8, dtype=torch.int64)).backward()
    assert support.grad is not None
    assert (support.grad.abs().sum(dim=2) > 0).all()


@pytest.mark.parametrize("name", sorted(HEADS))
def test_several_support_sets_at_once_give_what_each_gives(name: str) -> None:
    sets = torch.randn(3, 4, 2, 12, generator=torch.Generator().manual_seed(1))
    _, query = clusters()
    head, more = build_head(name), {"unlabelled": clusters()[1]} if HEADS[name].refines else {}
    for options in ({}, more):
        assert torch.allclose(
            head(sets, query, **options), torch.stack([head(s, query, **options) for s in sets]), atol=1e-5
        )


def test_the_cosine_is_what_the_device_computes() -> None:
    support, query = clusters()
    cosine = build_head("cosine")
    ours = (cosine(support, query) / cosine.scale).detach().numpy()
    embeddings = F.normalize(torch.cat([support.flatten(0, 1), query]), dim=1).numpy()
    device = episode_scores(embeddings, np.arange(12).reshape(4, 3), np.arange(12, 20))
    assert np.allclose(ours, device, atol=1e-4)


def test_the_euclidean_head_is_the_squared_distance() -> None:
    support, query = clusters()
    euclidean = build_head("euclidean")
    distances = torch.cdist(query, support.mean(dim=1)).square() / query.shape[1]
    assert torch.allclose(euclidean(support, query), -euclidean.scale * distances, atol=1e-4)


def test_the_ridge_head_solves_the_regression() -> None:
    support, query = clusters()
    ridge = build_head("ridge")
    examples = F.normalize(support.flatten(0, 1), dim=1).double()
    wanted = torch.eye(4, dtype=torch.float64).repeat_interleave(3, dim=0)
    # The primal form, with as many unknowns as values: the same weights (their section 3.2).
    weights = torch.linalg.solve(examples.T @ examples + torch.eye(12, dtype=torch.float64), examples.T @ wanted)
    expected = ridge.scale * (F.normalize(query, dim=1) @ weights.float())
    assert torch.allclose(ridge(support, query), expected, atol=1e-4)


def test_a_head_that_is_not_there_is_said() -> None:
    with pytest.raises(TrainingError, match="--head nearest was given; cosine, euclidean, ridge, simpleshot was"):
        TrainingConfig(head="nearest", episodes=1)
    with pytest.raises(TrainingError, match="There is no head 'nearest'"):
        build_head("nearest")


@pytest.mark.parametrize("name", HEADS)
def test_a_head_starts_at_the_scale_that_is_given(name: str) -> None:
    assert build_head(name).scale.item() == pytest.approx(10)
    assert build_head(name, 25).scale.item() == pytest.approx(25)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_it_learns_with_each_head(name: str, training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    config = TrainingConfig(head=name, way=8, image_size=16, channels=1, episodes=40, device="cpu")
    trained = train(folder, tmp_path / "a.ckpt", config)
    assert trained.validation > 0.4  # of 6 classes


def test_simpleshot_centres_in_the_backbone(training_folder: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(training_folder, SOURCE_PATTERN)
    config = TrainingConfig(head="simpleshot", way=5, image_size=16, channels=1, episodes=10, device="cpu")
    train(folder, tmp_path / "a.ckpt", config)
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    backbone = checkpoint.network().backbone
    assert checkpoint.settings == {"centred": True}
    assert isinstance(backbone, Centred)
    assert backbone.mean.abs().sum() > 0


def test_a_centred_backbone_subtracts_the_mean_of_its_batches() -> None:
    centred = Centred(torch.nn.Identity(), 2)
    batches = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 0.0], [7.0, 2.0]])]
    assert centred(batches[0]).tolist() == [[-1.0, -1.0], [1.0, 1.0]]
    centred(batches[1])
    assert centred.eval()(torch.tensor([[4.0, 2.0]])).tolist() == [[0.0, 0.0]]
