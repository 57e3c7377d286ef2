"""A checkpoint: weights, preprocessing and what they were trained on, in one safetensors file.

Nothing in it can run code: tensors and one JSON text. It also carries frames of classes that training never saw (the
validation classes), so that export can prove itself and calibrate thresholds with nothing else at hand. They stay on
the workstation: no training or validation image goes into a bundle.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from edgefew_runtime import BundleFormatError, CheckpointError, InputSpec
from edgefew_runtime.frames import RawFrame
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .backbones import build_backbone
from .preprocessing import EmbeddingNetwork

FORMAT = 1
_KEY = "edgefew"
_WEIGHTS = "backbone."


@dataclass(frozen=True)
class HeldOut:
    """Frames of classes that training never saw.

    Attributes:
        frames: at the backbone's size; uint8 [n, S, S, C], or float32 [n, samples, C]; of sounds C is 1.
        labels: int64 [n].
        sources: int64 [n], or None where every frame is its own source.
    """

    frames: RawFrame
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64] | None

    def raw(self, spec: InputSpec) -> RawFrame:
        """The frames as a camera or recorder would give them: grey as three equal colours."""
        if spec.kind == "audio":
            return np.ascontiguousarray(self.frames[..., 0])
        return np.ascontiguousarray(np.broadcast_to(self.frames, (len(self.frames), *spec.raw_shape)))


@dataclass(frozen=True)
class Checkpoint:
    """A trained backbone and all that is needed to use it.

    Attributes:
        backbone: its name in the registry.
        settings: its settings beyond size and channels.
        weights: its state, by name.
        input: its preprocessing.
        scale: the factor on the scores of training's head that training learned.
        training: what it was trained on and how, as JSON; no paths.
        held_out: frames of unseen classes.
        sha256: of the file; empty before it is saved.
    """

    backbone: str
    settings: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    input: InputSpec
    scale: float
    training: Mapping[str, Any]
    held_out: HeldOut
    sha256: str = ""

    def network(self) -> EmbeddingNetwork:
        """The network in evaluation mode: raw frames at its size → unit vectors [n, d]."""
        backbone = build_backbone(self.backbone, self.input, **self.settings)
        try:
            backbone.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise CheckpointError(f"The weights do not fit the backbone {self.backbone!r}: {error}.") from None
        return EmbeddingNetwork(backbone, self.input).eval()

    def save(self, path: Path) -> None:
        """Write the checkpoint; the file is whole or not there."""
        description = {
            "format": FORMAT,
            "backbone": self.backbone,
            "settings": dict(self.settings),
            "input": self.input.to_dict(),
            "scale": self.scale,
            "training": dict(self.training),
        }
        tensors = {_WEIGHTS + name: tensor.detach().cpu().contiguous() for name, tensor in self.weights.items()}
        tensors["held_out.frames"] = torch.from_numpy(self.held_out.frames)
        tensors["held_out.labels"] = torch.from_numpy(self.held_out.labels)
        if self.held_out.sources is not None:
            tensors["held_out.sources"] = torch.from_numpy(self.held_out.sources)
        write_atomically(path, save(tensors, {_KEY: json.dumps(description, sort_keys=True)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`.

    Raises:
        CheckpointError: no such file, not a checkpoint, or of a newer format.
    """
    tensors, description = read_tensors(path, _KEY)
    if description.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a checkpoint of format {description.get('format')!r}; this version of edgefew-export "
            f"reads {FORMAT}. "
            "Upgrade edgefew-export."
        )
    weights = {n.removeprefix(_WEIGHTS): t for n, t in tensors.items() if n.startswith(_WEIGHTS)}
    try:
        sources = tensors.get("held_out.sources")
        held_out = HeldOut(
            tensors["held_out.frames"].numpy(),
            tensors["held_out.labels"].numpy(),
            None if sources is None else sources.numpy(),
        )
        return Checkpoint(
            description["backbone"],
            description["settings"],
            weights,
            InputSpec.from_dict(description["input"]),
            description["scale"],
            description["training"],
            held_out,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
    except (KeyError, TypeError, ValueError, BundleFormatError) as error:
        raise CheckpointError(
            f"{path} is not a whole checkpoint ({type(error).__name__}: {error}). Train again, or copy it again."
        ) from None


def read_tensors(path: Path, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a safetensors file that EdgeFew wrote, and the JSON object under `key` of its header."""
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}. Check the path, or make one with `edgefew train`.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            description = json.loads(metadata[key])
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint that `edgefew train` wrote ({type(error).__name__}: {error}). Check the path."
        ) from None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or not there, also after a power failure."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name is on the disk too
        finally:
            os.close(folder)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror or error}. Make room, or check the folder."
        ) from None
