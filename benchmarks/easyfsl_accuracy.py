"""easyfsl's prototypical network on pictograms, asked the same questions as `edgefew evaluate` asks.

    build/easyfsl-venv/bin/python benchmarks/easyfsl_accuracy.py pictograms/train pictograms/test --minutes 6

Trains as easyfsl's notebook `episodic_training` does: its data set, sampler, method, loop, optimiser, learning rate and
milestones, validation on classes that do not train, and the state that was best there. Its sampler knows no sources,
so its episodes have drawings of one family on both sides. Minutes are of processor time, of one thread and all that it
reads, so that what else runs on the machine takes nothing away. The test is ours: the same episodes, support and query
of different families, nearest class by Euclidean distance (its own) and by cosine (a device's); frozen
EfficientNet-Lite0 and raw pixels beside it. Prints one JSON object.
"""

from __future__ import annotations

import copy
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from easyfsl_loop import PrototypicalNetworks, classes_with, data_set, grey, loader, train_on
from edgefew_export.backbones import BACKBONES
from edgefew_export.checkpoint import read_checkpoint
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import embed_folder, evaluate, torch_embedder
from edgefew_export.labelled_folder import LabelledFolder, read_labelled_folder
from edgefew_export.sources import DeclaredInput, open_source
from edgefew_runtime.processor import processor_name
from intervals import with_interval
from PIL import Image
from torchvision import transforms

from edgefew.baseline import raw_pixels
from edgefew.training.dataset import split_classes

PATTERN = r"^(?P<source>[a-z]+)\."
SHAPES = ((5, 1), (5, 5), (20, 1))
SIZE, SEED = 32, 0
EPOCH, VALIDATION_TASKS = 500, 100
MILESTONES, GAMMA = (0.6, 0.8), 0.1
"""Where the learning rate falls to a tenth: the notebook's 120 and 160 of 200 epochs."""
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, weight_decay=5e-4),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-4),
}


def transform(augment: str) -> Callable[[Any], torch.Tensor] | None:
    """Its own for training pictures in colour, or turns, sizes and shifts of grey ones as `--augment drawing` has."""
    if augment == "own":
        return None
    affine = transforms.RandomAffine(20, translate=(0.1, 0.1), scale=(0.83, 1.2), shear=11, fill=255)
    return grey(SIZE, [affine])


def as_asked(augment: str) -> Callable[[Any], torch.Tensor]:
    """How a picture is seen when it is not trained on."""
    if augment != "own":
        return grey(SIZE)
    normalize = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    resize = transforms.Resize([int(SIZE * 1.15)] * 2)
    return transforms.Compose([resize, transforms.CenterCrop(SIZE), transforms.ToTensor(), normalize])


def accuracies(embeddings: Any, folder: LabelledFolder, kept: Any, episodes: int) -> list[dict[str, Any]]:
    """Each kind of episode, as `edgefew evaluate` draws and counts it."""
    sources = None if folder.sources is None else folder.sources[kept]
    rows = []
    for way, shot in SHAPES:
        sampler = EpisodeSampler(folder.labels[kept], sources=sources, way=way, shot=shot, query=1, seed=SEED)
        by_cosine = evaluate(embeddings, sampler, episodes)
        rows.append({"way": way, "shot": shot, "accuracy": by_cosine.accuracy, "ci95": by_cosine.ci95})
    return rows


def by_distance(features: torch.Tensor, folder: LabelledFolder, episodes: int) -> list[dict[str, Any]]:
    """The same episodes, decided by easyfsl: the Euclidean distance to the mean feature."""
    method = PrototypicalNetworks()
    rows = []
    for way, shot in SHAPES:
        sampler = EpisodeSampler(folder.labels, sources=folder.sources, way=way, shot=shot, query=1, seed=SEED)
        right = []
        for number in range(episodes):
            episode = sampler.episode(number)
            labels = torch.arange(way)
            method.process_support_set(features[episode.support.ravel()], labels.repeat_interleave(shot))
            right.append(float((method(features[episode.query.ravel()]).argmax(dim=1) == labels).float().mean()))
        found = with_interval(right)
        rows.append({"way": way, "shot": shot, "accuracy": found["mean"], "ci95": found["ci95"]})
    return rows


