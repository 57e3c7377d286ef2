"""A program's first answer, to be measured from outside: open a bundle, classify one frame. `edgefew bench` runs it.

Imports what such a program imports and nothing else, so that its start-up and memory are those of a program.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from .bundle import Bundle
from .classifier import Classifier
from .gallery import Gallery
from .loading import load_embedder


def main() -> None:
    """Answer, then print the provider and the peak memory as JSON. The settings are JSON in the first argument."""
    settings = json.loads(sys.argv[1])
    bundle = Bundle.open(settings["bundle"])
    session = load_embedder(
        bundle,
        provider=settings["provider"],
        threads=settings["threads"],
        profile=settings["profile"],
        variant=settings["variant"],
        cache=Path(settings["cache"]),
    )
    store = Gallery(settings["gallery"], bundle.id, bundle.manifest.dimension)
    with Classifier(bundle, store, session) as classifier:
        classifier.classify(np.zeros(bundle.manifest.input.raw_shape, bundle.manifest.input.dtype))
    sys.stdout.write(json.dumps({"provider": session.provider, "peak_memory_mb": peak_memory_mb()}) + "\n")
    sys.stdout.flush()


def peak_memory_mb() -> float | None:
    """The most memory that this process held at once, in 10⁶ bytes; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        # Not resource.getrusage: on Linux, what it gives a new process includes the memory of the one that started it.
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
