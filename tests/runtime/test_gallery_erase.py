"""Erased: gone from the file, and no obstacle to undoing the rest."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import (
    GalleryBusyError,
    NothingToUndoError,
    UnknownClassError,
)
from edgefew_runtime.frames import load_frame
from edgefew_runtime.gallery import pack_frame

from tests.runtime.galleries import example, open_gallery


def test_erase_leaves_nothing_in_the_file_and_cannot_be_undone(gallery_path: Path) -> None:
    needle = example(1).embedding.astype("<f4").tobytes()
    with open_gallery(gallery_path) as gallery:
        gallery.enroll("stop", [example(1)])
        gallery.enroll("go", [example(2)])
        assert any(needle in file.read_bytes() for file in gallery_path.parent.iterdir())
        assert gallery.erase("stop") == 1
        assert not any(needle in file.read_bytes() for file in gallery_path.parent.iterdir())
        with pytest.raises(
            NothingToUndoError, match=r"event 4 \(erase stop\), cannot be undone.*`edgefew undo --to 2`"
        ):
            gallery.undo()
        gallery.enroll("stop", [example(3)])
        assert not gallery.problems()


def test_one_example_is_erased_from_the_file_with_what_was_the_same_picture_earlier(gallery_path: Path) -> None:
    needle, frame = example(1).embedding.astype("<f4").tobytes(), b"P" + bytes(8) + b"the picture itself" * 400
    files = gallery_path.parent.iterdir
    with open_gallery(gallery_path) as gallery:
        gallery.enroll("stop", [dataclasses.replace(example(1), frame=frame), example(2)])
        gallery.remove(1)
        gallery.enroll("stop", [example(1)])
        assert [e.id for e in gallery.examples("stop")] == [2, 3]
        assert any(needle in file.read_bytes() for file in files())
        assert any(frame[-99:] in file.read_bytes() for file in files())
        erased, others = gallery.erase_example(3)
        assert (erased.id, erased.source, others) == (3, "1.png", [])
        assert not any(needle in file.read_bytes() or frame[-99:] in file.read_bytes() for file in files())
        assert not any(b"the picture" in file.read_bytes() for file in files())
        assert [e.id for e in gallery.examples("stop")] == [2]
        assert np.array_equal(gallery.state().sums[0], example(2).embedding.astype(np.float64))
        with pytest.raises(UnknownClassError, match="No example 3"):
            gallery.erase_example(3)
        assert gallery.log()[-1].describe() == "erase example 3 of stop"
        assert [e.id for e in gallery.examples("stop")] == [2]
        gallery.enroll("stop", [example(4)])
        assert [e.id for e in gallery.examples("stop")] == [2, 4]  # a number is not given twice
        assert not gallery.problems()


def test_an_erased_picture_stays_where_it_is_of_another_class_and_that_is_said() -> None:
    gallery = open_gallery(None)
    frame = pack_frame(load_frame(np.zeros((2, 2, 3), np.uint8)))
    gallery.enroll("stop", [dataclasses.replace(example(1), frame=frame)])
    gallery.remove(1)
    gallery.enroll("go", [example(1)])
    _, others = gallery.erase_example(1)
    assert [(e.id, e.label, e.frame_kept) for e in others] == [(2, "go", True)]
    assert [c.label for c in gallery.classes()] == ["go"]


def test_undo_stops_at_an_erase_and_going_back_brings_all_but_what_was_erased() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1), example(2)])
    gallery.enroll("go", [example(3)])
    gallery.forget("go")
    gallery.enroll("turn", [example(4)])
    gallery.erase_example(4)
    with pytest.raises(
        NothingToUndoError, match=r"erase example 4 of turn.*event 4 \(forget go\): `edgefew undo --to 3`"
    ):
        gallery.undo()
    assert [event.id for event in gallery.roll_back(to=3)] == [4]
    assert [c.label for c in gallery.classes()] == ["stop", "go"]
    with pytest.raises(NothingToUndoError, match="`edgefew undo --to 2`"):
        gallery.undo()
    gallery.erase("stop")
    gallery.erase("go")
    with pytest.raises(NothingToUndoError, match="No change before it stands"):
        gallery.undo()
    with pytest.raises(NothingToUndoError, match="stands, or what it changed was erased"):
        gallery.roll_back(to=1)
    assert not gallery.problems()


def test_what_a_class_is_not_waits_while_it_has_no_example() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)])
    gallery.reject("stop", [example(2)])
    gallery.erase_example(1)
    assert (gallery.classes(), gallery.task().rejected) == ([], {})
    gallery.enroll("stop", [example(3)])
    assert [e.negative for e in gallery.content()["stop"]] == [True, False]
    assert not gallery.problems()


def test_an_erase_that_a_reader_keeps_from_the_log_file_says_so(
    gallery_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefew_runtime.gallery.database._BUSY_SECONDS", 0.1)
    needle = example(1).embedding.astype("<f4").tobytes()
    log_file = gallery_path.with_name(gallery_path.name + "-wal")
    with open_gallery(gallery_path) as gallery:
        gallery.enroll("stop", [example(1)])
        reader = sqlite3.connect(gallery_path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM class").fetchall()
        with pytest.raises(GalleryBusyError, match="still holds its bytes"):
            gallery.erase_example(1)
        assert needle in log_file.read_bytes()
        reader.close()
    assert not any(needle in file.read_bytes() for file in gallery_path.parent.iterdir())