def trained(
    root: Path, scratch: Path, *, backbone: str, optimizer: str, augment: str, shape: Sequence[int], minutes: float
) -> dict[str, Any]:
    """The state that was best in validation, after so many minutes of processor time; how long it took."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002
    torch.manual_seed(SEED)
    way, shot, query = shape
    episode = {"way": way, "shot": shot, "query": query}
    folder = read_labelled_folder(root, PATTERN)
    enough = set(classes_with(root, shot + query))
    training, held = (
        [name for name in (folder.classes[number] for number in part) if name in enough]
        for part in split_classes(folder, SEED)
    )
    network = BACKBONES[backbone](SIZE, 3 if augment == "own" else 1)
    model = PrototypicalNetworks(network)
    steps = OPTIMIZERS[optimizer](model.parameters())
    data = data_set(root, training, scratch, transform(augment), SIZE)
    validation = data_set(root, held, scratch, as_asked(augment), SIZE)
    asked = loader(validation, way=min(way, len(held)), shot=shot, query=query, tasks=VALIDATION_TASKS)
    best, state, done, wall, began = -1.0, model.state_dict(), 0, time.monotonic(), time.process_time()

    def spent() -> float:
        return (time.process_time() - began) / (60 * minutes)

    def goes_on() -> bool:
        nonlocal done
        done += 1
        for group in steps.param_groups:
            group["lr"] = first * GAMMA ** sum(spent() >= share for share in MILESTONES)
        return spent() < 1

    first = steps.param_groups[0]["lr"]
    while spent() < 1:
        train_on(loader(data, **episode, tasks=EPOCH), model, steps, goes_on)
        right = validated(model, asked)
        if right > best:
            best, state = right, copy.deepcopy(model.state_dict())
        click.echo(f"{done} episodes, {spent():.0%}: {right:.1%} in validation", err=True)
    model.load_state_dict(state)
    return {
        "model": model,
        "told": {
            "backbone": backbone,
            "optimizer": optimizer,
            "augment": augment,
            "episode": episode,
            "steps": done,
            "training_classes": len(training),
            "validation": round(best, 4),
            "seconds": round(time.monotonic() - wall, 1),
            "processor_seconds": round(time.process_time() - began, 1),
        },
    }


def validated(model: PrototypicalNetworks, asked: Any) -> float:
    """The share right in its own episodes."""
    model.eval()
    rights = []
    with torch.inference_mode():
        for support, support_labels, query, query_labels, _ in asked:
            model.process_support_set(support, support_labels)
            rights.append(float((model(query).argmax(dim=1) == query_labels).float().mean()))
    return float(np.mean(rights))


def features_of(model: PrototypicalNetworks, folder: LabelledFolder, augment: str) -> torch.Tensor:
    """float32 [n, d]."""
    model.eval()
    see = as_asked(augment)
    images = torch.stack([see(Image.open(folder.root / name).convert("RGB")) for name in folder.files])
    with torch.inference_mode():
        return torch.cat([model.compute_features(part) for part in torch.split(images, 256)])


@click.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.argument("test", type=click.Path(path_type=Path))
@click.option("--minutes", default=10.0, show_default=True, help="Of processor time.")
@click.option("--backbone", default="resnet8", show_default=True, type=click.Choice(["conv4", "resnet8", "resnet12"]))
@click.option("--optimizer", default="sgd", show_default=True, type=click.Choice(list(OPTIMIZERS)))
@click.option("--augment", default="affine", show_default=True, type=click.Choice(["own", "affine"]))
@click.option("--shape", nargs=3, default=(20, 1, 2), show_default=True, help="Way, shot and query of its episodes.")
@click.option("--episodes", default=1000, show_default=True, help="Test episodes.")
@click.option("--checkpoint", "checkpoints", multiple=True, type=click.Path(path_type=Path), help="Of ours, beside it.")
@click.option("--frozen", multiple=True, type=int, help="Also EfficientNet-Lite0 as it is, at so many pixels a side.")
def main(
    root: Path,
    test: Path,
    minutes: float,
    backbone: str,
    optimizer: str,
    augment: str,
    shape: tuple[int, int, int],
    episodes: int,
    checkpoints: tuple[Path, ...],
    frozen: tuple[int, ...],
) -> None:
    """Train on ROOT, and measure on TEST."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        how = {"backbone": backbone, "optimizer": optimizer, "augment": augment, "shape": shape, "minutes": minutes}
        done = trained(root, Path(scratch), **how)
    folder = read_labelled_folder(test, PATTERN)
    features = features_of(done["model"], folder, augment)
    unit = torch.nn.functional.normalize(features, dim=1).numpy()
    kept = np.arange(len(folder))
    models = [
        {"model": "easyfsl", "decides": "distance", "rows": by_distance(features, folder, episodes)},
        {"model": "easyfsl", "decides": "cosine", "rows": accuracies(unit, folder, kept, episodes)},
    ]
    others: list[tuple[str, Any]] = [("raw pixels", raw_pixels)]
    for checkpoint in map(read_checkpoint, checkpoints):
        named = f"edgefew train, {checkpoint.backbone}"
        others.append((named, torch_embedder(checkpoint.network(), checkpoint.input)))
    for side in frozen:
        source = open_source("efficientnet_lite0", DeclaredInput(size=(side, side)), None)
        others.append((f"frozen EfficientNet-Lite0, {side} px", source.reference))
    embeddings, kept = embed_folder(folder, [embed for _, embed in others])
    for (name, _), found in zip(others, embeddings, strict=True):
        models.append({"model": name, "decides": "cosine", "rows": accuracies(found, folder, kept, episodes)})
    told = {
        "machine": processor_name(),
        "torch": torch.__version__,
        "seed": SEED,
        "episodes": episodes,
        "image_size": SIZE,
        "training": done["told"],
        "models": models,
    }
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
