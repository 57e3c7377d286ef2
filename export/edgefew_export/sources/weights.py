"""Weights from a file into a network: safetensors, which cannot run code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from edgefew_runtime import SourceError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn


def load_weights(network: nn.Module, path: Path) -> str:
    """Load a safetensors file into a network; gives the file's SHA-256.

    Raises:
        SourceError: there is no such file, it is of another kind, or it does not fit the network.
    """
    try:
        content = path.read_bytes()
        tensors = load(content)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
    except SafetensorError as error:
        raise SourceError(
            f"{path} is no safetensors file ({error}). Files of torch.save are pickles, which can run code; write "
            "yours anew once, where you trust it: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
        ) from None
    fill(network, tensors, str(path))
    return hashlib.sha256(content).hexdigest()


def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], name: str) -> None:
    """Put tensors into a network, all of them and no other.

    Raises:
        SourceError: one is missing, left over or of another shape.
    """
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        lines = " ".join(str(error).split())
        shown = lines[:400] + " …" * (len(lines) > 400)
        raise SourceError(f"{name} does not fit the network: {shown}") from None
