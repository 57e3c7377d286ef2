"""The end of a training: a projection is fitted on the training classes and becomes the network's last layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

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
from edgefew_export.projection import KINDS, Projection, fit_projection
from edgefew_runtime import TrainingError, head
from torch import nn

from .dataset import Frames
from .validation import CHOICE_EPISODES, embed, validate

SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of a covariance; the validation classes choose."""

MOST_FRAMES = 4096
"""It is fitted on so many training frames, of classes taken at random: more change little and take their time."""

LARGE_CLASS = 64
"""Of a class that has more, no more are taken, if there are classes enough."""

LEAST_CLASSES = 3
"""Fewer span no plane for `lda`, and say little of what differs within a class."""

MOST_VALUES = 4096
"""Of a backbone: the map has as many squared."""


def with_projection(
    checkpoint: Checkpoint, kind: str, training: Frames, validation: Frames, sampler: EpisodeSampler, device: str
) -> Checkpoint:
    """The checkpoint with a projection, or without where it is worse on unseen classes; both are in its description.

    Args:
        checkpoint: the one that training kept; one that went through this is given back as it is.
        kind: a name of `edgefew_export.projection.KINDS`.
        training: frames of the classes that it was trained on.
        validation: frames of classes that it was not.
        sampler: of episodes of these.
        device: where the network runs.
    """
    if "validation_other" in checkpoint.training:  # a run was stopped between here and its end
        return checkpoint
    made = _projected(checkpoint, kind, training, validation, sampler, device)
    before = checkpoint.training["validation"]
    now = validate(made.network().to(device), validation, sampler, device)
    if now.accuracy >= before["accuracy"] - before["ci95"]:
        return replace(made, training={**made.training, "validation": now.to_dict(), "validation_other": before})
    return replace(checkpoint, training={**checkpoint.training, "validation_other": now.to_dict()})


def check_projection(kind: str, training: Frames, dimensions: Sequence[int]) -> None:
    """See that a projection can be fitted, before there is a training.

    Args:
        kind: a name of `KINDS`.
        training: what it would be fitted on.
        dimensions: of each backbone.

    Raises:
        TrainingError: it cannot.
    """
    classes = len(np.unique(training.labels))
    if classes < LEAST_CLASSES:
        raise TrainingError(
            f"--project {kind} was given, and {classes} classes to train on; at least {LEAST_CLASSES} were expected. "
            "Add classes, or leave it out."
        )
    if max(dimensions) > MOST_VALUES:
        raise TrainingError(
            f"--project {kind} was given for a backbone of {max(dimensions)} values; at most {MOST_VALUES} were "
            "expected. Take a smaller --image-size or another --backbone, or leave it out."
        )


def _projected(
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
    known = embed(network, training.values, device, rows)
    asked = embed(network, validation.values, device)
    plain, ends = _members(network.backbone)
    chosen = [
        _best(kind, head.unit(ours), labels, head.unit(theirs), sampler)
        for ours, theirs in zip(np.split(known, ends, axis=1), np.split(asked, ends, axis=1), strict=True)
    ]
    settings = {**checkpoint.settings, "projected": [made.matrix.shape[1] for made, _ in chosen]}
    backbone = build_backbone(checkpoint.backbone, checkpoint.input, **settings)
    places = [module for module in backbone.modules() if isinstance(module, Projected)]
    for place, part, (made, _) in zip(places, plain, chosen, strict=True):
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


def _members(backbone: nn.Module) -> tuple[list[nn.Module], list[int]]:
    """After what projections are put, in their order, and where the values of each but the first begin."""
    inner = backbone.backbone if isinstance(backbone, Framed) else backbone
    if isinstance(inner, Ensemble):
        return list(inner.members), list(accumulate(inner.dimensions))[:-1]
    return [backbone], []


def _best(
    kind: str,
    known: head.Embeddings,
    labels: npt.NDArray[np.int64],
    asked: head.Embeddings,
    sampler: EpisodeSampler,
) -> tuple[Projection, float | None]:
    """The projection by the most shrinkage that is within a standard error of the best, and this, if the kind has any.

    Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984, section 3.4.3: of equals the simplest.

    Args:
        kind: a name of `KINDS`.
        known: float32 [n, d], unit vectors to fit it on.
        labels: int64 [n].
        asked: float32 [m, d], unit vectors of other classes.
        sampler: of episodes of these.
    """
    weights = (None,) if KINDS[kind].shrinkage is None else SHRINKAGES
    made = [fit_projection(kind, known, labels, shrinkage=weight) for weight in weights]
    told = [evaluate(one.apply(asked), sampler, CHOICE_EPISODES) for one in made]
    best = max(told, key=lambda one: one.accuracy)
    enough = best.accuracy - (best.ci95 or 0.0) / 1.96
    last = max(place for place, one in enumerate(told) if one.accuracy >= enough)
    return made[last], weights[last]


def _some(training: Frames, seed: int) -> npt.NDArray[np.int64]:
    """Rows of at most `MOST_FRAMES`, of classes in random order; of each class all, or so many that all classes fit."""
    rng = np.random.default_rng([seed, training.classes])
    shuffled = rng.permutation(len(training.labels))
    by_class = [shuffled[training.labels[shuffled] == name] for name in np.unique(training.labels)]
    of_each = max(LARGE_CLASS, MOST_FRAMES // len(by_class))
    kept = [by_class[place][:of_each] for place in rng.permutation(len(by_class))]
    room = max(LEAST_CLASSES, int(np.searchsorted(np.cumsum([len(rows) for rows in kept]), MOST_FRAMES, side="right")))
    return np.sort(np.concatenate(kept[:room]))
