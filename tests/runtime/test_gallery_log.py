"""The log: who did what and when, what was tampered with, and going back."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from pathlib import Path

import pytest
from edgefew_runtime import (
    Gallery,
    LabelError,
    NothingToUndoError,
)

from tests.runtime.galleries import BUNDLE, DIMENSION, example, open_gallery, snapshot


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


def test_an_actor_or_source_that_is_not_utf8_is_kept_readable() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)], actor="Ren\udce9")
    assert gallery.log()[1].actor == "Ren\\udce9"
    with pytest.raises(LabelError):
        gallery.forget("caf\udce9")
