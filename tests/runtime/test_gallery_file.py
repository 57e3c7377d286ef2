"""The gallery's file: made by the first change, refused where it is none, shared, read-only or locked."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from edgefew_runtime import (
    Gallery,
    GalleryError,
    GalleryFormatError,
    GalleryLockedError,
    GalleryMismatchError,
    LabelError,
)

from tests.runtime.galleries import DIMENSION, OTHER, example, make_gallery, open_gallery, snapshot


def test_a_gallery_of_another_bundle_is_refused_and_left_alone(gallery_path: Path) -> None:
    make_gallery(gallery_path)
    before = gallery_path.read_bytes()
    with pytest.raises(GalleryMismatchError, match="another bundle"):
        Gallery(gallery_path, OTHER, DIMENSION)
    assert gallery_path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a gallery", b"SQLite format 3\0 but broken" + bytes(200), b"\x89PNG\r\n\x1a\n"]
)
def test_a_file_that_is_no_gallery_is_refused_and_left_alone(gallery_path: Path, content: bytes) -> None:
    gallery_path.write_bytes(content)
    with pytest.raises(GalleryFormatError):
        open_gallery(gallery_path)
    assert gallery_path.read_bytes() == content
    assert [f.name for f in gallery_path.parent.iterdir()] == [gallery_path.name]


def test_another_programs_database_is_refused_and_left_alone(gallery_path: Path) -> None:
    with sqlite3.connect(gallery_path) as db:
        db.execute("CREATE TABLE contacts (name TEXT)")
    db.close()
    before = gallery_path.read_bytes()
    with pytest.raises(GalleryFormatError, match="another program"):
        open_gallery(gallery_path)
    assert gallery_path.read_bytes() == before


def test_a_gallery_of_a_later_format_is_refused(gallery_path: Path) -> None:
    make_gallery(gallery_path)
    with sqlite3.connect(gallery_path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(GalleryFormatError, match="format 99"):
        open_gallery(gallery_path)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="There is no folder"):
        open_gallery(tmp_path / "nowhere" / "site.gallery")


def test_another_connections_changes_are_noticed(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as one, open_gallery(gallery_path) as two:
        before = one.version()
        assert one.version() == before
        two.enroll("stop", [example(1)])
        assert one.version() != before
        assert one.state().labels == ("stop",)


def test_a_gallery_with_tables_of_its_own_is_refused(gallery_path: Path) -> None:
    make_gallery(gallery_path)
    with sqlite3.connect(gallery_path) as db:
        db.execute("CREATE TRIGGER evil AFTER INSERT ON class BEGIN DELETE FROM example; END")
    db.close()
    with pytest.raises(GalleryFormatError, match="other tables"):
        open_gallery(gallery_path)


def test_the_first_change_makes_the_file(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as gallery, open_gallery(gallery_path) as other:
        assert gallery.classes() == other.classes() == []
        assert not gallery_path.exists()
        gallery.enroll("stop", [example(1)])
        assert gallery_path.exists()
        assert [c.label for c in other.classes()] == ["stop"]
        other.enroll("go", [example(2)])
        assert [c.label for c in gallery.classes()] == ["stop", "go"]
        assert not gallery.problems()


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write everywhere")
def test_a_read_only_gallery_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "flash"
    folder.mkdir()
    make_gallery(folder / "site.gallery")
    (folder / "site.gallery").chmod(0o444)
    folder.chmod(0o555)
    code = (
        "import sys; from edgefew_runtime import Gallery, GalleryError\n"
        "gallery = Gallery(sys.argv[1])\nprint([c.label for c in gallery.classes()])\n"
        "try:\n    gallery.forget('stop')\nexcept GalleryError as error:\n    print(error)\n"
    )
    # Root may write everywhere; without that capability it is a user like any other.
    drop = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-c", code, str(folder / "site.gallery")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['stop']")
    assert "is read-only here. Nothing was changed" in done.stdout


def test_a_locked_gallery_answers_but_does_not_change(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as gallery:
        gallery.enroll("stop", [example(1)])
        with pytest.raises(LabelError, match="at least 8"):
            gallery.lock("short")
        gallery.lock("correct horse")
        before = snapshot(gallery)
    with open_gallery(gallery_path) as gallery:
        assert gallery.locked
        for change in (
            lambda: gallery.enroll("go", [example(2)]),
            lambda: gallery.forget("stop"),
            lambda: gallery.erase("stop"),
            gallery.undo,
            gallery.remove_lock,
            lambda: gallery.lock("another one"),
        ):
            with pytest.raises(GalleryLockedError, match="is locked"):
                change()
        gallery.unlock("wrong horse")
        with pytest.raises(GalleryLockedError, match="is wrong"):
            gallery.forget("stop")
        assert snapshot(gallery) == before
        gallery.unlock("correct horse")
        gallery.enroll("go", [example(2)])
        gallery.remove_lock()
    with open_gallery(gallery_path) as gallery:
        gallery.forget("go")
        assert b"correct horse" not in gallery_path.read_bytes()
