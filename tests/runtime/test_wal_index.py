"""A change of a gallery is seen in the shared memory of its connections; reading it leaves their locks alone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgefew_runtime import Gallery, GalleryError
from edgefew_runtime.gallery import wal_index
from edgefew_runtime.gallery.wal_index import WalIndex

from tests.runtime.galleries import example, open_gallery

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="locks and memory as Linux has them")

ENROLL = """
import sys
from pathlib import Path
from tests.runtime.galleries import example, open_gallery
with open_gallery(Path(sys.argv[1])) as gallery:
    gallery.enroll(sys.argv[2], [example(int(sys.argv[3]))])
"""


@pytest.fixture(autouse=True)
def none_is_mapped_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal_index, "_mapped", {})


@pytest.fixture
def gallery(gallery_path: Path) -> Iterator[Gallery]:
    with open_gallery(gallery_path) as opened:
        opened.enroll("first", [example(0)])
        yield opened


class CountsQuestions:
    """A connection that counts how often SQLite was asked for its version."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.asked = 0

    def execute(self, sql: str) -> sqlite3.Cursor:
        self.asked += sql == "PRAGMA data_version"
        return self._connection.execute(sql)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


def test_sqlite_is_asked_only_after_a_change(gallery: Gallery, gallery_path: Path) -> None:
    gallery.version()
    counted = CountsQuestions(gallery._database._reader)
    gallery._database._reader = counted  # type: ignore[assignment]
    before = gallery.version()
    assert [gallery.version() for _ in range(50)] == [before] * 50
    assert counted.asked == 0
    with open_gallery(gallery_path) as other:
        other.enroll("second", [example(1)])
    assert gallery.version() != before
    assert counted.asked == 1


def test_what_another_process_commits_is_seen_at_once(gallery: Gallery, gallery_path: Path) -> None:
    seen = {gallery.version()}
    for number in range(1, 5):
        command = [sys.executable, "-c", ENROLL, str(gallery_path), f"class {number}", str(number)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
        version = gallery.version()
        assert version not in seen
        seen.add(version)
        assert len(gallery.task().labels) == 1 + number


def test_what_is_rolled_back_is_no_change(gallery: Gallery, gallery_path: Path) -> None:
    before = gallery.version()
    assert gallery.enroll("second", [example(1)], dry_run=True).new == (True,)
    other = sqlite3.connect(gallery_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM example")
    other.execute("ROLLBACK")
    other.close()
    assert gallery.version() == before


def test_after_the_log_was_written_back_the_next_commit_is_seen(gallery: Gallery, gallery_path: Path) -> None:
    gallery.version()
    other = sqlite3.connect(gallery_path, isolation_level=None)
    assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    other.close()
    before = gallery.version()
    assert gallery.version() == before
    with open_gallery(gallery_path) as third:
        third.enroll("second", [example(1)])
    assert gallery.version() != before
    assert gallery.task().labels == ("first", "second")


def locks_of_this_process(path: Path) -> int:
    """How many POSIX locks this process holds on a file."""
    number = str(path.stat().st_ino)
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    own = str(os.getpid())
    return sum(row[1] == "POSIX" and row[4] == own and row[5].endswith(f":{number}") for row in rows if "->" not in row)


def test_sqlites_locks_stay_whatever_is_opened_and_closed(gallery: Gallery, gallery_path: Path) -> None:
    shared = gallery_path.with_name(gallery_path.name + "-shm")
    if not Path("/proc/locks").exists() or not locks_of_this_process(shared):
        pytest.skip("this system does not show a process its locks")
    held = locks_of_this_process(shared)
    for _ in range(3):
        with open_gallery(gallery_path) as other:
            assert other.version()
    assert locks_of_this_process(shared) == held


def test_a_closed_gallery_gives_no_version(gallery_path: Path) -> None:
    gallery = open_gallery(gallery_path)
    gallery.enroll("first", [example(0)])
    gallery.version()
    gallery.close()
    with pytest.raises(GalleryError):
        gallery.version()


def test_no_more_files_stay_open_than_said_and_then_sqlite_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal_index, "_MOST_FILES", 2)
    galleries = [open_gallery(tmp_path / f"{number}.gallery") for number in range(3)]
    for gallery in galleries:
        gallery.enroll("first", [example(0)])
    assert len(wal_index._mapped) == 2
    assert WalIndex.of(tmp_path / "2.gallery") is None
    before = galleries[2].version()
    galleries[2].enroll("second", [example(1)])
    assert galleries[2].version() != before
    for gallery in galleries:
        gallery.close()


def test_what_the_last_connection_removed_is_closed(tmp_path: Path) -> None:
    for number in range(5):
        with open_gallery(tmp_path / f"{number}.gallery") as gallery:
            gallery.enroll("first", [example(0)])
            assert len(wal_index._mapped) == 1


def test_memory_of_another_format_is_not_read(gallery: Gallery, gallery_path: Path) -> None:
    (gallery_path.parent / "other-shm").write_bytes(b"\1" * 32768)
    assert WalIndex.of(gallery_path.parent / "other") is None
    assert WalIndex.of(gallery_path.parent / "none") is None
