"""The processes of one training: this one alone, or all that torchrun started, each with its own episodes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from edgefew_runtime import TrainingError
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """Which process this is, and of how many; the calls below must be made by all of them.

    Attributes:
        rank: this one's number, from 0.
        count: how many there are.
        device: where their messages lie, "cpu" or "cuda".
    """

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files and tells of progress."""
        return self.rank == 0

    def wrap(self, module: nn.Module, parts_rest: bool) -> nn.Module:
        """The module with its gradients averaged over the processes in every backward pass.

        Args:
            module: the same in each process.
            parts_rest: some of its parameters take no part in some passes.
        """
        if self.count == 1:
            return module
        # Running means are averaged by the loop, over all that a step saw: not those of the first process sent round.
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=parts_rest)

    @contextlib.contextmanager
    def gradients(self, module: nn.Module, *, average: bool) -> Iterator[None]:
        """Around a forward and a backward pass: whether its gradients, with those before it, are averaged now."""
        waits = isinstance(module, DistributedDataParallel) and not average
        with self._peers(), cast(DistributedDataParallel, module).no_sync() if waits else contextlib.nullcontext():
            yield

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over the processes, the same to the bit in each: float64 [n], from float64 [n]."""
        return self._sum(values) / self.count if self.count > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether it is so in any of them."""
        return flag if self.count == 1 else bool(self._sum(torch.tensor([float(flag)]))[0])

    def from_first(self, value: float) -> float:
        """What the first of them has."""
        if self.count == 1:
            return value
        return float(self._sum(torch.tensor([value if self.is_first else 0.0], dtype=torch.float64))[0])

    def wait(self) -> None:
        """Until all of them are here."""
        self.from_first(0.0)

    def check_same(self, run: Mapping[str, Any]) -> None:
        """Refuse processes that were given other options or data than the first.

        Raises:
            TrainingError: they were.
        """
        digest = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).digest()
        own = torch.tensor([float(byte) for byte in digest])
        if self.any(not torch.equal(self.mean(own), own)):
            raise TrainingError(
                f"The {self.count} processes were given different options or data. Start each with the same command, "
                "on the same files."
            )

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        message = values.to(self.device, copy=True)
        with self._peers():
            distributed.all_reduce(message)
        return message.to(values.device)

    @contextlib.contextmanager
    def _peers(self) -> Iterator[None]:
        """Tells in one sentence that another process is gone.

        Raises:
            TrainingError: it is.
        """
        try:
            yield
        except RuntimeError as error:
            # gloo has no error type of its own
            if self.count > 1 and (isinstance(error, distributed.DistError) or "gloo" in str(error).lower()):
                raise TrainingError(
                    "Another process of this training ended. See what it said, and go on with --resume."
                ) from None
            raise


@contextlib.contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, joined until the context ends; this one alone where it started none.

    Args:
        device: "cuda" (each process takes the GPU of its local rank; NCCL) or "cpu" (gloo).

    Raises:
        TrainingError: more processes than GPUs on this machine.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    if device == "cuda":
        local, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= found:
            raise TrainingError(
                f"torchrun started a process number {local} on a machine with {found} GPUs. Give it --nproc-per-node "
                f"{found}, or --device cpu to the training."
            )
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()
