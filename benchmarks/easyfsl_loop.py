"""Episodic training with easyfsl 1.5, as its notebook `episodic_training` does it: its data set, sampler, method.

Needs easyfsl and torchvision: `make build/easyfsl-venv/.ready`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler

# easyfsl's sampler hands `data_source` on to torch's, which takes no argument any more.
Sampler.__init__ = lambda self, data_source=None: None  # type: ignore[method-assign]

from easyfsl.datasets import EasySet  # noqa: E402
from easyfsl.methods import FewShotClassifier, PrototypicalNetworks  # noqa: E402
from easyfsl.samplers import TaskSampler  # noqa: E402
from torchvision import transforms  # noqa: E402

__all__ = ["Held", "PrototypicalNetworks", "classes_with", "data_set", "grey", "loader", "train_on"]

Episode = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Sequence[int]]


def classes_with(folder: Path, images: int) -> list[str]:
    """The classes (folders) below a folder that have at least so many images: its sampler takes no others."""
    return sorted(place.name for place in folder.iterdir() if len(list(place.glob("*.png"))) >= images)


def grey(size: int, augmentation: Sequence[Any] = ()) -> Callable[[Any], torch.Tensor]:
    """Pictures as the networks here see them: one channel, `size` pixels a side, -1 to 1."""
    return transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize([size, size]),
            *augmentation,
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )


def data_set(
    folder: Path, classes: Sequence[str], scratch: Path, transform: Callable[[Any], Any] | None, size: int = 32
) -> EasySet:
    """Its own data set of these classes, which reads a file each time that it is asked for it.

    Without a transform, its own for training: a random part of the picture, random colours, mirrored or not.
    """
    specs = scratch / "specs.json"
    roots = [str(folder / name) for name in classes]
    specs.write_text(json.dumps({"class_names": list(classes), "class_roots": roots}), encoding="utf-8")
    return EasySet(specs, image_size=size, transform=transform, training=True)


class Held(EasySet):
    """A data set's images, read once and held as tensors: what easyfsl does not do of itself."""

    def __init__(self, base: EasySet, augmentation: Sequence[Any] = ()) -> None:
        self.images = [base[number][0] for number in range(len(base))]
        self.labels, self.class_names = base.labels, base.class_names
        self.transform = transforms.Compose(augmentation) if augmentation else nn.Identity()

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[item]), self.labels[item]


def loader(data: EasySet, *, way: int, shot: int, query: int, tasks: int, workers: int = 0) -> DataLoader[Any]:
    """`tasks` episodes, by its own sampler."""
    sampler = TaskSampler(data, n_way=way, n_shot=shot, n_query=query, n_tasks=tasks)
    return DataLoader(data, batch_sampler=sampler, num_workers=workers, collate_fn=sampler.episodic_collate_fn)


def train_on(
    episodes: Iterable[Episode],
    model: FewShotClassifier,
    optimizer: torch.optim.Optimizer,
    on_episode: Callable[[], bool] = lambda: True,
    layout: torch.memory_format = torch.contiguous_format,
) -> float:
    """The mean loss over these episodes, learned from one after the other; `on_episode` says whether to go on."""
    model.train()
    losses = []
    for support, support_labels, query, query_labels, _ in episodes:
        optimizer.zero_grad()
        model.process_support_set(support.contiguous(memory_format=layout), support_labels)
        loss = nn.functional.cross_entropy(model(query.contiguous(memory_format=layout)), query_labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not on_episode():
            break
    return sum(losses) / len(losses)
