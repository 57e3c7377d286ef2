"""The gallery: what it keeps, and what it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import (
    ClassConflictError,
    Example,
    Gallery,
    GalleryBusyError,
    GalleryError,
    GalleryFormatError,
    GalleryLockedError,
    GalleryMismatchError,
    LabelError,
    NothingToUndoError,
    UnknownClassError,
    head,
)
from edgefew_runtime.frames import load_frame
from edgefew_runtime.gallery import Merged, pack_frame

BUNDLE, OTHER = "a" * 64, "b" * 64
DIMENSION = 8


def example(number: int) -> Example:
    row = np.random.default_rng(number).standard_normal((1, DIMENSION)).astype(np.float32)
    return Example(head.to_grid(row)[0], f"{number}.png", hashlib.sha256(str(number).encode()).hexdigest())


def open_gallery(path: Path | None) -> Gallery:
    return Gallery(path, BUNDLE, DIMENSION)


def make_gallery(path: Path) -> None:
    with open_gallery(path) as gallery:
        gallery.enroll("stop", [example(1)])


def snapshot(gallery: Gallery) -> tuple[object, ...]:
    state = gallery.state()
    return state.labels, state.sums.tobytes(), state.counts.tolist()


def test_enrolled_classes_are_there_after_reopening(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as gallery:
        assert gallery.enroll("stop", [example(1), example(2)]).new == (True, True)
        before = snapshot(gallery)
    with open_gallery(gallery_path) as gallery:
        assert snapshot(gallery) == before
        (stop,) = gallery.classes()
        assert (stop.label, stop.examples) == ("stop", 2)
        expected = example(1).embedding.astype(np.float64) + example(2).embedding
        assert np.array_equal(gallery.state().sums[0], expected)
        assert not gallery.problems()


def test_the_same_source_is_not_counted_twice_in_a_class() -> None:
    gallery = open_gallery(None)
    assert gallery.enroll("stop", [example(1), example(1)]).new == (True, False)
    assert gallery.enroll("stop", [example(1)]).new == (False,)
    assert gallery.enroll("go", [example(1)]).new == (True,)
    assert [c.examples for c in gallery.classes()] == [1, 1]


def test_forget_and_undo_restore_the_state_to_the_bit() -> None:
    gallery = open_gallery(None)
    states = [snapshot(gallery)]
    gallery.enroll("stop", [example(1), example(2)])
    states.append(snapshot(gallery))
    gallery.enroll("stop", [example(3)])
    states.append(snapshot(gallery))
    gallery.forget("stop")
    for expected in reversed(states):
        gallery.undo()
        assert snapshot(gallery) == expected
    with pytest.raises(NothingToUndoError):
        gallery.undo()
    assert not gallery.problems()


def test_enrolling_again_after_forgetting_gives_the_same_state() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1), example(2)])
    before = snapshot(gallery)
    gallery.forget("stop")
    gallery.enroll("stop", [example(2), example(1)])
    assert snapshot(gallery) == before


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


def test_an_unknown_class_is_named_with_those_that_are_there() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)])
    with pytest.raises(UnknownClassError, match=r"No class 'go' is enrolled. Enrolled: 'stop'"):
        gallery.forget("go")
    gallery.forget("stop")
    with pytest.raises(UnknownClassError, match="Enrolled: none"):
        gallery.forget("stop")


@pytest.mark.parametrize("label", ["", "   ", "x" * 201, "a\nb", "a\x00b", "\u202eabc"])
def test_names_that_cannot_be_shown_are_refused(label: str) -> None:
    with pytest.raises(LabelError):
        open_gallery(None).enroll(label, [example(1)])


@pytest.mark.parametrize("label", ["Überholverbot", "一時停止", "قف", "no entry 🚫", "x" * 200])
def test_names_of_every_script_are_kept(label: str) -> None:
    gallery = open_gallery(None)
    gallery.enroll(label, [example(1)])
    assert gallery.classes()[0].label == label


def test_the_log_tells_who_did_what_and_when() -> None:
    gallery = Gallery(None, BUNDLE, DIMENSION, clock=lambda: datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc))
    gallery.enroll("stop", [example(1)], actor="Ada")
    gallery.forget("stop", actor="Ben")
    gallery.undo(actor="Cleo")
    log = gallery.log()
    assert [(e.kind, e.actor, e.undoes) for e in log] == [
        ("create", "", None), ("enroll", "Ada", None), ("forget", "Ben", None), ("undo", "Cleo", 3),
    ]  # fmt: skip
    assert log[1].at == "2026-01-02T03:04:00+00:00"
    assert log[1].payload["added"][0]["examples"][0]["source"] == "1.png"


def test_the_log_cannot_be_changed_unnoticed(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as gallery:
        gallery.enroll("stop", [example(1)], actor="Ada")
        gallery.enroll("go", [example(2)], actor="Ada")
    with sqlite3.connect(gallery_path) as db:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute("UPDATE event SET actor = 'Ben' WHERE id = 2")
        (trigger,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'event_is_append_only_update'").fetchone()
        db.execute("DROP TRIGGER event_is_append_only_update")
        db.execute("UPDATE event SET actor = 'Ben' WHERE id = 2")
        db.execute(trigger)
    db.close()
    with open_gallery(gallery_path) as gallery:
        assert gallery.problems() == ["event 2 of the log was changed or removed"]


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        ("UPDATE example SET embedding = zeroblob(32) WHERE id = 1", "examples of event 2"),
        ("DELETE FROM example WHERE id = 1", "examples of event 2"),
        ("UPDATE class SET sum = zeroblob(64)", "sum of class 'stop'"),
        ("UPDATE example SET removed_by = 1 WHERE id = 1", "sum of class 'stop'"),
    ],
)
def test_changed_examples_and_sums_are_found(gallery_path: Path, tamper: str, says: str) -> None:
    with open_gallery(gallery_path) as gallery:
        gallery.enroll("stop", [example(1), example(2)])
    with sqlite3.connect(gallery_path) as db:
        db.execute(tamper)
    db.close()
    with open_gallery(gallery_path) as gallery:
        assert any(says in problem for problem in gallery.problems())


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


def test_threads_can_enroll_at_once(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as gallery:
        threads = [
            threading.Thread(target=lambda n=n: gallery.enroll(f"class {n % 4}", [example(n)])) for n in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(c.examples for c in gallery.classes()) == 24
        assert not gallery.problems()


# ---- one example, names, merging, going back, locking -----------------------------------------------


def test_one_example_can_be_taken_out_and_put_back() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1), example(2)])
    before = snapshot(gallery)
    first, second = gallery.examples("stop")
    assert (first.source, second.source, first.label) == ("1.png", "2.png", "stop")
    assert gallery.remove(first.id).source == "1.png"
    assert gallery.state().sums[0].tolist() == example(2).embedding.astype(float).tolist()
    assert [e.id for e in gallery.examples("stop")] == [second.id]
    with pytest.raises(UnknownClassError, match=f"No example {first.id}"):
        gallery.remove(first.id)
    gallery.undo()
    assert snapshot(gallery) == before
    assert not gallery.problems()


def test_a_class_can_be_renamed_and_back() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)])
    gallery.enroll("go", [example(2)])
    gallery.rename("stop", " halt ")
    assert [c.label for c in gallery.classes()] == ["halt", "go"]
    with pytest.raises(ClassConflictError, match="'go' is enrolled already"):
        gallery.rename("halt", "go")
    with pytest.raises(UnknownClassError):
        gallery.rename("stop", "x")
    gallery.undo()
    assert [c.label for c in gallery.classes()] == ["stop", "go"]
    assert not gallery.problems()


def test_a_name_that_was_forgotten_can_be_given_to_another_class() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)])
    gallery.enroll("go", [example(2)])
    states = [snapshot(gallery)]
    gallery.forget("go")
    states.append(snapshot(gallery))
    gallery.rename("stop", "go")
    assert [c.label for c in gallery.classes()] == ["go"]
    for expected in reversed(states):
        gallery.undo()
        assert snapshot(gallery) == expected


def merged(*galleries: Gallery) -> dict[str, tuple[bytes, int]]:
    into = open_gallery(None)
    for gallery in galleries:
        into.merge(gallery)
    assert not into.problems()
    state = into.state()
    return {
        label: (total.tobytes(), int(count))
        for label, total, count in zip(state.labels, state.sums, state.counts, strict=True)
    }


def test_merging_is_commutative_associative_and_counts_an_example_once() -> None:
    one, two, three = (open_gallery(None) for _ in range(3))
    one.enroll("stop", [example(1), example(2)])
    two.enroll("stop", [example(2), example(3)])
    two.enroll("go", [example(4)])
    three.enroll("go", [example(5), example(4)])
    expected = merged(one, two, three)
    assert expected["stop"][1] == 3
    for order in ((three, two, one), (two, one, three), (one, one, three, two, two)):
        assert merged(*order) == expected
    both = open_gallery(None)
    both.merge(two)
    both.merge(three)
    assert merged(one, both) == expected


def test_a_merge_can_be_undone() -> None:
    one, two = open_gallery(None), open_gallery(None)
    one.enroll("stop", [example(1)])
    two.enroll("stop", [example(2)])
    two.enroll("go", [example(3)])
    before = snapshot(one)
    assert one.merge(two) == Merged({"stop": 1, "go": 1}, 0)
    assert one.merge(two) == Merged({}, 0)
    assert one.undo().kind == "merge"
    assert snapshot(one) == before


def test_what_disagrees_is_not_merged_and_named() -> None:
    one, two = open_gallery(None), open_gallery(None)
    one.enroll("stop", [example(1)])
    two.enroll("go", [example(1), example(2)])
    before = snapshot(one)
    with pytest.raises(ClassConflictError, match=r"1\.png is 'stop' here and 'go' there"):
        one.merge(two)
    assert snapshot(one) == before
    with pytest.raises(GalleryMismatchError):
        one.merge(Gallery(None, OTHER, DIMENSION))


def test_a_tampered_gallery_is_not_merged(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as other:
        other.enroll("stop", [example(1)])
    with sqlite3.connect(gallery_path) as db:
        db.execute("UPDATE example SET embedding = zeroblob(32)")
    db.close()
    with open_gallery(gallery_path) as other, pytest.raises(GalleryFormatError, match="is not merged"):
        open_gallery(None).merge(other)


def test_it_can_go_back_to_any_event() -> None:
    gallery = open_gallery(None)
    states = {1: snapshot(gallery)}
    for number in range(2, 8):
        if number == 5:
            gallery.forget("class 1")
        else:
            gallery.enroll(f"class {number % 2}", [example(number)])
        states[number] = snapshot(gallery)
    assert [e.id for e in gallery.roll_back(to=4)] == [7, 6, 5]
    assert snapshot(gallery) == states[4]
    with pytest.raises(NothingToUndoError, match="after event 4"):
        gallery.roll_back(to=4)
    gallery.roll_back(to=1)
    assert snapshot(gallery) == states[1]
    assert not gallery.problems()


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


def test_an_actor_or_source_that_is_not_utf8_is_kept_readable() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)], actor="Ren\udce9")
    assert gallery.log()[1].actor == "Ren\\udce9"
    with pytest.raises(LabelError):
        gallery.forget("caf\udce9")
