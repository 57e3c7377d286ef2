"""What the gallery's operations ask of its tables."""

from __future__ import annotations

import sqlite3

from ..errors import ClassConflictError, NothingToUndoError, UnknownClassError
from . import events, locking
from .embeddings import sha256, to_blob
from .records import EnrolledExample, Example, check_label


def described(example: Example) -> dict[str, str]:
    """An example as the log tells of it."""
    return {
        "source": example.source,
        "source_sha256": example.source_sha256,
        "embedding_sha256": sha256(to_blob(example.embedding)),
    }


def verifier(db: sqlite3.Connection) -> str | None:
    """What the gallery's pass-phrase is known by; None if it is not locked."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (locking.META_KEY,)).fetchone()
    return None if row is None else str(row[0])


def find(db: sqlite3.Connection, label: str, forgotten_too: bool = False) -> int:
    """The number of an enrolled class.

    Raises:
        UnknownClassError: there is none of that name.
    """
    label = check_label(label)
    row = db.execute(
        "SELECT id, count FROM class WHERE label = ? ORDER BY count > 0 DESC, id DESC", (label,)
    ).fetchone()
    if row is None or not (row[1] or forgotten_too):
        rows = db.execute("SELECT label FROM class WHERE count > 0 ORDER BY id LIMIT 9").fetchall()
        shown = [repr(name) for (name,) in rows[:8]] + ["…"] * (len(rows) > 8)
        raise UnknownClassError(f"No class {label!r} is enrolled. Enrolled: {', '.join(shown) or 'none'}.")
    return int(row[0])


def live(db: sqlite3.Connection, class_id: int) -> list[bytes]:
    """The embeddings that a class holds now, as stored."""
    rows = db.execute(
        "SELECT embedding FROM example WHERE class_id = ? AND removed_by IS NULL ORDER BY id", (class_id,)
    )
    return [row[0] for row in rows]


def live_sources(db: sqlite3.Connection, class_id: int) -> set[str]:
    """The hashes of what a class was enrolled from."""
    rows = db.execute("SELECT source_sha256 FROM example WHERE class_id = ? AND removed_by IS NULL", (class_id,))
    return {row[0] for row in rows}


def examples(db: sqlite3.Connection, where: str, value: int) -> list[EnrolledExample]:
    """The enrolled examples for which a condition (one of our own) holds."""
    rows = db.execute(
        "SELECT example.id, label, source, source_sha256, at FROM example JOIN class ON class.id = class_id "  # noqa: S608
        f"JOIN event ON event.id = added_by WHERE removed_by IS NULL AND {where} ORDER BY example.id",
        (value,),
    )
    return [EnrolledExample(*row) for row in rows]


def check_conflicts(db: sqlite3.Connection, incoming: dict[str, list[Example]]) -> None:
    """Refuse where the same picture is of one class here and of another there."""
    conflicts = []
    for label, examples in incoming.items():
        for example in examples:
            row = db.execute(
                "SELECT label FROM example JOIN class ON class.id = class_id "
                "WHERE source_sha256 = ? AND removed_by IS NULL AND label != ?",
                (example.source_sha256, label),
            ).fetchone()
            if row is not None:
                conflicts.append(f"{example.source} is {row[0]!r} here and {label!r} there")
    if conflicts:
        more = f" and {len(conflicts) - 3} more" if len(conflicts) > 3 else ""
        raise ClassConflictError(
            f"Nothing was merged, because the galleries disagree: {'; '.join(conflicts[:3])}{more}. "
            "Rename a class or remove the example on one side first."
        )


def refuse_erased(event: events.Event) -> None:
    """Raise if an event was an erase: what it took is gone."""
    if event.kind == "erase":
        raise NothingToUndoError(f"Event {event.id} erased {event.payload['label']!r}; that cannot be undone.")
