"""The gallery: the classes enrolled on one device, in one SQLite file.

Every operation is one transaction that is on the disk (WAL, synchronous=FULL) before the call returns. Sums are kept
beside the examples they are made of; because embeddings lie on a grid (see `head.GRID`) the sums are exact, so
removing, undoing and re-enrolling give the same bits as never having done it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import (
    ClassConflictError,
    GalleryFormatError,
    GalleryMismatchError,
    NothingToUndoError,
    UnknownClassError,
)
from . import audit, events, locking, queries
from .database import Database
from .embeddings import from_blob, to_blob, total
from .records import EnrolledClass, EnrolledExample, Example, GalleryState, check_label

_UNDOABLE = frozenset({"enroll", "forget", "merge", "remove", "rename"})

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
        self._passphrase: str | None = None
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
        with self._writing() as db:
            class_id = self._class_id(db, label)
            known = queries.live_sources(db, class_id)
            added: list[Example] = []
            accepted = []
            for example in examples:
                accepted.append(example.source_sha256 not in known)
                if accepted[-1]:
                    known.add(example.source_sha256)
                    added.append(example)
            if added:
                self._add(db, "enroll", actor, {"label": label}, [(class_id, label, added)])
        return accepted

    def forget(self, label: str, actor: str = "") -> int:
        """Take a class out; gives how many examples it had. `undo` brings it back.

        Raises:
            UnknownClassError: no class of that name is enrolled.
        """
        with self._writing() as db:
            class_id = queries.find(db, label)
            live = queries.live(db, class_id)
            event = self._log(db, "forget", actor, {"label": label, "class": class_id, "examples": len(live)})
            db.execute("UPDATE example SET removed_by = ? WHERE class_id = ? AND removed_by IS NULL", (event, class_id))
            self._shift(db, class_id, live, -1)
        return len(live)

    def remove(self, example: int, actor: str = "") -> EnrolledExample:
        """Take one example out; gives what it was. `undo` brings it back.

        Raises:
            UnknownClassError: no example of that number is enrolled.
        """
        with self._writing() as db:
            found = queries.examples(db, "example.id = ?", example)
            if not found:
                raise UnknownClassError(f"No example {example} is enrolled. `edgefew examples` lists those that are.")
            class_id, blob = db.execute("SELECT class_id, embedding FROM example WHERE id = ?", (example,)).fetchone()
            removed = found[0]
            payload = {"label": removed.label, "class": class_id, "example": example, "source": removed.source}
            event = self._log(db, "remove", actor, payload)
            db.execute("UPDATE example SET removed_by = ? WHERE id = ?", (event, example))
            self._shift(db, class_id, [blob], -1)
        return removed

    def rename(self, label: str, to: str, actor: str = "") -> None:
        """Give a class another name.

        Raises:
            UnknownClassError: no class of that name is enrolled.
            ClassConflictError: a class of the new name is enrolled already.
            LabelError: the new name cannot be used.
        """
        to = check_label(to)
        with self._writing() as db:
            class_id = queries.find(db, label)
            if db.execute("SELECT 1 FROM class WHERE label = ? AND count > 0", (to,)).fetchone():
                raise ClassConflictError(f"A class {to!r} is enrolled already. Forget it first, or give another name.")
            self._log(db, "rename", actor, {"label": label, "to": to, "class": class_id})
            db.execute("UPDATE class SET label = ? WHERE id = ?", (to, class_id))

    def merge(self, other: Gallery, actor: str = "") -> dict[str, int]:
        """Add the other gallery's examples to the classes of the same names; gives how many were added to each.

        Sums add, and an example counts once, so the order in which galleries are merged does not matter, to the bit.

        Raises:
            GalleryMismatchError: it was made with another bundle.
            GalleryFormatError: it is damaged, or was tampered with.
            ClassConflictError: an example that is of one class here is of another there; nothing was merged.
        """
        if other.bundle_id != self.bundle_id:
            raise GalleryMismatchError(
                f"The other gallery was made with another bundle ({other.bundle_id[:12]}…, this one with "
                f"{self.bundle_id[:12]}…). Embeddings of different bundles cannot be compared."
            )
        if problems := other.problems():
            raise GalleryFormatError(f"The other gallery is not merged: {'; '.join(problems)}.")
        incoming = other.content()
        with self._writing() as db:
            queries.check_conflicts(db, incoming)
            added = []
            for label, examples in incoming.items():
                class_id = self._class_id(db, label)
                known = queries.live_sources(db, class_id)
                if new := [example for example in examples if example.source_sha256 not in known]:
                    added.append((class_id, label, new))
            if added:
                labels = ", ".join(label for _, label, _ in added)
                self._add(db, "merge", actor, {"label": labels}, added)
        return {label: len(examples) for _, label, examples in added}

    def erase(self, label: str, actor: str = "") -> int:
        """Delete a class's embeddings from the disk, those forgotten earlier too; gives how many. Cannot be undone.

        Raises:
            UnknownClassError: the gallery never held a class of that name.
        """
        with self._writing() as db:
            class_id = queries.find(db, label, forgotten_too=True)
            live = queries.live(db, class_id)
            erased = db.execute("DELETE FROM example WHERE class_id = ?", (class_id,)).rowcount
            self._log(db, "erase", actor, {"label": label, "class": class_id, "examples": erased})
            self._shift(db, class_id, live, -1)
        self._database.empty_log_file()
        return int(erased)

    def undo(self, actor: str = "") -> events.Event:
        """Take back the last change that was not yet undone; gives the event that was undone.

        Raises:
            NothingToUndoError: there is none, or the last one was an erase.
        """
        with self._writing() as db:
            log = events.read(db)
            for event in events.standing(log):
                queries.refuse_erased(event)
                if event.kind in _UNDOABLE:
                    self._invert(db, event, log, actor)
                    return event
        raise NothingToUndoError("There is nothing to undo: no change stands.")

    def roll_back(self, to: int, actor: str = "") -> list[events.Event]:
        """Bring back the state right after event number `to`; gives the events that were undone, latest first.

        An undo that came later is undone too. All or none.

        Raises:
            NothingToUndoError: nothing stands after it, or an erase does.
        """
        with self._writing() as db:
            log = events.read(db)
            later = [event for event in events.standing(log) if event.id > to]
            undone = [event for event in later if event.kind in _UNDOABLE or (event.undoes or to + 1) <= to]
            for event in later:
                queries.refuse_erased(event)
            for event in undone:
                self._invert(db, event, log, actor)
        if not undone:
            raise NothingToUndoError(f"No change after event {to} stands. `edgefew log` shows all events.")
        return undone

    def lock(self, passphrase: str, actor: str = "") -> None:
        """From now on, refuse every change unless `unlock` was called with the pass-phrase.

        Raises:
            LabelError: the pass-phrase is too short.
        """
        verifier = locking.make_verifier(passphrase)
        with self._writing() as db:
            self._log(db, "lock", actor, {})
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (locking.META_KEY, verifier))

    def unlock(self, passphrase: str) -> None:
        """Let this object change the locked gallery; the file stays locked for everyone else."""
        self._passphrase = passphrase

    def remove_lock(self, actor: str = "") -> None:
        """Take the lock off for everyone; `unlock` first."""
        with self._writing() as db:
            self._log(db, "remove_lock", actor, {})
            db.execute("DELETE FROM meta WHERE key = ?", (locking.META_KEY,))

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

    def examples(self, label: str) -> list[EnrolledExample]:
        """The examples of a class, oldest first.

        Raises:
            UnknownClassError: no class of that name is enrolled.
        """
        with self._database.reading() as db:
            return queries.examples(db, "class.id = ?", queries.find(db, label))

    def content(self, labels: Sequence[str] | None = None) -> dict[str, list[Example]]:
        """The enrolled classes (or these) with their examples: what a class pack carries.

        Raises:
            UnknownClassError: one of the named classes is not enrolled.
        """
        with self._database.reading() as db:
            if labels is None:
                labels = [row[0] for row in db.execute("SELECT label FROM class WHERE count > 0 ORDER BY id")]
            result = {}
            for label in labels:
                rows = db.execute(
                    "SELECT embedding, source, source_sha256 FROM example WHERE class_id = ? AND removed_by IS NULL "
                    "ORDER BY id",
                    (queries.find(db, label),),
                )
                result[label] = [Example(from_blob(blob), source, sha) for blob, source, sha in rows]
        return result

    @property
    def locked(self) -> bool:
        """Whether changes need the pass-phrase."""
        with self._database.reading() as db:
            return queries.verifier(db) is not None

    def log(self) -> list[events.Event]:
        """Every change ever made, oldest first."""
        with self._database.reading() as db:
            return events.read(db)

    def problems(self) -> list[str]:
        """What is wrong with the gallery, as sentences; empty if nothing is."""
        with self._database.reading() as db:
            return audit.problems(db, self.dimension)

    # ---- inside ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, if the lock lets this object write."""
        with self._database.writing() as db:
            # Inside the transaction: nobody can lock the gallery between the check and the write.
            locking.check(queries.verifier(db), self._passphrase)
            yield db

    def _log(
        self, db: sqlite3.Connection, kind: str, actor: str, payload: dict[str, Any], undoes: int | None = None
    ) -> int:
        return events.append(db, self._clock().isoformat(), kind, actor, payload, undoes)

    def _class_id(self, db: sqlite3.Connection, label: str) -> int:
        """The class of this name: the enrolled one, or else the one forgotten last, or else a new one."""
        found = db.execute("SELECT id FROM class WHERE label = ? ORDER BY count > 0, id", (label,)).fetchall()
        if found:
            return int(found[-1][0])
        zeros = np.zeros(self.dimension, "<f8").tobytes()
        return int(db.execute("INSERT INTO class (label, sum) VALUES (?, ?)", (label, zeros)).lastrowid or 0)

    def _add(
        self,
        db: sqlite3.Connection,
        kind: str,
        actor: str,
        payload: dict[str, Any],
        added: Sequence[tuple[int, str, Sequence[Example]]],
    ) -> None:
        """Log and store new examples, for each class its number, name and examples."""
        described = [
            {"class": class_id, "label": label, "examples": [queries.described(example) for example in examples]}
            for class_id, label, examples in added
        ]
        event = self._log(db, kind, actor, payload | {"added": described})
        for class_id, _, examples in added:
            blobs = [to_blob(example.embedding) for example in examples]
            db.executemany(
                "INSERT INTO example (class_id, embedding, source, source_sha256, added_by) VALUES (?, ?, ?, ?, ?)",
                [(class_id, blob, e.source, e.source_sha256, event) for e, blob in zip(examples, blobs, strict=True)],
            )
            self._shift(db, class_id, blobs, +1)

    def _invert(self, db: sqlite3.Connection, event: events.Event, log: list[events.Event], actor: str) -> None:
        """Undo an event. If it is an undo itself, that does again what it undid."""
        payload = {"undid": event.kind, "label": event.payload["label"]}
        number = self._log(db, "undo", actor, payload, event.id)
        root, again = events.root_of(event, log)
        if root.kind == "rename":
            name = root.payload["to" if again else "label"]
            db.execute("UPDATE class SET label = ? WHERE id = ?", (name, root.payload["class"]))
        elif root.kind in ("enroll", "merge"):
            self._move(db, "added_by = ?", root.id, removed_by=None if again else number)
        elif not again:
            self._move(db, "removed_by = ?", root.id, removed_by=None)
        elif root.kind == "forget":
            self._move(db, "removed_by IS NULL AND class_id = ?", root.payload["class"], removed_by=root.id)
        else:
            self._move(db, "id = ?", root.payload["example"], removed_by=root.id)

    def _move(self, db: sqlite3.Connection, where: str, value: int, removed_by: int | None) -> None:
        """Take the examples that a condition (one of our own) names out of their classes, or put them back in."""
        rows = db.execute(f"SELECT class_id, embedding FROM example WHERE {where}", (value,)).fetchall()  # noqa: S608
        db.execute(f"UPDATE example SET removed_by = ? WHERE {where}", (removed_by, value))  # noqa: S608
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
