"""Killed, out of disk, read-only, two writers: nothing that was acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Example, Gallery, GalleryError, head

BUNDLE, DIMENSION = "a" * 64, 64

WRITER = """
import sys, hashlib
import numpy as np
from edgefew_runtime import Example, Gallery, head
gallery = Gallery(sys.argv[1], "a" * 64, 64)
for number in range(int(sys.argv[2]), 10**6):
    row = np.random.default_rng(number).standard_normal((1, 64)).astype(np.float32)
    example = Example(head.to_grid(row)[0], str(number), hashlib.sha256(str(number).encode()).hexdigest())
    gallery.enroll(f"class {number % 5}", [example])
    print(number, flush=True)
"""


def example(number: int) -> Example:
    row = np.random.default_rng(number).standard_normal((1, DIMENSION)).astype(np.float32)
    return Example(head.to_grid(row)[0], str(number), f"{number:064}")


def enrolled(gallery: Gallery) -> list[str]:
    return [
        e["source"]
        for event in gallery.log()
        if event.kind == "enroll"
        for p in event.payload["added"]
        for e in p["examples"]
    ]


def test_what_was_acknowledged_before_a_kill_is_there_once(gallery_path: Path) -> None:
    acknowledged: list[str] = []
    rng = random.Random(1)
    for attempt in range(8):
        command = [sys.executable, "-c", WRITER, str(gallery_path), str(1000 * attempt)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.15))
            writer.kill()
            acknowledged += (first + writer.stdout.read()).split()
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        held = enrolled(gallery)
        assert len(held) == len(set(held))
        assert set(acknowledged) <= set(held)
        # At most one write for each kill was on its way and not yet acknowledged.
        assert len(held) - len(acknowledged) <= 8
        assert sum(c.examples for c in gallery.classes()) == len(held)
        assert not gallery.problems()
    assert len(acknowledged) > 50


def test_two_processes_enroll_at_once(gallery_path: Path) -> None:
    commands = [[sys.executable, "-c", WRITER, str(gallery_path), str(start)] for start in (0, 500_000)]
    writers = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True) for c in commands]
    time.sleep(1.5)
    for writer in writers:
        writer.kill()
    acknowledged = [line for writer in writers for line in writer.communicate()[0].split()]
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        held = enrolled(gallery)
        assert set(acknowledged) <= set(held)
        assert len(held) == len(set(held))
        assert {int(n) // 500_000 for n in held} == {0, 1}
        assert not gallery.problems()


def test_a_full_disk_changes_nothing(gallery_path: Path) -> None:
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("stop", [example(1)])
    child = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from edgefew_runtime import Gallery, GalleryError, Example, head
gallery = Gallery({str(gallery_path)!r}, "a" * 64, 64)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rows = head.to_grid(np.random.default_rng(2).standard_normal((2000, 64)).astype(np.float32))
try:
    gallery.enroll("go", [Example(row, str(i), f"{{i:064}}") for i, row in enumerate(rows)])
except GalleryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert "Nothing was changed" in done.stdout
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        assert [(c.label, c.examples) for c in gallery.classes()] == [("stop", 1)]
        assert not gallery.problems()


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.75, 0.99])
def test_a_truncated_gallery_is_refused_or_whole(gallery_path: Path, share: float) -> None:
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        for number in range(200):
            gallery.enroll(f"class {number % 3}", [example(number)])
    data = gallery_path.read_bytes()
    gallery_path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(GalleryError), Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        if gallery.problems() or gallery.state() is None:
            raise GalleryError("found")


def test_what_a_killed_creation_leaves_is_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "new.gallery"
    path.touch()  # what a process leaves that was killed before its first commit
    with Gallery(path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("stop", [example(1)])
        assert not gallery.problems()
    with Gallery(path, BUNDLE, DIMENSION) as gallery:
        assert [c.label for c in gallery.classes()] == ["stop"]
