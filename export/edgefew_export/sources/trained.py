"""A checkpoint that `edgefew train` wrote."""

from __future__ import annotations

from pathlib import Path

from ..checkpoint import read_checkpoint
from .source import Source, torch_source


def trained_source(path: Path) -> Source:
    """The checkpoint's network, with its frames of unseen classes.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        SourceError: its network cannot be exported.
    """
    checkpoint = read_checkpoint(path)
    lineage = {
        "source": "checkpoint",
        "checkpoint_sha256": checkpoint.sha256,
        "backbone": checkpoint.backbone,
        "training": dict(checkpoint.training),
    }
    return torch_source(checkpoint.network().backbone, checkpoint.input, lineage, checkpoint.held_out)
