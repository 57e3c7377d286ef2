"""Red blood cells: what classes that nothing was fitted on gain from what was fitted or trained on others.

    python benchmarks/blood_cells.py RBC12

RBC12 is the labelled folder of Chula RBC-12 (Naruenatthanaset et al., arXiv 2012.01321): 12 classes, files named
smear<id>_<n>.png. Its classes are cut in two halves, by every other name. Each half in its turn is what projections
of a frozen EfficientNet-Lite0 are fitted on and what networks are meta-trained on, and the other is asked about,
support and queries of different smears: 5-way 1- and 5-shot, and one further class that is not enrolled. No checkpoint
is chosen: the last one is asked. Prints one JSON object; intervals are 95 %, over 600 episodes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from edgefew_export.backbones.efficientnet_lite0 import EfficientNetLite0
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import embed_folder, evaluate, torch_embedder
from edgefew_export.labelled_folder import LabelledFolder, read_labelled_folder
from edgefew_export.open_set import episodes_with_strangers
from edgefew_export.preprocessing import EmbeddingNetwork
from edgefew_export.projection import KINDS, fit_projection
from edgefew_export.sources.pretrained import fill_published
from edgefew_runtime import InputSpec, head

from edgefew.baseline import raw_pixels
from edgefew.training.config import TrainingConfig
from edgefew.training.loop import VALIDATE_EVERY, train

SOURCE_PATTERN = r"^(?P<source>smear\d+)_"
EPISODES, WAY, SHOTS, QUERIES, SEED = 600, 5, (1, 5), 5, 0
SIZE = 128
"""Pixels a side that the frozen network sees; the pictures have 80."""

STEPS = 100
TRAININGS: dict[str, dict[str, Any]] = {
    "EfficientNet-Lite0, its last part meta-trained": {
        "backbone": "efficientnet_lite0",
        "pretrained": True,
        "freeze": 13,
        "image_size": 96,
        "learning_rate": 5e-4,
    },
    "ResNet-8, meta-trained from nothing": {"backbone": "resnet8", "image_size": 48},
}
"""Settings were chosen by trials that were asked about half A alone."""


def trained(folder: LabelledFolder, settings: dict[str, Any]) -> Callable[[list[Any]], head.Embeddings]:
    """An embedder, meta-trained on the folder's classes; the last checkpoint, whatever it scores."""
    assert STEPS <= VALIDATE_EVERY, "there would be several checkpoints, and one would be chosen"
    episode = {"way": len(folder.classes), "shot": 1, "query": 4, "in_turn": True}
    config = TrainingConfig(**episode, **settings, augment="microscope", episodes=STEPS, seed=SEED, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "cells.ckpt"
        train(folder, out, config, held_out=folder)
        checkpoint = read_checkpoint(out)
    return torch_embedder(checkpoint.network(), checkpoint.input)


def measured(embeddings: head.Embeddings, labels: Any, sources: Any) -> dict[str, Any]:
    """Accuracy and open-set figures at each number of shots."""
    told = {}
    for shot in SHOTS:
        common: dict[str, Any] = {"sources": sources, "shot": shot, "query": QUERIES, "seed": SEED}
        result = evaluate(embeddings, EpisodeSampler(labels, way=WAY, **common), EPISODES)
        apart = episodes_with_strangers(embeddings, EpisodeSampler(labels, way=WAY + 1, **common), WAY, EPISODES)
        told[f"{shot}-shot"] = {"accuracy": result.accuracy, "ci95": result.ci95, "open_set": apart}
    return told


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
def main(data: Path) -> None:
    """Measure both halves of DATA."""
    folder = read_labelled_folder(data, SOURCE_PATTERN)
    assert folder.sources is not None
    spec = InputSpec.image(SIZE, 3, (0.5,) * 3, (0.5,) * 3)
    network = EfficientNetLite0(SIZE)
    fill_published(network)
    embed = torch_embedder(EmbeddingNetwork(network, spec).eval(), spec)
    (frozen, raw), _ = embed_folder(folder, [embed, raw_pixels])
    rows: dict[str, dict[str, Any]] = {}
    for first in (0, 1):
        fit_on = folder.labels % 2 == first
        asked = ~fit_on
        labels = folder.labels // 2  # of one half these are 0, 1, 2, … without gaps
        models = {"raw pixels": raw, "frozen EfficientNet-Lite0": frozen}
        for kind in KINDS:
            models[f"and `{kind}`"] = fit_projection(kind, frozen[fit_on], labels[fit_on], None).apply(frozen)
        half_folder = folder.select_classes(np.arange(first, len(folder.classes), 2))[0]
        for name, settings in TRAININGS.items():
            ((learned,), _) = embed_folder(folder, [trained(half_folder, settings)])
            models[name] = learned
            models[f"{name}, and `wccn`"] = fit_projection("wccn", learned[fit_on], labels[fit_on], None).apply(learned)
        for name, embeddings in models.items():
            half = {"classes": folder.classes[1 - first :: 2]}
            half |= measured(np.ascontiguousarray(embeddings[asked]), labels[asked], folder.sources[asked])
            rows.setdefault(name, {"model": name, "halves": []})["halves"].append(half)
    click.echo(json.dumps({"episodes": EPISODES, "seed": SEED, "steps": STEPS, "rows": list(rows.values())}))


if __name__ == "__main__":
    main()
