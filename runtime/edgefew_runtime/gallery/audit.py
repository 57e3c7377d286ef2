"""Is a gallery what its log says?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FrameError
from . import events, kept_frames
from .embeddings import from_sums, sha256, total

if TYPE_CHECKING:
    import sqlite3


def problems(db: sqlite3.Connection, dimension: int) -> list[str]:
    """What is wrong with a gallery, as sentences; empty if nothing is.

    Checks the pages, the chain of the log, that the examples are those that the log tells of, that the sums are
    those of the examples, and that kept frames are what was enrolled.
    """
    check = db.execute("PRAGMA integrity_check").fetchone()[0]
    if check != "ok":
        return [f"SQLite's integrity check says: {check}"]  # what else is read from such pages means nothing
    found = []
    if (broken := events.first_broken(db)) is not None:
        found.append(f"event {broken} of the log was changed or removed")
    log = events.read(db)
    return found + _untold_examples(db, log) + _untold_names(db, log) + _wrong_sums(db, dimension) + _wrong_frames(db)


def _untold_examples(db: sqlite3.Connection, log: list[events.Event]) -> list[str]:
    """Events whose examples are not those that the log tells of."""
    told: Counter[tuple[int, int | None, bool, str, str]] = Counter()
    for event in log:
        for class_id, _, examples in event.added():
            told.update(
                (event.id, class_id, bool(e.get("negative")), e["source_sha256"], e["embedding_sha256"])
                for e in examples
            )
        if event.kind == "erase":
            erased, picture = event.payload["class"], event.payload.get("source_sha256")
            told = Counter({e: n for e, n in told.items() if e[1] != erased or picture not in (None, e[3])})
    rows = db.execute("SELECT added_by, class_id, negative, source_sha256, embedding FROM example")
    held = Counter((*row, bool(negative), picture, sha256(blob)) for *row, negative, picture, blob in rows)
    return [
        f"the examples of event {number} are not those that the log tells of"
        for number in sorted({entry[0] for entry in (told - held) + (held - told)})
    ]


def _untold_names(db: sqlite3.Connection, log: list[events.Event]) -> list[str]:
    """Classes that are not there, or whose names are not those that the log tells of."""
    told: dict[int | None, str | None] = {}
    for event in log:
        told |= {class_id: label for class_id, label, _ in event.added()}
        root, again = (event, True) if event.undoes is None else events.root_of(log[event.undoes - 1], log)
        if root.kind == "rename":
            told[root.payload["class"]] = root.payload["to" if again else "label"]
    held = dict(db.execute("SELECT id, label FROM class").fetchall())
    lost = [f"class {label!r} is not there" for i, label in told.items() if i is not None and i not in held]
    return lost + [
        f"the name of class {label!r} is not the one that the log tells of"
        for i, label in held.items()
        if told.get(i) != label
    ]


def _wrong_sums(db: sqlite3.Connection, dimension: int) -> list[str]:
    found = []
    for class_id, label, stored, count in db.execute("SELECT id, label, sum, count FROM class").fetchall():
        rows = db.execute(
            "SELECT embedding FROM example WHERE class_id = ? AND removed_by IS NULL AND NOT negative", (class_id,)
        )
        live = [row[0] for row in rows]
        if len(live) != count or not np.array_equal(total(live, dimension), from_sums([stored], dimension)[0]):
            found.append(f"the sum of class {label!r} is not that of its examples")
    return found


def _wrong_frames(db: sqlite3.Connection) -> list[str]:
    found = []
    for digest, content in db.execute("SELECT source_sha256, content FROM frame"):
        try:
            intact = kept_frames.digest(content) == digest
        except FrameError:
            intact = False
        if not intact:
            found.append(f"the frame kept as {digest[:12]}… is not what was enrolled")
    return found
