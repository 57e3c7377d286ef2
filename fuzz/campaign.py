"""How every harness here runs: a corpus in build/fuzz, limits on time and memory, and one kind of error allowed."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

INSTRUMENTED = ["edgefew_runtime", "zipfile", "json", "PIL"]
"""Modules whose branches guide the fuzzer."""

LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-verbosity=1")
"""An input that takes longer (seconds) or more memory (MiB) is a finding, as is any error but an EdgeFewError."""

_CORPORA = Path(__file__).resolve().parent.parent / "build" / "fuzz"


def run(target: Callable[[bytes, Path], object], seeds: Iterable[bytes]) -> None:
    """Fuzz a target until an argument of libFuzzer's on the command line (-max_total_time=30, -runs=1000) ends it.

    Args:
        target: what is given the bytes, and the path of a file to put them in if it needs one.
        seeds: inputs to start from.
    """
    from edgefew_runtime import EdgeFewError

    corpus = _CORPORA / Path(sys.argv[0]).stem
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    with tempfile.TemporaryDirectory(prefix="edgefew-fuzz-") as folder:

        def one(data: bytes) -> None:
            with contextlib.suppress(EdgeFewError):
                target(data, Path(folder) / "input")

        atheris.Setup([sys.argv[0], f"-artifact_prefix={corpus}-", *LIMITS, *sys.argv[1:], str(corpus)], one)
        atheris.Fuzz()
