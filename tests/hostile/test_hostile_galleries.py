"""Gallery files and class packs that are damaged or lie: one typed error, or what `problems` finds, or no effect."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import EdgeFewError, Example, Gallery, GalleryError, GalleryFormatError, head

from tests.hostile.conftest import SOAK

BUNDLE, DIMENSION = "a" * 64, 8


def example(number: int) -> Example:
    row = np.random.default_rng(number).standard_normal((1, DIMENSION)).astype(np.float32)
    return Example(head.to_grid(row)[0], f"{number}.png", hashlib.sha256(str(number).encode()).hexdigest())


@pytest.fixture
def true(gallery_path: Path) -> Path:
    """A gallery with two classes, a rejected example, a stranger, a rename and an undo."""
    with Gallery(gallery_path, BUNDLE, DIMENSION) as gallery:
        gallery.enroll("stop", [example(1), example(2)])
        gallery.enroll("go", [example(3)])
        gallery.reject("go", [example(4)])
        gallery.calibrate([example(5)])
        gallery.rename("go", "go on")
        gallery.forget("stop")
        gallery.undo()
    return gallery_path


def state(gallery: Gallery) -> tuple[object, ...]:
    """All that answers are made of."""
    task = gallery.task()
    negatives = {index: (held.tobytes(), no.tobytes()) for index, (held, no) in task.rejected.items()}
    return task.labels, task.counts.tolist(), task.prototypes.tobytes(), negatives, task.strangers.tobytes()


def state_of(path: Path) -> tuple[object, ...]:
    with Gallery(path, BUNDLE, DIMENSION) as gallery:
        return state(gallery)


def outcome(path: Path, expected: tuple[object, ...]) -> str:
    """ "refused", "found" by `problems`, or "same"; anything else fails the test."""
    try:
        with Gallery(path, BUNDLE, DIMENSION) as gallery:
            problems = gallery.problems()
            seen = state(gallery)
            assert np.isfinite(gallery.task().prototypes).all()
            for event in gallery.log():
                event.describe()
            gallery.classes()
    except GalleryError:
        return "refused"
    assert problems or seen == expected
    return "found" if problems else "same"


def tamper(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    """Change a gallery as someone who knows its tables, and leave no trace of it in them."""
    with sqlite3.connect(path) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement, values)
        for _, sql in triggers:
            db.execute(sql)
    db.close()


def test_any_byte_changed_is_refused_found_or_without_effect(true: Path, tmp_path: Path) -> None:
    expected = state_of(true)
    data = true.read_bytes()
    rng = random.Random(8)
    # Free space in the pages is most of the file and means nothing.
    full = [place for place in range(100, len(data)) if data[place]]
    seen = []
    for number, place in enumerate(full if SOAK else rng.sample(full, 100)):
        path = tmp_path / f"{number}.gallery"
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :])
        seen.append(outcome(path, expected))
        for file in tmp_path.glob(f"{number}.gallery*"):
            file.unlink()
    assert seen.count("found") > 10
    assert seen.count("refused") > 10


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE sqlite_schema SET sql = CAST(sql AS BLOB) WHERE name = 'class'", "damaged|other tables"),
        ("UPDATE sqlite_schema SET sql = 7 WHERE name = 'class'", "damaged|other tables"),
    ],
)
def test_tables_described_by_other_than_text_are_refused(true: Path, statement: str, says: str) -> None:
    with sqlite3.connect(true) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(statement)
    db.close()
    with pytest.raises(GalleryError, match=says):
        Gallery(true, BUNDLE, DIMENSION)


def test_a_change_of_type_that_the_tables_forbid_is_refused(true: Path) -> None:
    data = bytearray(true.read_bytes())
    place = data.index(BUNDLE.encode())
    # The record's header says of each value what it is: 8 is the number 0, where text was.
    header = data.rindex(bytes([13 + 2 * len(BUNDLE) & 0x7F]), 0, place)
    data[header] = 8
    true.write_bytes(data)
    with pytest.raises(GalleryError):
        Gallery(true, BUNDLE, DIMENSION)


@pytest.mark.parametrize("kind", ["short", "empty", "long"])
@pytest.mark.parametrize("place", ["class SET sum", "example SET embedding"])
def test_a_vector_of_another_length_is_refused(true: Path, place: str, kind: str) -> None:
    blob = {"short": b"abc", "empty": b"", "long": bytes(10**6)}[kind]
    tamper(true, f"UPDATE {place} = ?", values=(blob,))
    assert outcome(true, ()) == "refused"
    with Gallery(None, BUNDLE, DIMENSION) as other, pytest.raises(GalleryError), Gallery(true) as gallery:
        other.merge(gallery)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.5])
def test_a_vector_that_is_not_what_was_enrolled_is_found(true: Path, tmp_path: Path, value: float) -> None:
    for number, (place, dtype) in enumerate((("class SET sum", "<f8"), ("example SET embedding", "<f4"))):
        path = tmp_path / f"{number}.gallery"
        shutil.copy(true, path)
        tamper(path, f"UPDATE {place} = ?", values=(np.full(DIMENSION, value, dtype).tobytes(),))
        assert outcome(path, ()) == "found"
        with Gallery(None, BUNDLE, DIMENSION) as other, Gallery(path) as gallery:
            with pytest.raises(GalleryFormatError, match="is not merged"):
                other.merge(gallery)
            assert not other.classes()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE class SET count = count + 1",
        "UPDATE class SET count = 4611686018427387904 WHERE id = 1",
        "DELETE FROM example",
        "DELETE FROM example WHERE id = 2",
        "UPDATE example SET class_id = 2 WHERE id = 1",
        "UPDATE example SET negative = 1 WHERE id = 1",
        "UPDATE example SET negative = 0 WHERE id = 4",
        "UPDATE example SET added_by = 1",
        "UPDATE example SET removed_by = 2 WHERE id = 1",
        "DELETE FROM event WHERE id = 3",
        "DELETE FROM event",
        "UPDATE event SET at = '1970-01-01T00:00:00+00:00' WHERE id = 2",
        "UPDATE event SET actor = 'somebody else' WHERE id = 2",
        "UPDATE event SET kind = 'reject' WHERE id = 2",
        "UPDATE event SET undoes = NULL",
        "UPDATE event SET id = id + 1000 WHERE id = 8",
        "UPDATE event SET payload = '{}' WHERE id = 2",
        "UPDATE event SET payload = '[]' WHERE id = 2",
        "UPDATE event SET payload = 'no JSON' WHERE id = 2",
        "UPDATE event SET payload = '' WHERE id = 2",
        "UPDATE event SET sha256 = prev_sha256",
        "INSERT INTO frame VALUES ('x', x'50ffffffffffffffff')",
        "INSERT INTO frame VALUES ('x', x'')",
        "INSERT INTO frame VALUES ('x', x'461234')",
        "DELETE FROM class",
    ],
)
def test_a_row_that_lies_is_refused_or_found(true: Path, statement: str) -> None:
    if statement == "DELETE FROM class":  # and what would point to nothing
        tamper(true, "DELETE FROM example", statement)
    else:
        tamper(true, statement)
    assert outcome(true, ()) in ("refused", "found")


def test_an_event_nested_without_end_is_refused(true: Path) -> None:
    tamper(true, "UPDATE event SET payload = ?", values=('{"a":' * 100_000,))
    assert outcome(true, ()) == "refused"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (a)",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER more AFTER INSERT ON example BEGIN DELETE FROM class; END",
        "CREATE INDEX more ON example (source)",
        "ALTER TABLE class ADD COLUMN more TEXT",
        "ALTER TABLE class RENAME COLUMN sum TO total",
        "DROP INDEX class_label",
        "DROP TABLE frame",
        "DROP TRIGGER event_is_append_only_delete",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 0",
        "PRAGMA application_id = -1",
    ],
)
def test_other_tables_than_a_gallerys_are_refused(true: Path, statement: str) -> None:
    with sqlite3.connect(true) as db:
        db.execute(statement)
    db.close()
    with pytest.raises(GalleryFormatError):
        Gallery(true, BUNDLE, DIMENSION)


def test_a_view_in_the_place_of_a_table_is_refused(true: Path) -> None:
    with sqlite3.connect(true) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("DROP TABLE meta")
        db.execute(f"CREATE VIEW meta AS SELECT 'bundle_id' AS key, '{BUNDLE}' AS value")
    db.close()
    with pytest.raises(GalleryFormatError, match="other tables"):
        Gallery(true)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_a_database_of_another_program_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA encoding = '{encoding}'")
        db.execute("CREATE TABLE bookmark (url TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(GalleryFormatError, match="another program"):
        Gallery(path, BUNDLE, DIMENSION)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "data",
    [b"\0", b"SQLite format 3", b"SQLite format 3\0", b"SQLite format 3\0" + bytes(5000), b"x" * 10_000, b"PK\3\4"],
)
def test_what_is_no_gallery_is_refused_and_left_as_it_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "g"
    path.write_bytes(data)
    with pytest.raises(GalleryError):
        Gallery(path, BUNDLE, DIMENSION)
    assert path.read_bytes() == data


@pytest.mark.parametrize("suffix", ["-wal", "-journal", "-shm"])
@pytest.mark.parametrize("what", ["random bytes", "another gallery's", "empty"])
def test_a_foreign_log_beside_a_gallery_changes_no_answer(true: Path, tmp_path: Path, suffix: str, what: str) -> None:
    expected = state_of(true)
    data = random.Random(9).randbytes(40_000) if what == "random bytes" else b""
    if what == "another gallery's":
        path = tmp_path / "other.gallery"
        with Gallery(path, BUNDLE, DIMENSION) as other:
            other.enroll("stop", [example(7)])
            file = Path(f"{path}{suffix}")
            data = file.read_bytes() if file.exists() else path.read_bytes()
    Path(f"{true}{suffix}").write_bytes(data)
    assert outcome(true, expected) in ("same", "refused", "found")


def test_a_link_to_itself_or_a_folder_is_one_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (loop, tmp_path, tmp_path / ("a" * 5000), Path("/dev/full") / "x", Path("/dev/zero")):
        with pytest.raises(EdgeFewError):
            Gallery(path, BUNDLE, DIMENSION)


def test_a_gallery_cut_at_every_page_is_refused_or_found(true: Path, tmp_path: Path) -> None:
    expected = state_of(true)
    data = true.read_bytes()
    for number, length in enumerate({*range(1, len(data), 4096), *range(1, len(data), len(data) // 20)}):
        path = tmp_path / f"{number}.cut"
        path.write_bytes(data[:length])
        assert outcome(path, expected) in ("refused", "found")


def test_a_class_pack_with_any_byte_changed_merges_what_it_had_or_nothing(true: Path, tmp_path: Path) -> None:
    with Gallery(None, BUNDLE, DIMENSION) as target, Gallery(true) as pack:
        target.merge(pack)
        expected = state(target)
    data = true.read_bytes()
    full = [place for place in range(100, len(data)) if data[place]]
    rng = random.Random(10)
    refusals = 0
    for number, place in enumerate(full if SOAK else rng.sample(full, 60)):
        path = tmp_path / f"{number}.pack"
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :])
        with Gallery(None, BUNDLE, DIMENSION) as target:
            try:
                with Gallery(path) as pack:
                    target.merge(pack)
            except GalleryError:
                refusals += 1
                assert not target.classes()
            else:
                assert state(target) == expected
        for file in tmp_path.glob(f"{number}.pack*"):
            os.unlink(file)  # noqa: PTH108
    assert refusals > 20
