"""The end of a training: a projection is fitted on the training classes and becomes the network's last layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from edgefew_export.backbones import build_backbone
from edgefew_export.backbones.ensemble import Ensemble
from edgefew_export.backbones.framed import Framed
from edgefew_export.backbones.projected import Projected
from edgefew_export.checkpoint import Checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import evaluate
from edgefew_export.preprocessing import EmbeddingNetwork
from edgefew_export.projection import Projection, fit_projection
from edgefew_runtime import TrainingError, head
from torch import nn

from .dataset import Frames

SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of a covariance; the validation classes choose."""

MOST_FRAMES = 4096
"""It is fitted on so many training frames, of classes taken at random: more change little and take their time."""

LEAST_CLASSES = 3
"""Fewer span no plane for `lda`, and say little of what differs within a class."""

_EPISODES = 600
_EMBED_BATCH = 256


def projected(
    checkpoint: Checkpoint, kind: str, training: Frames, validation: Frames, sampler: EpisodeSampler, device: str
) -> Checkpoint:
    """The checkpoint with a projection after its network; of several backbones, which learned apart, after each.

    Args:
        checkpoint: one without.
        kind: a name of `edgefew_export.projection.KINDS`.
        training: frames of the classes that it was trained on.
        validation: frames of classes that it was not.
        sampler: of episodes of these, which choose how much a covariance is shrunk.
        device: where the network runs.
    """
    network = checkpoint.network().to(device)
    rows = _some(training, sampler.seed)
    _, labels = np.unique(training.labels[rows], return_inverse=True)
    known = embed(network, training.values[torch.from_numpy(rows)], device)
    asked = embed(network, validation.values, device)
    plain = list(_parts(network.backbone))
    ends = np.cumsum([dimension for _, dimension in plain])[:-1]
    chosen = [
        _best(kind, head.unit(ours), labels, head.unit(theirs), sampler)
        for ours, theirs in zip(np.split(known, ends, axis=1), np.split(asked, ends, axis=1), strict=True)
    ]
    settings = {**checkpoint.settings, "projected": [made.matrix.shape[1] for made, _ in chosen]}
    backbone = build_backbone(checkpoint.backbone, checkpoint.input, **settings)
    places = [module for module in backbone.modules() if isinstance(module, Projected)]
    for place, (part, _), (made, _) in zip(places, plain, chosen, strict=True):
        place.backbone.load_state_dict(part.state_dict())
        place.mean.copy_(torch.from_numpy(made.mean))
        place.matrix.copy_(torch.from_numpy(made.matrix))
    described = {
        "kind": kind,
        "shrinkages": [shrinkage for _, shrinkage in chosen],
        "classes": int(labels.max()) + 1,
        "images": len(rows),
    }
    weights = backbone.state_dict()
    return replace(
        checkpoint, settings=settings, weights=weights, training={**checkpoint.training, "projection": described}
    )


def check_classes(kind: str, training: Frames) -> None:
    """See that a projection can be fitted, before there is a training.

    Raises:
        TrainingError: it cannot.
    """
    if training.classes < LEAST_CLASSES:
        raise TrainingError(
            f"--project {kind} was given, and {training.classes} classes to train on; at least {LEAST_CLASSES} were "
            "expected. Add classes, or leave it out."
        )


def embed(network: EmbeddingNetwork, frames: torch.Tensor, device: str) -> head.Embeddings:
    """The unit vectors of frames as they came, by a network in evaluation mode: float32 [n, d]."""
    with torch.inference_mode():
        parts = [network.embed(batch.to(device).float()).cpu() for batch in torch.split(frames, _EMBED_BATCH)]
    return np.asarray(torch.cat(parts).numpy())


def _parts(backbone: nn.Module) -> Iterator[tuple[nn.Module, int]]:
    """After what projections are put, in their order, and how many values it gives."""
    inner = backbone.backbone if isinstance(backbone, Framed) else backbone
    if isinstance(inner, Ensemble):
        yield from zip(inner.members, inner.dimensions, strict=True)
    else:
        dimension = backbone.dimension
        assert isinstance(dimension, int)  # noqa: S101
        yield backbone, dimension


def _best(
    kind: str,
    known: head.Embeddings,
    labels: npt.NDArray[np.int64],
    asked: head.Embeddings,
    sampler: EpisodeSampler,
) -> tuple[Projection, float]:
    """The projection by the most shrinkage that is within a standard error of the best, and this.

    Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984, section 3.4.3: of equals the simplest.

    Args:
        kind: a name of `KINDS`.
        known: float32 [n, d], unit vectors to fit it on.
        labels: int64 [n].
        asked: float32 [m, d], unit vectors of other classes.
        sampler: of episodes of these.
    """
    made = [fit_projection(kind, known, labels, shrinkage=shrinkage) for shrinkage in SHRINKAGES]
    told = [evaluate(one.apply(asked), sampler, _EPISODES) for one in made]
    best = max(told, key=lambda one: one.accuracy)
    enough = best.accuracy - (best.ci95 or 0.0) / 1.96
    last = max(place for place, one in enumerate(told) if one.accuracy >= enough)
    return made[last], SHRINKAGES[last]


def _some(training: Frames, seed: int) -> npt.NDArray[np.int64]:
    """Whole classes, as many as make `MOST_FRAMES`, at least `LEAST_CLASSES`: rows of the frames."""
    order = np.random.default_rng([seed, training.classes]).permutation(training.classes)
    total = np.cumsum(np.bincount(training.labels, minlength=training.classes)[order])
    kept = order[: max(LEAST_CLASSES, int(np.searchsorted(total, MOST_FRAMES, side="right")))]
    return np.flatnonzero(np.isin(training.labels, kept))
