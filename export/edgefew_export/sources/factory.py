"""`module:factory`: any network in PyTorch, from a function that returns it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgefew_runtime import SourceError
from torch import nn

from .source import Source, torch_source
from .weights import load_weights

if TYPE_CHECKING:
    from . import Declared


def factory_source(name: str, declared: Declared, weights: Path | None) -> Source:
    """The network that `factory()` of `module` returns; the module is looked for in the working directory too.

    Importing a module runs it: give only your own.

    Raises:
        SourceError: there is no such module or factory, or what it returns cannot be exported.
    """
    module_name, _, factory_name = name.partition(":")
    network = _call(module_name, factory_name)
    lineage = {"source": "factory", "factory": name}
    if weights is not None:
        lineage["weights_sha256"] = load_weights(network, weights)
    return torch_source(network, declared.spec(), lineage)


def _call(module_name: str, factory_name: str) -> nn.Module:
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SourceError(
            f"The module {module_name!r} cannot be imported ({error}). It must be installed, or lie in the folder that "
            "you call from."
        ) from error
    finally:
        sys.path.remove(str(Path.cwd()))
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise SourceError(f"{module_name!r} has no function {factory_name!r}; it has: {', '.join(names) or 'none'}.")
    network = factory()
    if not isinstance(network, nn.Module):
        raise SourceError(
            f"{module_name}:{factory_name}() returns a {type(network).__name__}; a torch.nn.Module was expected."
        )
    return network
