"""Every backbone in the registry: its features' shape, its graph beside PyTorch, a gradient in each of its weights."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edgefew_export.backbones import BACKBONES, build_backbone
from edgefew_export.backbones.ensemble import Ensemble, members
from edgefew_export.backbones.projected import Projected
from edgefew_export.backbones.speech_embedding import SpeechEmbedding
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.graphs import embed_graph, serialize
from edgefew_export.preprocessing import EmbeddingNetwork
from edgefew_runtime import CheckpointError, InputSpec
from edgefew_runtime.session import OrtSession
from torch import nn

from tests.conftest import SOURCE_PATTERN, Cli

NAMES = sorted(BACKBONES)


def made(name: str, **settings: object) -> tuple[EmbeddingNetwork, InputSpec]:
    """A network that has seen a few batches, so that its batch norms are not those of the start."""
    half = (0.5, 0.5, 0.5)
    specs: dict[str, InputSpec] = {
        "image": InputSpec.image(32, 3, half, half),
        "signal": InputSpec.signal(64, 3),
        "audio": InputSpec.audio(12_800, 16_000, 0 if name == "speech_embedding" else 40),
    }
    spec = specs[BACKBONES[members(name)[0].name].kind]
    torch.manual_seed(0)
    network = EmbeddingNetwork(build_backbone(name, spec, **settings), spec)
    if isinstance(network.backbone, SpeechEmbedding):
        network.backbone.mel.uniform_()  # the published file has it
    for module in network.modules():
        if isinstance(module, Projected):
            module.mean.normal_(std=0.1)
            module.matrix.normal_()
    with torch.no_grad():
        for _ in range(3):
            network.features(network.preprocessing.select_channels(frames(spec, 8)))
    return network.eval(), spec


def frames(spec: InputSpec, n: int) -> torch.Tensor:
    noise = torch.randn((n, *spec.raw_shape), generator=torch.Generator().manual_seed(n))
    return (128 + 40 * noise).clamp(0, 255).to(torch.uint8) if spec.kind == "image" else noise


@pytest.mark.parametrize("name", [*NAMES, "resnet8@16+conv4", "melnet+melnet"])
def test_features_have_the_dimension_that_is_said(name: str) -> None:
    network, spec = made(name)
    vectors = network(frames(spec, 2))
    assert vectors.shape == (2, network.backbone.dimension)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in NAMES),
        ("resnet8", {"centred": True}),
        ("resnet8", {"frame": 16}),
        ("resnet8@16+efficientnet_lite0", {}),
        ("conv4+conv4", {"frame": 16, "centred": True}),
        ("conv4", {"centred": True, "projected": [7]}),
        ("resnet8+conv4", {"frame": 16, "projected": [7, 9]}),
        ("resnet1d+resnet1d", {}),
        ("melnet", {"projected": [5]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value) or "plain",
)
def test_the_graph_equals_pytorch(name: str, settings: dict[str, object]) -> None:
    network, spec = made(name, **settings)
    session = OrtSession(serialize(embed_graph(network, spec), "embed", {}))
    for batch in (1, 3):
        shown = frames(spec, batch)
        (ours,) = session.run({"frames": shown.numpy()})
        assert np.abs(ours - network(shown).detach().numpy()).max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns(name: str) -> None:
    network, spec = made(name)
    network.train()
    features = network.features(network.preprocessing.select_channels(frames(spec, 4)))
    (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still


def test_several_backbones_are_their_unit_vectors_side_by_side() -> None:
    network, spec = made("resnet8@16+conv4")
    ensemble = network.backbone
    assert isinstance(ensemble, Ensemble)
    assert ensemble.dimensions == [96, 256]
    images = torch.rand(5, 3, 32, 32)
    small, whole = torch.split(ensemble(images), ensemble.dimensions, dim=1)
    halves = images.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    assert torch.allclose(small, F.normalize(ensemble.members[0](halves), dim=1), atol=1e-5)
    assert torch.allclose(whole, F.normalize(ensemble.members[1](images), dim=1), atol=1e-5)
    vectors = F.normalize(ensemble(images), dim=1)
    assert torch.allclose(vectors @ vectors.T, (small @ small.T + whole @ whole.T) / 2, atol=1e-5)
    assert build_backbone("conv4@16", spec).dimension == 64


def test_a_projection_maps_unit_vectors_and_gives_no_direction_to_what_has_none() -> None:
    layer = Projected(nn.Identity(), 3, 2)
    layer.mean.copy_(torch.tensor([0.5, 0.0, 0.0]))
    layer.matrix.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    mapped = layer(torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [1e30, 1e30, 1e30]]))
    assert torch.allclose(mapped, torch.tensor([[0.1, 0.8], [0.0, 0.0], [0.0, 0.0]]), atol=1e-6)


@pytest.mark.parametrize(("name", "values"), [("conv4", [1, 2]), ("conv4", [0]), ("conv4", []), ("conv4+conv4", [7])])
def test_projections_that_do_not_fit_are_refused(name: str, values: list[int]) -> None:
    with pytest.raises(CheckpointError, match="Projections to"):
        build_backbone(name, InputSpec.image(32, 1, (0.5,), (0.5,)), projected=values)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("resnet8+nothing", "image", "There is no backbone 'nothing'"),
        ("resnet8+resnet1d", "image", "'resnet1d' takes no images"),
        ("resnet8@24+conv4", "image", "resnet8@24 was asked for; a size from 16 that divides the 32 pixels of a side"),
        ("resnet8@many", "image", "'resnet8@many' was given; after each @ a number of pixels was expected"),
        ("resnet8+", "image", "There is no backbone ''"),
        ("resnet1d@32", "signal", "resnet1d@32 was asked for"),
        ("melnet+speech_embedding", "audio", "speech_embedding hears samples, not bands, and stays alone"),
    ],
)
def test_a_name_of_several_that_means_nothing_is_refused(name: str, kind: str, message: str) -> None:
    spec = {
        "image": InputSpec.image(32, 1, (0.5,), (0.5,)),
        "signal": InputSpec.signal(64, 2),
        "audio": InputSpec.audio(12_800, 16_000, 40),
    }[kind]
    with pytest.raises(CheckpointError, match=re.escape(message)):
        build_backbone(name, spec)


@pytest.mark.parametrize(
    "more",
    [
        ["--backbone", "resnet8"],
        ["--backbone", "conv4+resnet8@16", "--image-size", "32"],
        ["--head", "simpleshot"],
        ["--frame", "16"],
        ["--task-augment", "warp"],
        ["--project", "wccn"],
        ["--backbone", "conv4+resnet8", "--project", "lda", "--frame", "16"],
    ],
    ids=lambda more: "".join(more[:2]),
)
def test_it_trains_and_proves_itself_as_a_bundle(
    more: list[str], training_folder: Path, tmp_path: Path, cli: Cli
) -> None:
    out, bundle = tmp_path / "a.ckpt", tmp_path / "a.edgefew"
    options = ["--channels", 1, "--image-size", 16, "--way", 8, "--episodes", 12, "--device", "cpu", *more]
    result = cli("train", training_folder, "--out", out, *options, "--source-pattern", SOURCE_PATTERN)
    assert result.exit_code == 0, result.output
    assert read_checkpoint(out).backbone == (more[1] if more[0] == "--backbone" else "conv4")
    result = cli("export", out, bundle)
    assert result.exit_code == 0, result.output
    assert cli("verify", bundle).exit_code == 0
