"""Is a gallery what its log says?"""

from __future__ import annotations

import sqlite3

import numpy as np

from . import events
from .embeddings import sha256, total


def problems(db: sqlite3.Connection, dimension: int) -> list[str]:
    """What is wrong with a gallery, as sentences; empty if nothing is.

    Checks the pages, the chain of the log, that the examples are those that the log tells of, and that the sums are
    those of the examples.
    """
    found = []
    check = db.execute("PRAGMA integrity_check").fetchone()[0]
    if check != "ok":
        found.append(f"SQLite's integrity check says: {check}")
    if (broken := events.first_broken(db)) is not None:
        found.append(f"event {broken} of the log was changed or removed")
    return found + _untold_examples(db) + _wrong_sums(db, dimension)


def _untold_examples(db: sqlite3.Connection) -> list[str]:
    """Enrolments whose examples are not those that the log tells of."""
    told: dict[int, tuple[str, list[str]]] = {}
    for event in events.read(db):
        label = event.payload.get("label", "")
        if event.kind == "enroll":
            told[event.id] = (label, sorted(e["embedding_sha256"] for e in event.payload["examples"]))
        elif event.kind == "erase":
            told = {number: entry for number, entry in told.items() if entry[0] != label}
    held: dict[int, tuple[str, list[str]]] = {}
    for added_by, blob, label in db.execute(
        "SELECT added_by, embedding, label FROM example JOIN class ON class.id = class_id"
    ):
        held.setdefault(added_by, (label, []))[1].append(sha256(blob))
    for _, hashes in held.values():
        hashes.sort()
    return [
        f"the examples of event {number} are not those that the log tells of"
        for number in sorted(told.keys() | held.keys())
        if told.get(number) != held.get(number)
    ]


def _wrong_sums(db: sqlite3.Connection, dimension: int) -> list[str]:
    found = []
    for class_id, label, stored, count in db.execute("SELECT id, label, sum, count FROM class").fetchall():
        rows = db.execute("SELECT embedding FROM example WHERE class_id = ? AND removed_by IS NULL", (class_id,))
        live = [row[0] for row in rows]
        if len(live) != count or not np.array_equal(total(live, dimension), np.frombuffer(stored, "<f8")):
            found.append(f"the sum of class {label!r} is not that of its examples")
    return found
