r"""Training beside easyfsl's own loop: the same network, images, episodes, optimiser and threads, in turns.

    build/easyfsl-venv/bin/python benchmarks/training_speed.py pictograms/train \
        --recipe examples/recipes/pictograms.toml pictograms/train

Prints one JSON object. Each round is a block of episodes of `edgefew train`, then a block of each of easyfsl's ways, so
that what else runs on the machine meets all alike; ratios are of the same round, with 95 % intervals over rounds.
easyfsl reads each file every time, as documented (`files`), with or without worker processes; `held` gives it the
images as tensors from memory, and `held, channels last` the layout of ours too. Its blocks are timed from their first
episode on, when its workers have started and read ahead; what reading once costs us is told as `reading_s`.

`outside` is the share of a step of ours that is neither the forward nor the backward pass of the backbone: drawing the
episode, taking and augmenting the frames, normalising, head, loss, optimiser, logs. Validation, which comes every 200
steps, is told apart. For each --recipe the same share, by its own settings.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import tomllib
import torch
from backbone_timer import BackboneTimer
from easyfsl_loop import Held, PrototypicalNetworks, classes_with, data_set, grey, loader, train_on
from edgefew_export.backbones import BACKBONES
from edgefew_export.backbones.ensemble import Ensemble
from edgefew_export.labelled_folder import LabelledFolder, read_labelled_folder
from edgefew_runtime.processor import processor_name
from intervals import with_interval
from torchvision import transforms

from edgefew.training.config import TrainingConfig
from edgefew.training.loop import VALIDATE_EVERY, WEIGHT_DECAY, train
from edgefew.training.progress import Step

SIZE = 32
SHAPES = ((20, 1, 2, "none"), (5, 5, 2, "none"), (20, 1, 2, "light"))
"""Way, shot, query, and how images are changed."""
WARM_UP = 1


class InTurn:
    """Told of each step of ours: times it, and after each block of steps gives the others their turn."""

    def __init__(self, timer: BackboneTimer, block: int, others: dict[str, Callable[[], float]]) -> None:
        self._timer, self._block, self._others = timer, block, others
        self._steps: list[float] = []
        self._computed, self.reading = 0.0, 0.0
        self._since = time.perf_counter()
        self.blocks: list[dict[str, float]] = []
        self.outside: list[float] = []
        self.validated: list[float] = []

    def __call__(self, step: Step) -> None:
        """After each step."""
        took = time.perf_counter() - self._since
        if step.episode == 1:
            self.reading = took  # all that comes before the first step, and that step
        if step.validation is not None:
            self.validated.append(took)
        else:
            self._steps.append(took)
            self._computed += self._timer.seconds
        if len(self._steps) == self._block:
            self.blocks.append({"ours": sum(self._steps) / self._block})
            self.outside.append(1 - self._computed / sum(self._steps))
            self.blocks[-1] |= {name: other() for name, other in self._others.items()}
            self._steps, self._computed = [], 0.0
        self._timer.seconds = 0.0
        self._since = time.perf_counter()

    def told(self) -> dict[str, Any]:
        """Without the first block: seconds of a step and the share outside of the backbone, of ours."""
        step = statistics.median(block["ours"] for block in self.blocks[WARM_UP:])
        validation = max(0.0, statistics.median(self.validated) - step)
        return {
            "ms": round(1000 * step, 2),
            "per_second": round(1 / step, 2),
            "outside": with_interval(self.outside[WARM_UP:]),
            "validation": round(validation / (validation + VALIDATE_EVERY * step), 4),
        }


def measured(
    folder: LabelledFolder, config: TrainingConfig, rounds: int, block: int, others: dict[str, Callable[[], float]]
) -> InTurn:
    """A training of so many blocks."""
    timer = BackboneTimer(BACKBONES.get(config.backbone_name(), Ensemble))
    with tempfile.TemporaryDirectory() as scratch, timer.watching():
        turns = InTurn(timer, block, others)
        # The last step validates, and is of no block.
        config = dataclasses.replace(config, minutes=None, episodes=block * (rounds + WARM_UP) + 1, device="cpu")
        train(folder, Path(scratch, "a.ckpt"), config, on_step=turns)
    return turns


class Theirs:
    """A way of easyfsl's to train: a call gives the seconds of an episode, over a block of them."""

    def __init__(
        self, data: Any, config: TrainingConfig, block: int, workers: int = 0, layout: Any = torch.contiguous_format
    ) -> None:
        torch.manual_seed(0)
        self._model = PrototypicalNetworks(BACKBONES[config.backbone_name()](SIZE, config.channels))
        self._model.to(memory_format=layout)
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), lr=config.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        )
        self._layout = layout
        shape = {"way": config.way, "shot": config.shot, "query": config.query}
        self._loader = loader(data, **shape, tasks=block + 1, workers=workers)

    def __call__(self) -> float:
        """Seconds of an episode."""
        ends: list[float] = []

        def note() -> bool:
            ends.append(time.perf_counter())
            return True

        train_on(self._loader, self._model, self._optimizer, note, self._layout)
        return (ends[-1] - ends[0]) / (len(ends) - 1)


