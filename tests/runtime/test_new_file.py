"""Files that appear whole or not at all: where they cannot be written, one typed error and nothing left."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import ClassConflictError, Example, Gallery, GalleryError, head
from edgefew_runtime.new_file import new_file

BUNDLE, DIMENSION = "a" * 64, 8

needs_a_user = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write everywhere"
)


def as_a_user(code: str, *arguments: object) -> str:
    """What the code prints when run without the right to write everywhere."""
    drop = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_gallery(path: Path) -> None:
    rows = head.to_grid(np.random.default_rng(1).standard_normal((3, DIMENSION)).astype(np.float32))
    with Gallery(path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("stop", [Example(r, str(i), hashlib.sha256(bytes([i])).hexdigest()) for i, r in enumerate(rows)])


def test_what_is_written_gets_the_name_at_the_end_alone(tmp_path: Path) -> None:
    with new_file(tmp_path / "a") as part:
        part.write_text("all of it")
        assert not (tmp_path / "a").exists()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "all of it")]


def test_what_is_there_or_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="exists already"), new_file(tmp_path / "a") as part:
        part.write_text("ours")
        (tmp_path / "a").write_text("theirs")
    with pytest.raises(GalleryError, match="exists already"), new_file(tmp_path / "a"):
        pytest.fail("the work was begun")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "theirs")]


@pytest.mark.parametrize("name", ["nowhere/a", "a/", "..", "a\0b", "a" * 300])
def test_a_name_that_cannot_be_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(GalleryError), new_file(tmp_path / name):
        pytest.fail("the work was begun")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@needs_a_user
@pytest.mark.parametrize("mode", [0o555, 0o444, 0o000])
def test_a_folder_that_may_not_be_written_is_one_error(tmp_path: Path, mode: int) -> None:
    make_gallery(tmp_path / "site.gallery")
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(mode)
    code = (
        "import sys; from edgefew_runtime import Gallery, GalleryError\n"
        "with Gallery(sys.argv[1]) as gallery:\n"
        "    for write in (gallery.share, gallery.back_up):\n"
        "        try:\n            write(sys.argv[2])\n"
        "        except GalleryError as error:\n            print(error)\n"
    )
    told = as_a_user(code, tmp_path / "site.gallery", folder / "pack").splitlines()
    folder.chmod(0o755)
    assert told == [f"{folder / 'pack'} cannot be written: Permission denied."] * 2
    assert not list(folder.iterdir())


@needs_a_user
def test_a_gallery_that_may_not_be_read_is_one_error(tmp_path: Path) -> None:
    make_gallery(tmp_path / "site.gallery")
    (tmp_path / "site.gallery").chmod(0)
    code = (
        "import sys; from click.testing import CliRunner; from edgefew_runtime.commands import edgefew\n"
        "for command in (['share', sys.argv[2], '--gallery', sys.argv[1]],"
        " ['migrate', 'no.edgefew', sys.argv[1], sys.argv[2]], ['merge', sys.argv[1], '--gallery', sys.argv[2]]):\n"
        "    result = CliRunner().invoke(edgefew, command)\n"
        "    print(type(result.exception).__name__, result.output.strip().splitlines()[-1])\n"
    )
    told = as_a_user(code, tmp_path / "site.gallery", tmp_path / "pack").splitlines()
    assert len(told) == 3
    for line in told:
        assert line.startswith("SystemExit Error: ")
        assert f"'{tmp_path / 'site.gallery'}' is not readable" in line
    assert [file.name for file in tmp_path.iterdir()] == ["site.gallery"]


def test_a_class_pack_appears_whole_or_not_at_all(gallery_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefew_runtime.gallery.changes import Change

    make_gallery(gallery_path)
    pack, add = gallery_path.with_name("signs.pack"), Change.add
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        others = [replace(e, source_sha256=e.source_sha256[::-1]) for e in gallery.content()["stop"]]
        gallery.enroll("go", others)

        def fail_at_the_second(change: Change, kind: str, payload: dict[str, str], *rest: object) -> int:
            assert not pack.exists()
            if payload["label"] == "go":
                raise ClassConflictError("made up")
            return add(change, kind, payload, *rest)  # type: ignore[arg-type]

        with monkeypatch.context() as patch, pytest.raises(ClassConflictError):
            patch.setattr(Change, "add", fail_at_the_second)
            gallery.share(pack)
        assert not [file.name for file in gallery_path.parent.iterdir() if "signs" in file.name]
        assert gallery.share(pack, ["go", "stop"]) == {"go": 3, "stop": 3}
    with Gallery(pack, BUNDLE, DIMENSION) as shared:
        assert [(c.label, c.examples) for c in shared.classes()] == [("go", 3), ("stop", 3)]
        assert not shared.problems()
