"""What the vehicle example's steps share: where the project is, headlines, and the command `edgefew`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def step(title: str) -> None:
    """A headline."""
    print(f"\n{title}", flush=True)


def edgefew(*words: object) -> None:
    """Run a command and show it; an error ends all."""
    print("$ edgefew", *(str(word).replace(f"{ROOT}/", "") for word in words), flush=True)
    command = [str(Path(sys.executable).with_name("edgefew")), *map(str, words)]
    done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"`edgefew {' '.join(map(str, words))}` failed with exit status {done.returncode}")
