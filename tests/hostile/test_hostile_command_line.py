"""The same abuses through the command line: one line that begins with Error, exit status 1, no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cli

COMMAND = [sys.executable, "-c", "from edgefew_runtime.commands import edgefew; edgefew()"]


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], capture_output=True, cwd=cwd, timeout=30, check=False)


@pytest.fixture(scope="module")
def site(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, a gallery of one class, and things that are none."""
    tmp_path = tmp_path_factory.mktemp("site")
    shutil.copytree(bundle, tmp_path / "good")
    shutil.copytree(bundle, tmp_path / "damaged")
    (tmp_path / "damaged" / "golden.npz").write_bytes(b"x")
    picture = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    (tmp_path / "junk.png").write_bytes(b"junk")
    (tmp_path / "junk.gallery").write_bytes(b"SQLite format 3\0" + bytes(4000))
    (tmp_path / "junk.zip").write_bytes(b"PK\3\4" + bytes(400))
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"junk")
    (tmp_path / "\x1b[2J.png").write_bytes(b"junk")
    os.mkfifo(tmp_path / "pipe")
    assert run("enroll", "good", "stop", "a.png", "--gallery", "g", cwd=tmp_path).returncode == 0
    return tmp_path


REFUSED = [
    ("classify", "damaged", "a.png", "--gallery", "g"),
    ("classify", "junk.zip", "a.png", "--gallery", "g"),
    ("classify", "/dev/zero", "a.png", "--gallery", "g"),
    ("classify", "pipe", "a.png", "--gallery", "g"),
    ("classify", "good", "junk.png", "--gallery", "g"),
    ("classify", "good", "/dev/zero", "--gallery", "g"),
    ("classify", "good", "pipe", "--gallery", "g"),
    ("classify", "good", "caf\udce9.png", "--gallery", "g"),
    ("classify", "good", "\x1b[2J.png", "--gallery", "g"),
    ("classify", "good", "a" * 5000, "--gallery", "g"),
    ("classify", "good", "a.png", "--gallery", "junk.gallery"),
    ("classify", "a" * 5000, "a.png", "--gallery", "g"),
    ("enroll", "good", "a\x1b[2Jb", "a.png", "--gallery", "g"),
    ("enroll", "good", "caf\udce9", "a.png", "--gallery", "g"),
    ("enroll", "good", "\u202egnp", "a.png", "--gallery", "g"),
    ("enroll", "good", "x" * 201, "a.png", "--gallery", "g"),
    ("enroll", "good", "", "a.png", "--gallery", "g"),
    ("enroll", "good", "stop", "a.png", "junk.png", "--gallery", "new"),
    ("merge", "junk.gallery", "--gallery", "g"),
    ("merge", "a.png", "--gallery", "g"),
    ("pack", "damaged", "out"),
    ("pack", "good", "a" * 5000),
    ("pack", "good", "no/such/folder"),
    ("pack", "good", "good/inside"),
]


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: ascii(words[:4])[:60])
def test_an_abuse_is_one_line_and_exit_status_1(
    site: Path, words: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site)
    done = cli(*words)
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("note:"))
    assert line.startswith("Error: ")
    assert "\x1b" not in line
    assert not done.stdout
    assert not (site / "new").exists()


@pytest.mark.parametrize("words", [REFUSED[0], REFUSED[6], REFUSED[7], REFUSED[8]], ids=lambda words: ascii(words[2]))
def test_in_a_process_of_its_own_it_is_no_traceback_either(site: Path, words: tuple[str, ...]) -> None:
    done = run(*words, cwd=site)
    assert done.returncode == 1
    assert b"Error: " in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stderr


def test_verification_of_a_damaged_bundle_says_so_in_json(site: Path) -> None:
    done = run("verify", "damaged", "--json", cwd=site)
    assert done.returncode == 1
    assert b'"passed": false' in done.stdout
    assert not done.stderr
