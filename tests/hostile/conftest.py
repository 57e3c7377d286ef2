"""What the hostile tests share: bundles put together by hand, a limit on time, children with little memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType

import pytest
from edgefew_runtime.bundle import SUMS_FILE, sums_text

SOAK = os.environ.get("EDGEFEW_SOAK") == "1"
"""The long form: everything is tried, not a seeded sample."""

SECONDS = 3600 if SOAK else 60
"""A test that takes longer hangs."""

Write = Callable[[Mapping[str, bytes]], Path]
Child = Callable[..., str]


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail a test that does not end."""

    def stop(_: int, __: FrameType | None) -> None:
        # Not TimeoutError, which is an OSError: the code under test would make a refusal of it.
        pytest.fail(f"no end after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def sealed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with hashes that hold, as someone writes them who wants a changed bundle to pass."""
    content = {name: data for name, data in files.items() if name != SUMS_FILE}
    return content | {SUMS_FILE: sums_text(content)}


@pytest.fixture
def files(bundle: Path) -> dict[str, bytes]:
    """A true bundle's files."""
    return {file.relative_to(bundle).as_posix(): file.read_bytes() for file in bundle.rglob("*") if file.is_file()}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files as a new bundle directory; gives its path."""
    made = iter(range(10**6))

    def write(content: Mapping[str, bytes]) -> Path:
        path = tmp_path / f"{next(made)}.edgefew"
        for name, data in content.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path

    return write


@pytest.fixture
def child() -> Child:
    """Run Python code in a process with limits on time and memory; gives its standard output."""

    def run(code: str, *arguments: object, megabytes: int = 2048, seconds: int = 30) -> str:
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20,) * 2)\n"
        command = [sys.executable, "-c", limit + code, *map(str, arguments)]
        # ONNX Runtime prints names of a damaged graph as they are.
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
