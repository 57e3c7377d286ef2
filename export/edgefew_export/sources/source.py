"""Something that embeds: what every kind of source comes down to before a bundle is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from edgefew_runtime import InputSpec, SourceError
from edgefew_runtime.text_input import PADDING, TextInput
from torch import nn

from ..checkpoint import HeldOut
from ..evaluation import Embed, torch_embedder
from ..graphs import embed_graph
from ..preprocessing import EmbeddingNetwork

_SAME = 1e-3
"""The most by which a vector may depend on the rest of its batch, as a share of its length."""


@dataclass(frozen=True)
class Source:
    """A network with its preprocessing.

    Attributes:
        graph: makes `embed(frames) → embeddings` of it.
        reference: the same by the software that it comes from, after `resize`: what the graph is compared with.
        framework: that software's name.
        input: what it takes, and what is done to it first.
        lineage: what it was made from, as JSON; no paths.
        held_out: frames of classes that training never saw, if it carries any.
        files: what else the bundle needs of it, such as a tokenizer.
    """

    graph: Callable[[], onnx.ModelProto]
    reference: Embed
    framework: str
    input: InputSpec
    lineage: Mapping[str, Any]
    held_out: HeldOut | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def torch_source(
    backbone: nn.Module, spec: InputSpec, lineage: Mapping[str, Any], held_out: HeldOut | None = None
) -> Source:
    """A backbone in PyTorch: float32 [n, C, h, w] or [n, C, samples] → [n, d].

    Raises:
        SourceError: it is in training mode, does not give [n, d], or a vector depends on the rest of its batch.
    """
    _check(backbone, spec)
    network = EmbeddingNetwork(backbone, spec).eval()
    return Source(lambda: embed_graph(network, spec), torch_embedder(network, spec), "PyTorch", spec, lineage, held_out)


def text_source(network: nn.Module, spec: TextInput, files: Mapping[str, bytes], lineage: Mapping[str, Any]) -> Source:
    """A network in PyTorch: int64 [n, tokens], below 0 for padding → [n, d].

    Args:
        network: the network, not in training mode.
        spec: what it takes.
        files: the tokenizer's, under `TOKENIZER_FILE`.
        lineage: what it was made from.

    Raises:
        SourceError: it does not give [n, d], or a vector depends on the rest of its batch or on padding.
    """
    spec = spec.bound(files.__getitem__)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, spec.vocabulary, (3, *spec.size)))
    longer = F.pad(tokens[:1], (0, 3), value=PADDING)
    with torch.inference_mode():
        check_vectors(network(tokens), network(longer))
    whole = EmbeddingNetwork(network, spec).eval()
    embed = torch_embedder(whole, spec)
    return Source(lambda: embed_graph(whole, spec), embed, "PyTorch", spec, lineage, files=files)


def _check(backbone: nn.Module, spec: InputSpec) -> None:
    modes = [name or type(backbone).__name__ for name, module in backbone.named_modules() if module.training]
    if modes:
        raise SourceError(
            f"The network is in training mode ({modes[0]}): dropout and batch norm would make its output depend on "
            "chance and on the batch. Call .eval() on it before it is returned."
        )
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.normal(size=(3, *spec.network_shape)).astype(np.float32))
    try:
        with torch.inference_mode():
            together, alone = backbone(images), backbone(images[:1])
    except Exception as error:
        raise SourceError(
            f"The network cannot take float32 {list(images.shape)} ({type(error).__name__}: {error}). Check the size, "
            "the channels and the weights."
        ) from error
    check_vectors(together, alone)


def check_vectors(together: object, alone: object) -> None:
    """Refuse what is not a vector for each of three frames, and the same for the first of them alone.

    Args:
        together: what three frames gave; a tensor or array [3, d] is right.
        alone: what the first of them gave by itself.

    Raises:
        SourceError: it is not.
    """
    if not isinstance(together, (torch.Tensor, np.ndarray)) or not isinstance(alone, (torch.Tensor, np.ndarray)):
        raise SourceError(
            f"The network gives a {type(together).__name__}; one tensor [n, d] was expected. Wrap it in a module that "
            "returns the embedding alone."
        )
    whole, single = np.asarray(together), np.asarray(alone)
    if whole.ndim != 2 or whole.shape[0] != 3 or single.shape != (1, whole.shape[1]):
        raise SourceError(
            f"The network gives {list(whole.shape)} for three frames; [3, d] was expected: one vector a frame. Pool "
            "or flatten its output first."
        )
    if not np.isfinite(whole).all() or not np.abs(whole).sum(axis=1).all():
        raise SourceError("The network gives NaN, infinity or a zero vector for noise. Check its weights.")
    change = float(np.linalg.norm(whole[0] - single[0]) / np.linalg.norm(whole[0]))
    if change > _SAME:
        raise SourceError(
            f"A vector changes by {change:.1%} with the rest of its batch. An embedding must depend on its own frame "
            "alone: batch norm must use its running statistics, and nothing may be normalised over the batch."
        )
