"""Killed, out of disk, read-only, two writers, torn copies: nothing acknowledged is lost, nothing is there twice.

The long form (EDGEFEW_SOAK=1, `make soak`) does the same more often: 200 kills, every page.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Example, Gallery, GalleryError, head

BUNDLE, DIMENSION = "a" * 64, 64

SOAK = bool(os.environ.get("EDGEFEW_SOAK"))
KILLS, COPIES, CUTS, FILLS = (200, 200, 10**6, 500) if SOAK else (8, 12, 12, 24)
PAGE = 4096

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
    for attempt in range(KILLS):
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
        assert len(held) - len(acknowledged) <= KILLS
        assert sum(c.examples for c in gallery.classes()) == len(held)
        assert not gallery.problems()
    assert len(acknowledged) > 50


def test_two_processes_enroll_at_once(gallery_path: Path) -> None:
    commands = [[sys.executable, "-c", WRITER, str(gallery_path), str(start)] for start in (0, 500_000)]
    writers = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True) for c in commands]
    # Both are at work once each has enrolled one; under load that may take a while.
    acknowledged = [writer.stdout.readline().strip() for writer in writers if writer.stdout is not None]
    time.sleep(1)
    for writer in writers:
        writer.kill()
    acknowledged += [line for writer in writers for line in writer.communicate()[0].split()]
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


def test_a_disk_that_fills_up_anywhere_loses_nothing_and_work_goes_on_when_there_is_room(gallery_path: Path) -> None:
    child = f"""
import os, random, resource, signal
import numpy as np
from edgefew_runtime import Gallery, GalleryError, Example, head
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, rng = {str(gallery_path)!r}, random.Random(8)
rows = head.to_grid(np.random.default_rng(2).standard_normal((30, 64)).astype(np.float32))

def enroll(label, number):
    gallery.enroll(label, [Example(row, label, f"{{number:032}}{{i:032}}") for i, row in enumerate(rows)])

acknowledged, refused = [], 0
with Gallery(path, {BUNDLE!r}, 64) as gallery:
    enroll("first", 0)
    for number in range(1, {FILLS}):
        held = max(os.path.getsize(path + end) for end in ("", "-wal"))
        # Full a little later, or long before: what goes back from the log into the file does not find room either.
        room = rng.choice([held + rng.randrange(120_000), rng.randrange(4_096, held + 120_000)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            enroll(f"class {{number}}", number)
            acknowledged.append(f"class {{number}}")
        except GalleryError as error:
            assert "Nothing was changed" in str(error), error
            refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert [c.label for c in gallery.classes()] == ["first", *acknowledged]
    enroll("last", {FILLS})
assert refused > {FILLS} // 8 and len(acknowledged) > {FILLS} // 8, (refused, acknowledged)
print(*acknowledged, "last", sep=",")
"""
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        assert [c.label for c in gallery.classes()] == ["first", *done.stdout.strip().split(",")]
        assert not gallery.problems()


def whole_or_refused(path: Path) -> set[str] | None:
    """What a gallery holds if it opens and is whole; None if it is refused, or found to be damaged."""
    try:
        with Gallery(path, BUNDLE, DIMENSION) as gallery:
            if gallery.problems():
                return None
            held = {e.source for examples in gallery.content().values() for e in examples}
            assert len(held) == sum(c.examples for c in gallery.classes()) == int(gallery.task().counts.sum())
            return held
    except GalleryError:
        return None


def test_a_gallery_truncated_at_any_page_is_refused(gallery_path: Path, tmp_path: Path) -> None:
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        for number in range(120):
            gallery.enroll(f"class {number % 3}", [example(number)])
    data = gallery_path.read_bytes()
    pages = len(data) // PAGE
    assert pages > 30
    lengths = [page * PAGE + extra for page in range(1, pages) for extra in (0, 1, PAGE // 2)]
    for length in random.Random(3).sample(lengths, min(CUTS, len(lengths))):
        cut = tmp_path / "cut.gallery"
        cut.write_bytes(data[:length])
        assert whole_or_refused(cut) is None, length


@contextlib.contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that enrolls one example after the other and tells of each."""
    command = [sys.executable, "-c", WRITER, str(path), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            yield writer
        finally:
            writer.kill()


def test_a_backup_taken_at_any_moment_is_whole(gallery_path: Path, tmp_path: Path) -> None:
    rng = random.Random(4)
    with writing(gallery_path), Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        before: set[str] = set()
        for number in range(COPIES):
            time.sleep(rng.uniform(0, 0.02))
            copy = tmp_path / f"copy{number}.gallery"
            gallery.back_up(copy)
            held = whole_or_refused(copy)
            assert held is not None
            # Enrolled in order: what is there is the first so many, and never fewer than in the copy before.
            assert held == {str(n) for n in range(len(held))}
            assert held >= before
            before = held
            copy.unlink()
    assert len(before) > COPIES
    assert not list(tmp_path.glob("*.part"))


def test_a_copy_by_other_means_is_whole_or_refused(gallery_path: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    whole = 0
    with writing(gallery_path):
        for number in range(COPIES):
            time.sleep(rng.uniform(0, 0.02))
            copy = tmp_path / f"copy{number}.gallery"
            for end in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{gallery_path}{end}", f"{copy}{end}")
            if (held := whole_or_refused(copy)) is not None:
                whole += 1
                assert held == {str(n) for n in range(len(held))}
    assert whole > COPIES // 2


def test_a_backup_is_never_written_over(gallery_path: Path, tmp_path: Path) -> None:
    dear = tmp_path / "dear.gallery"
    dear.write_text("dear")
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("stop", [example(1)])
        with pytest.raises(GalleryError, match="exists already"):
            gallery.back_up(dear)
        with pytest.raises(GalleryError):
            gallery.back_up(tmp_path / "nowhere" / "copy.gallery")
    assert dear.read_text() == "dear"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dear.gallery", "site.gallery"]


def test_a_clock_that_jumps_does_not_confuse_the_log(gallery_path: Path) -> None:
    rng = random.Random(6)
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    times = [start + timedelta(days=rng.uniform(-20_000, 20_000)) for _ in range(40)]
    ticking = iter(times)
    with Gallery(gallery_path, BUNDLE, DIMENSION, clock=lambda: next(ticking)) as gallery:
        for number in range(20):
            gallery.enroll(f"class {number % 4}", [example(number)])
        gallery.undo()
        gallery.forget("class 1")
        assert [event.id for event in gallery.log()] == list(range(1, 24))
        assert {event.at for event in gallery.log()} <= {at.isoformat() for at in times}
        assert [event.at for event in gallery.log()] != sorted(event.at for event in gallery.log())
        assert [c.label for c in gallery.classes()] == ["class 0", "class 2", "class 3"]
        assert not gallery.problems()
        # What is undone is the last change, not the one with the latest time.
        assert gallery.undo().kind == "forget"


def test_what_a_killed_creation_leaves_is_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "new.gallery"
    path.touch()  # what a process leaves that was killed before its first commit
    with Gallery(path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("stop", [example(1)])
        assert not gallery.problems()
    with Gallery(path, BUNDLE, DIMENSION) as gallery:
        assert [c.label for c in gallery.classes()] == ["stop"]
