"""The state of an unfinished training, in one safetensors file beside the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from edgefew_export.checkpoint import read_tensors, write_atomically
from safetensors.torch import save

_KEY = "edgefew.resume"


@dataclass(frozen=True)
class ResumeState:
    """Where a training stands after some episode.

    Attributes:
        episode: how many were done.
        seconds: training time so far.
        best_accuracy: the highest so far on the validation classes; -1 before the first.
        run: what the run was asked to do and on which data; another run does not resume from this.
        model: weights and buffers, by name.
        optimizer: the optimiser's tensors, as "parameter number.name".
    """

    episode: int
    seconds: float
    best_accuracy: float
    run: Mapping[str, Any]
    model: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]

    def save(self, path: Path) -> None:
        """Write it; the file is whole or not there."""
        header = {k: getattr(self, k) for k in ("episode", "seconds", "best_accuracy")} | {"run": dict(self.run)}
        tensors = {f"model.{n}": t for n, t in self.model.items()} | {
            f"optimizer.{n}": t for n, t in self.optimizer.items()
        }
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(path, save(tensors, {_KEY: json.dumps(header, sort_keys=True)}))

    @classmethod
    def read(cls, path: Path) -> ResumeState:
        """Read what `save` wrote.

        Raises:
            CheckpointError: it is not there or not whole.
        """
        tensors, header = read_tensors(path, _KEY)
        parts = {
            part: {n.removeprefix(part): t for n, t in tensors.items() if n.startswith(part)}
            for part in ("model.", "optimizer.")
        }
        return cls(model=parts["model."], optimizer=parts["optimizer."], **header)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What the optimiser remembers of each parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give the optimiser back what `optimizer_tensors` took.

    In the layout of the parameters, which the file does not hold: a fused optimiser goes through a parameter, its
    gradient and what it remembers of it as they lie in memory.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        like = parameters[int(number)]
        laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(number), {})[key] = laid_out
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
