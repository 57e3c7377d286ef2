"""The gallery: the classes enrolled on one device, in one SQLite file.

Every operation is one transaction that is on the disk (WAL, synchronous=FULL) before the call returns. Sums are kept
beside the examples they are made of; because embeddings lie on a grid (see `head.GRID`) the sums are exact, so
removing, undoing and re-enrolling give the same bits as never having done it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NothingToUndoError, UnknownClassError
from . import audit, events
from .database import Database
from .embeddings import sha256, to_blob, total
from .records import EnrolledClass, Example, GalleryState, check_label

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(timezone.utc)


class Gallery:
    """The classes enrolled on one device. Safe to use from several threads and processes: one writes at a time.

    Args:
        path: the SQLite file; None keeps the gallery in memory.
        bundle_id: the bundle whose embeddings it holds; None opens an existing gallery of any bundle.
        dimension: d, the length of an embedding; needed to create one.
        clock: gives the time that is written into the log.

    Raises:
        GalleryFormatError: the file is not a gallery, is damaged, or is of a newer format.
        GalleryMismatchError: it was made with another bundle.
    """

    def __init__(
        self,
        path: str | Path | None,
        bundle_id: str | None = None,
        dimension: int | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._clock = clock
        created = {"bundle_id": bundle_id, "dimension": dimension}
        self._database = Database(
            None if path is None else Path(path),
            bundle_id,
            dimension,
            lambda db: self._log(db, "create", "", created),
        )
        with self._database.reading() as db:
            meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        self.bundle_id: str = meta["bundle_id"]
        self.dimension = int(meta["dimension"])

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Nothing is pending: every call was already durable when it returned."""
        self._database.close()

    # ---- changing --------------------------------------------------------------------------------

    def enroll(self, label: str, examples: Sequence[Example], actor: str = "") -> list[bool]:
        """Add examples to a class, new or not; tells for each whether it was added or was there already.

        Raises:
            LabelError: the name is empty, too long or has characters that cannot be shown.
        """
        label = check_label(label)
        with self._database.writing() as db:
            class_id = self._class_id(db, label)
            rows = db.execute(
                "SELECT source_sha256 FROM example WHERE class_id = ? AND removed_by IS NULL", (class_id,)
            )
            known = {row[0] for row in rows}
            added: list[Example] = []
            accepted = []
            for example in examples:
                accepted.append(example.source_sha256 not in known)
                if accepted[-1]:
                    known.add(example.source_sha256)
                    added.append(example)
            if added:
                self._insert(db, label, class_id, added, actor)
        return accepted

    def forget(self, label: str, actor: str = "") -> int:
        """Take a class out; gives how many examples it had. `undo` brings it back.

        Raises:
            UnknownClassError: no class of that name is enrolled.
        """
        with self._database.writing() as db:
            class_id = self._find(db, label)
            live = _live(db, class_id)
            event = self._log(db, "forget", actor, {"label": label, "examples": len(live)})
            db.execute("UPDATE example SET removed_by = ? WHERE class_id = ? AND removed_by IS NULL", (event, class_id))
            self._shift(db, class_id, live, -1)
        return len(live)

    def erase(self, label: str, actor: str = "") -> int:
        """Delete a class's embeddings from the disk, those forgotten earlier too; gives how many. Cannot be undone.

        Raises:
            UnknownClassError: the gallery never held a class of that name.
        """
        with self._database.writing() as db:
            class_id = self._find(db, label, forgotten_too=True)
            live = _live(db, class_id)
            erased = db.execute("DELETE FROM example WHERE class_id = ?", (class_id,)).rowcount
            self._log(db, "erase", actor, {"label": label, "examples": erased})
            self._shift(db, class_id, live, -1)
        self._database.empty_log_file()
        return int(erased)

    def undo(self, actor: str = "") -> events.Event:
        """Take back the last enroll or forget that was not yet undone; gives the event that was undone.

        Raises:
            NothingToUndoError: there is none, or the last one was an erase.
        """
        with self._database.writing() as db:
            event = _last_standing(events.read(db))
            payload = {"undid": event.kind, "label": event.payload["label"]}
            undo = self._log(db, "undo", actor, payload, event.id)
            if event.kind == "enroll":
                self._move(db, "added_by", event.id, removed_by=undo)
            else:
                self._move(db, "removed_by", event.id, removed_by=None)
        return event

    # ---- reading ---------------------------------------------------------------------------------

    def version(self) -> tuple[int, int]:
        """A value that changes whenever any process changes the gallery; costs microseconds."""
        return self._database.version()

    def classes(self) -> list[EnrolledClass]:
        """The enrolled classes, oldest first."""
        with self._database.reading() as db:
            rows = db.execute(
                """SELECT label, count, (SELECT at FROM event WHERE event.id = (
                       SELECT min(added_by) FROM example WHERE class_id = class.id AND removed_by IS NULL))
                   FROM class WHERE count > 0 ORDER BY id"""
            ).fetchall()
        return [EnrolledClass(*row) for row in rows]

    def state(self) -> GalleryState:
        """Names, sums and counts of the enrolled classes, oldest first."""
        with self._database.reading() as db:
            rows = db.execute("SELECT label, sum, count FROM class WHERE count > 0 ORDER BY id").fetchall()
        sums = np.frombuffer(b"".join(row[1] for row in rows), "<f8").reshape(len(rows), self.dimension)
        return GalleryState(tuple(row[0] for row in rows), sums, np.array([row[2] for row in rows], np.int64))

    def log(self) -> list[events.Event]:
        """Every change ever made, oldest first."""
        with self._database.reading() as db:
            return events.read(db)

    def problems(self) -> list[str]:
        """What is wrong with the gallery, as sentences; empty if nothing is."""
        with self._database.reading() as db:
            return audit.problems(db, self.dimension)

    # ---- inside ----------------------------------------------------------------------------------

    def _log(
        self, db: sqlite3.Connection, kind: str, actor: str, payload: dict[str, Any], undoes: int | None = None
    ) -> int:
        return events.append(db, self._clock().isoformat(), kind, actor, payload, undoes)

    def _class_id(self, db: sqlite3.Connection, label: str) -> int:
        db.execute(
            "INSERT INTO class (label, sum) VALUES (?, ?) ON CONFLICT (label) DO NOTHING",
            (label, np.zeros(self.dimension, "<f8").tobytes()),
        )
        return int(db.execute("SELECT id FROM class WHERE label = ?", (label,)).fetchone()[0])

    def _find(self, db: sqlite3.Connection, label: str, forgotten_too: bool = False) -> int:
        row = db.execute("SELECT id, count FROM class WHERE label = ?", (label,)).fetchone()
        if row is None or not (row[1] or forgotten_too):
            rows = db.execute("SELECT label FROM class WHERE count > 0 ORDER BY id LIMIT 9").fetchall()
            shown = [repr(name) for (name,) in rows[:8]] + ["…"] * (len(rows) > 8)
            raise UnknownClassError(f"No class {label!r} is enrolled. Enrolled: {', '.join(shown) or 'none'}.")
        return int(row[0])

    def _insert(self, db: sqlite3.Connection, label: str, class_id: int, added: list[Example], actor: str) -> None:
        blobs = [to_blob(example.embedding) for example in added]
        described = [
            {"source": example.source, "source_sha256": example.source_sha256, "embedding_sha256": sha256(blob)}
            for example, blob in zip(added, blobs, strict=True)
        ]
        event = self._log(db, "enroll", actor, {"label": label, "examples": described})
        db.executemany(
            "INSERT INTO example (class_id, embedding, source, source_sha256, added_by) VALUES (?, ?, ?, ?, ?)",
            [(class_id, blob, e.source, e.source_sha256, event) for e, blob in zip(added, blobs, strict=True)],
        )
        self._shift(db, class_id, blobs, +1)

    def _move(self, db: sqlite3.Connection, column: str, event: int, removed_by: int | None) -> None:
        """Put the examples that an event added or removed out of the classes again, or back in."""
        where = f"WHERE {column} = ?"  # one of two names of our own
        rows = db.execute(f"SELECT class_id, embedding FROM example {where}", (event,)).fetchall()  # noqa: S608
        db.execute(f"UPDATE example SET removed_by = ? {where}", (removed_by, event))  # noqa: S608
        for class_id in {row[0] for row in rows}:
            blobs = [blob for owner, blob in rows if owner == class_id]
            self._shift(db, class_id, blobs, +1 if removed_by is None else -1)

    def _shift(self, db: sqlite3.Connection, class_id: int, blobs: Sequence[bytes], sign: int) -> None:
        """Add these embeddings to a class's sum, or take them out: exact, because all lie on the grid."""
        row = db.execute("SELECT sum FROM class WHERE id = ?", (class_id,)).fetchone()
        shifted = np.frombuffer(row[0], "<f8") + sign * total(blobs, self.dimension)
        db.execute(
            "UPDATE class SET sum = ?, count = count + ? WHERE id = ?",
            ((shifted + 0.0).tobytes(), sign * len(blobs), class_id),  # + 0.0: no negative zeros
        )


def _live(db: sqlite3.Connection, class_id: int) -> list[bytes]:
    rows = db.execute(
        "SELECT embedding FROM example WHERE class_id = ? AND removed_by IS NULL ORDER BY id", (class_id,)
    )
    return [row[0] for row in rows]


def _last_standing(log: list[events.Event]) -> events.Event:
    undone = {event.undoes for event in log}
    for event in reversed(log):
        if event.kind == "erase":
            raise NothingToUndoError(f"The last change erased {event.payload['label']!r}; that cannot be undone.")
        if event.kind in ("enroll", "forget") and event.id not in undone:
            return event
    raise NothingToUndoError("There is nothing to undo: no enrolment or forgetting stands.")
