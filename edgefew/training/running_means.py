"""What layers keep from batch to batch, where one step has several batches."""

from __future__ import annotations

import torch
from torch import nn

from .processes import Processes


class RunningMeans:
    """The buffers of a network (batch norm's means and variances), moved once a step however many batches it has.

    Each batch starts from where the step started; the step ends with the mean of where they came to. So it makes no
    difference how the batches of a step are spread over processes.
    """

    def __init__(self, network: nn.Module) -> None:
        self._buffers = list(network.buffers())
        self._start = self._flat()
        self._sum = torch.zeros_like(self._start)

    def end_batch(self) -> None:
        """Note where the batch came to, and go back."""
        self._sum += self._flat()
        self._set(self._start)

    def end_step(self, batches: int, processes: Processes) -> None:
        """Move to the mean of where the batches of all processes came to.

        Args:
            batches: how many there were in each process.
            processes: all of them.
        """
        self._set(processes.mean(self._sum / batches))

    def _flat(self) -> torch.Tensor:
        return torch.cat([torch.zeros(0).double(), *(buffer.detach().double().flatten() for buffer in self._buffers)])

    def _set(self, values: torch.Tensor) -> None:
        with torch.no_grad():
            parts = torch.split(values, [buffer.numel() for buffer in self._buffers])
            for buffer, part in zip(self._buffers, parts, strict=True):
                buffer.copy_(part.view_as(buffer))
