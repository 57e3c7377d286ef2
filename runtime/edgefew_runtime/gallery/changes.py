"""What a change does inside its transaction: log it, add examples, move them out and in again, keep the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GalleryFormatError
from . import events, queries
from .embeddings import from_sums, to_blob, total
from .records import Example

if TYPE_CHECKING:
    import sqlite3

_ADDING = frozenset({"calibrate", "enroll", "keep", "merge", "refine", "reject"})

UNDOABLE = _ADDING | {"clear", "forget", "remove", "rename"}

_IN_PLACE = """removed_by IS NULL AND added_by != ? AND EXISTS (
    SELECT 1 FROM example AS new WHERE new.added_by = ? AND new.source_sha256 = example.source_sha256
    AND new.class_id IS example.class_id AND new.negative = example.negative)"""
"""The examples in whose place an event put others of the same picture."""

Group = tuple["int | None", "str | None", Sequence[Example]]
"""A class's number and name with new examples of it; None and None for strangers."""


@dataclass(frozen=True)
class Change:
    """One transaction that writes.

    Attributes:
        db: the connection, inside the transaction.
        dimension: d.
        at: the time for the log.
        actor: who does it, for the log.
    """

    db: sqlite3.Connection
    dimension: int
    at: str
    actor: str

    def log(self, kind: str, payload: dict[str, Any], undoes: int | None = None) -> int:
        """Append an event; gives its number."""
        return events.append(self.db, self.at, kind, self.actor, payload, undoes)

    def class_id(self, label: str) -> int:
        """The class of this name: the enrolled one, or else the one forgotten last, or else a new one."""
        found = self.db.execute("SELECT id FROM class WHERE label = ? ORDER BY count > 0, id", (label,)).fetchall()
        if found:
            return int(found[-1][0])
        zeros = np.zeros(self.dimension, "<f8").tobytes()
        return int(self.db.execute("INSERT INTO class (label, sum) VALUES (?, ?)", (label, zeros)).lastrowid or 0)

    def add(self, kind: str, payload: dict[str, Any], added: Sequence[Group], replaced: Sequence[int] = ()) -> int:
        """Log and store new examples, and take out those (by number) in whose place they come; gives the event."""
        described = [
            {"class": class_id, "label": label, "examples": [queries.described(example) for example in examples]}
            for class_id, label, examples in added
        ]
        event = self.log(kind, payload | {"added": described})
        for number in replaced:
            self.take_out("id = ?", number, event)
        for class_id, _, examples in added:
            rows = [(class_id, e.negative, to_blob(e.embedding), e.source, e.source_sha256, event) for e in examples]
            self.db.executemany(
                "INSERT INTO example (class_id, negative, embedding, source, source_sha256, added_by) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            self.shift(class_id, [to_blob(e.embedding) for e in examples if not e.negative], +1)
        return event

    def store_frame(self, example: Example) -> None:
        """Store the example's frame; kept it is from `mark_kept` on."""
        self.db.execute("INSERT OR IGNORE INTO frame VALUES (?, ?)", (example.source_sha256, example.frame))

    def mark_kept(self, pictures: Sequence[str], event: int) -> None:
        """These pictures, whose frames are stored, are kept from this event on, until it is undone."""
        self.db.executemany("INSERT INTO kept VALUES (?, ?, NULL)", [(digest, event) for digest in pictures])

    def shift(self, class_id: int | None, blobs: Sequence[bytes], sign: int) -> None:
        """Add these embeddings to a class's sum, or take them out: exact, because all lie on the grid."""
        if not blobs:
            return
        rows = self.db.execute("SELECT sum FROM class WHERE id = ?", (class_id,)).fetchall()
        if not rows:
            raise GalleryFormatError("The gallery is damaged: an example's class is not there. Nothing was changed.")
        shifted = from_sums([rows[0][0]], self.dimension)[0] + sign * total(blobs, self.dimension)
        self.db.execute(
            "UPDATE class SET sum = ?, count = count + ? WHERE id = ?",
            ((shifted + 0.0).tobytes(), sign * len(blobs), class_id),  # + 0.0: no negative zeros
        )

    def take_out(self, where: str, value: int | None, event: int) -> None:
        """Take the standing examples that a condition names out of their classes."""
        self._move(f"removed_by IS NULL AND {where}", [value], event)

    def erase(self, payload: dict[str, Any], class_id: int | None, source_sha256: str | None = None) -> int:
        """Delete a class's examples (the strangers for None), or those of one picture alone, standing or not.

        A frame that no other example is of goes with them. Gives how many examples there were.
        """
        values: list[int | str | None] = [class_id, source_sha256]
        chosen = f"class_id IS ? AND {'? IS NULL' if source_sha256 is None else 'source_sha256 = ?'}"
        (number,) = self.db.execute(f"SELECT count(*) FROM example WHERE {chosen}", values).fetchone()  # noqa: S608
        if number:
            told = payload | {"class": class_id, "examples": number}
            event = self.log("erase", told | ({} if source_sha256 is None else {"source_sha256": source_sha256}))
            self._move(f"removed_by IS NULL AND {chosen}", values, event)
            self.db.execute(f"DELETE FROM example WHERE {chosen}", values)  # noqa: S608
            for table in ("kept", "frame"):
                self.db.execute(
                    f"DELETE FROM {table} WHERE source_sha256 NOT IN (SELECT source_sha256 FROM example)"  # noqa: S608
                )
        return int(number)

    def is_void(self, event: events.Event) -> bool:
        """Whether all that a change added or took out was erased since."""
        return (
            event.kind != "rename"
            and self.db.execute(
                "SELECT 1 FROM example WHERE added_by = ? OR removed_by = ? "
                "UNION SELECT 1 FROM kept WHERE added_by = ?",
                (event.id, event.id, event.id),
            ).fetchone()
            is None
        )

    def invert(self, event: events.Event, log: list[events.Event]) -> None:
        """Undo an event. If it is an undo itself, that does again what it undid."""
        number = self.log("undo", {"undid": event.kind, "label": event.payload["label"]}, event.id)
        root, again = events.root_of(event, log)
        if root.kind == "rename":
            name = root.payload["to" if again else "label"]
            self.db.execute("UPDATE class SET label = ? WHERE id = ?", (name, root.payload["class"]))
        elif root.kind in _ADDING:
            if again:
                self._move(_IN_PLACE, [root.id, root.id], root.id)
            self._move("added_by = ?", [root.id], None if again else number)
            self.db.execute("UPDATE kept SET removed_by = ? WHERE added_by = ?", (None if again else number, root.id))
            if not again:
                self._move("removed_by = ?", [root.id], None)
        elif not again:
            self._move("removed_by = ?", [root.id], None)
        elif root.kind == "remove":
            self.take_out("id = ?", root.payload["example"], root.id)
        else:
            self.take_out("class_id IS ?", root.payload["class"], root.id)

    def _move(self, where: str, values: Sequence[int | str | None], removed_by: int | None) -> None:
        """Take the examples that a condition (one of our own) names out of their classes, or put them back in."""
        rows = self.db.execute(
            f"SELECT class_id, embedding, negative FROM example WHERE {where}",  # noqa: S608
            values,
        ).fetchall()
        self.db.execute(f"UPDATE example SET removed_by = ? WHERE {where}", (removed_by, *values))  # noqa: S608
        for class_id in {row[0] for row in rows}:
            blobs = [blob for owner, blob, negative in rows if owner == class_id and not negative]
            self.shift(class_id, blobs, +1 if removed_by is None else -1)