def side_by_side(root: Path, config: TrainingConfig, rounds: int, block: int, scratch: Path) -> dict[str, Any]:
    """One kind of episode, ours and theirs in turns."""
    classes = classes_with(root, config.shot + config.query)
    # As much as `--augment light` does, of what torchvision has for it.
    affine = transforms.RandomAffine(8, translate=(0.05, 0.05), scale=(0.9, 1.1), shear=5, fill=255)
    change = [affine] if config.augment == "light" else []
    from_files = data_set(root, classes, scratch, grey(SIZE, change))
    white = transforms.RandomAffine(8, translate=(0.05, 0.05), scale=(0.9, 1.1), shear=5, fill=1.0)
    held = Held(data_set(root, classes, scratch, grey(SIZE)), [white] if change else [])
    others: dict[str, Callable[[], float]] = {
        "files": Theirs(from_files, config, block),
        "files, 2 workers": Theirs(from_files, config, block, workers=2),
        "held": Theirs(held, config, block),
        "held, channels last": Theirs(held, config, block, layout=torch.channels_last),
    }
    folder = read_labelled_folder(root)
    chosen, _ = folder.select_classes(np.flatnonzero(np.isin(folder.classes, classes)))
    turns = measured(chosen, config, rounds, block, others)
    kept = turns.blocks[WARM_UP:]
    told = {}
    for name in others:
        seconds = statistics.median(one[name] for one in kept)
        ratio = with_interval([one[name] / one["ours"] for one in kept])
        told[name] = {"ms": round(1000 * seconds, 2), "per_second": round(1 / seconds, 2), "ratio": ratio}
    return {
        "way": config.way,
        "shot": config.shot,
        "query": config.query,
        "augment": config.augment,
        "backbone": config.backbone_name(),
        "threads": torch.get_num_threads(),
        "classes": len(classes),
        "ours": turns.told() | {"reading_s": round(turns.reading, 2)},
        "easyfsl": told,
    }


def by_recipe(recipe: Path, root: Path, rounds: int, block: int) -> dict[str, Any]:
    """Where the time of a recipe's steps goes, on as much of its data as is there."""
    settings = tomllib.loads(recipe.read_text(encoding="utf-8"))
    pattern = settings.pop("source-pattern", None)
    options = {name.replace("-", "_"): value for name, value in settings.items()}
    known = {field.name for field in dataclasses.fields(TrainingConfig)}
    config = TrainingConfig(**{name: value for name, value in options.items() if name in known})
    turns = measured(read_labelled_folder(root, pattern), config, rounds, block, {})
    return {"recipe": recipe.stem, "threads": torch.get_num_threads(), **turns.told()}


@click.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--recipe", "recipes", nargs=2, multiple=True, type=click.Path(path_type=Path), help="And its data.")
@click.option("--threads", "counts", multiple=True, default=[1, 2], show_default=True, help="May be given again.")
@click.option("--rounds", default=6, show_default=True, type=click.IntRange(2), help="Blocks of each, after the first.")
@click.option("--block", default=10, show_default=True, type=click.IntRange(2), help="Episodes of a block.")
def main(root: Path, recipes: Sequence[tuple[Path, Path]], counts: Sequence[int], rounds: int, block: int) -> None:
    """Train on ROOT, a folder of class folders of PNG files, as `edgefew data pictograms` makes it."""
    began = time.monotonic()
    rows, shares = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for (way, shot, query, augment), threads in itertools.product(SHAPES, counts):
            torch.set_num_threads(threads)
            config = TrainingConfig(way=way, shot=shot, query=query, augment=augment, channels=1, episodes=1)
            rows.append(side_by_side(root, config, rounds, block, Path(scratch)))
            click.echo(f"{way}-way {shot}-shot, {augment}, {threads} threads: done", err=True)
        for (recipe, data), threads in itertools.product(recipes, counts):
            torch.set_num_threads(threads)
            shares.append(by_recipe(recipe, data, 4, 4))
            click.echo(f"{recipe.stem}, {threads} threads: done", err=True)
    machine = {
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[2], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": importlib.metadata.version("torchvision"),
        "easyfsl": importlib.metadata.version("easyfsl"),
    }
    told = {
        "machine": machine,
        "data": root.parent.name,
        "image_size": SIZE,
        "rounds": rounds,
        "block": block,
        "seconds": round(time.monotonic() - began),
        "rows": rows,
        "recipes": shares,
    }
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
