"""How long a backbone computes while it learns, forward and backward, measured where it happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


class BackboneTimer:
    """Counts the wall time of the forward and backward passes of all modules of one class in training mode.

    The backward pass counts from when the gradient reaches the backbone's features to when the last of its parameters
    has its gradient. On a processor both run in the calling thread, so no time is counted twice.

    Attributes:
        seconds: so far.
    """

    def __init__(self, backbone: type[nn.Module]) -> None:
        self._backbone = backbone
        self._began = self._last = 0.0
        self._known: set[int] = set()
        self._watches = False
        self.seconds = 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While this lasts, time is counted."""
        hooks = [register_module_forward_pre_hook(self._before), register_module_forward_hook(self._after)]
        self._watches = True
        try:
            yield
        finally:
            self._watches = False
            for hook in hooks:
                hook.remove()

    def _before(self, module: nn.Module, _: Any) -> None:
        if isinstance(module, self._backbone):
            self._began = time.perf_counter()

    def _after(self, module: nn.Module, _: Any, features: Any) -> None:
        if not isinstance(module, self._backbone) or not module.training:
            return
        self.seconds += time.perf_counter() - self._began
        features.register_hook(self._gradient_came)
        if id(module) not in self._known:
            self._known.add(id(module))
            for parameter in filter(lambda one: one.requires_grad, module.parameters()):
                parameter.register_post_accumulate_grad_hook(self._parameter_done)

    def _gradient_came(self, _: torch.Tensor) -> None:
        self._last = time.perf_counter()

    def _parameter_done(self, _: torch.Tensor) -> None:
        now = time.perf_counter()
        if self._watches:
            self.seconds += now - self._last
        self._last = now
