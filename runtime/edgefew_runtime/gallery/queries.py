"""What the gallery's operations ask of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import head
from ..errors import ClassConflictError, UnknownClassError
from . import locking
from .embeddings import from_blobs, from_sums, sha256, to_blob
from .records import UNLABELLED, EnrolledExample, Example, Unlabelled, check_label

if TYPE_CHECKING:
    import sqlite3

_ROWS = 512
"""Classes read at once: their sums in float64 are the only copy beside the prototypes."""


def described(example: Example) -> dict[str, str | bool]:
    """An example as the log tells of it."""
    return {
        "source": example.source,
        "source_sha256": example.source_sha256,
        "embedding_sha256": sha256(to_blob(example.embedding)),
    } | ({"negative": True} if example.negative else {})


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


def pool(db: sqlite3.Connection) -> int:
    """The number under which unlabelled examples stand; that of no class where there never were any."""
    row = db.execute("SELECT id FROM class WHERE label = ?", (UNLABELLED,)).fetchone()
    return 0 if row is None else int(row[0])


def unlabelled(db: sqlite3.Connection, dimension: int) -> Unlabelled | None:
    """What there is to refine with. Its order is that of the bytes, so that it is the same however galleries merged."""
    rows = db.execute(
        "SELECT embedding FROM example WHERE class_id = ? AND removed_by IS NULL AND NOT EXISTS (SELECT 1 FROM example "
        "AS own WHERE own.source_sha256 = example.source_sha256 AND NOT own.negative AND own.removed_by IS NULL) "
        "ORDER BY embedding",
        (pool(db),),
    ).fetchall()
    if not rows:
        return None
    parts = [from_sums([row[3] for row in part], dimension).astype(np.float32) for part in classes(db)]
    sums = np.concatenate(parts) if parts else np.empty((0, dimension), np.float32)
    return Unlabelled(from_blobs([blob for (blob,) in rows], dimension), sums)


def new_ones(db: sqlite3.Connection, class_id: int | None, examples: Sequence[Example]) -> list[bool]:
    """For each example whether its source is new to the class, on its side (what it is, or what it is not).

    Raises:
        ClassConflictError: a picture is given on one side of a class and stands on the other.
    """
    rows = db.execute(
        "SELECT source_sha256, negative, id FROM example WHERE class_id IS ? AND removed_by IS NULL", (class_id,)
    )
    known = {(sha, bool(negative)): number for sha, negative, number in rows}
    result = []
    for example in examples:
        if (other := known.get((example.source_sha256, not example.negative))) is not None:
            raise ClassConflictError(
                f"{example.source} is there already as example {other}, of what the class is"
                f"{'' if example.negative else ' not'}. Nothing was changed. Take that one out first: "
                f"edgefew forget --example {other}"
            )
        key = (example.source_sha256, example.negative)
        result.append(key not in known)
        known.setdefault(key, 0)
    return result


def refuse_taken(db: sqlite3.Connection, class_id: int, examples: Sequence[Example]) -> None:
    """Raise if a picture that is about to be of a class is of another, or was given as a stranger: it would be both."""
    for example in examples:
        row = db.execute(
            "SELECT example.id, label FROM example LEFT JOIN class ON class.id = class_id WHERE source_sha256 = ? "
            "AND removed_by IS NULL AND (class_id IS NULL OR (class_id != ? AND NOT negative)) ORDER BY example.id",
            (example.source_sha256, class_id),
        ).fetchone()
        if row is None:
            continue
        number, label = row
        if label is None:
            seen = f"was given to calibrate with, as what is of no class (example {number})"
        else:
            seen = f"is enrolled as {label!r} (example {number}), and a picture is of one class"
        raise ClassConflictError(
            f"{example.source} {seen}. Nothing was changed. Leave it out here, or take it out there first: "
            f"edgefew forget --example {number}"
        )


def examples(
    db: sqlite3.Connection, where: str, value: int | str | None, *, forgotten_too: bool = False
) -> list[EnrolledExample]:
    """The enrolled examples for which a condition (one of our own) holds; on request those that were taken out too."""
    rows = db.execute(
        "SELECT example.id, label, source, source_sha256, at, negative, "  # noqa: S608
        "EXISTS (SELECT 1 FROM kept WHERE kept.source_sha256 = example.source_sha256 AND kept.removed_by IS NULL) "
        "FROM example LEFT JOIN class ON class.id = class_id "
        f"JOIN event ON event.id = added_by WHERE (? OR removed_by IS NULL) AND {where} ORDER BY example.id",
        (forgotten_too, value),
    )
    return [
        EnrolledExample(number, label, source, digest, at, bool(negative and label), bool(kept))
        for number, label, source, digest, at, negative, kept in rows
    ]


def example(db: sqlite3.Connection, number: int, *, forgotten_too: bool = False) -> tuple[EnrolledExample, int | None]:
    """The example of this number, and the number of its class.

    Raises:
        UnknownClassError: there is none.
    """
    found = examples(db, "example.id = ?", number, forgotten_too=forgotten_too)
    if not found:
        raise UnknownClassError(f"No example {number} is enrolled. `edgefew examples` lists those that are.")
    (class_id,) = db.execute("SELECT class_id FROM example WHERE id = ?", (number,)).fetchone()
    return found[0], class_id


def frame(db: sqlite3.Connection, source_sha256: str) -> bytes | None:
    """The frame kept of a picture; None if it was not kept."""
    row = db.execute(
        "SELECT content FROM frame JOIN kept USING (source_sha256) WHERE source_sha256 = ? AND removed_by IS NULL",
        (source_sha256,),
    ).fetchone()
    return None if row is None else bytes(row[0])


def unkept(db: sqlite3.Connection, given: Sequence[Example]) -> list[int]:
    """The places of the examples that come with a frame that is not kept yet; of each picture the first."""
    first = {e.source_sha256: place for place, e in reversed(list(enumerate(given))) if e.frame is not None}
    held = "SELECT 1 FROM kept WHERE source_sha256 = ? AND removed_by IS NULL"
    return sorted(place for digest, place in first.items() if db.execute(held, (digest,)).fetchone() is None)


def content(db: sqlite3.Connection, class_id: int | None, dimension: int) -> list[Example]:
    """The standing examples of a class, the rejected ones too; of no class for None. Without the frames kept."""
    rows = db.execute(
        "SELECT embedding, source, source_sha256, negative FROM example "
        "WHERE class_id IS ? AND removed_by IS NULL ORDER BY id",
        (class_id,),
    ).fetchall()
    embeddings = from_blobs([row[0] for row in rows], dimension)
    return [
        Example(embedding, source, sha, bool(negative))
        for embedding, (_, source, sha, negative) in zip(embeddings, rows, strict=True)
    ]


def classes(db: sqlite3.Connection) -> Iterator[list[tuple[int, str, int, bytes]]]:
    """Number, name, count and sum of the enrolled classes, oldest first, some hundreds at a time."""
    cursor = db.execute("SELECT id, label, count, sum FROM class WHERE count > 0 ORDER BY id")
    while rows := cursor.fetchmany(_ROWS):
        yield rows


def prototypes(
    db: sqlite3.Connection, dimension: int
) -> tuple[list[int], list[str], npt.NDArray[np.int64], head.Embeddings]:
    """Numbers, names, counts [c] and unit prototypes [c, d] of the enrolled classes; holds the prototypes once."""
    (number,) = db.execute("SELECT count(*) FROM class WHERE count > 0").fetchone()
    result = np.empty((number, dimension), np.float32)
    counts = np.empty(number, np.int64)
    ids: list[int] = []
    labels: list[str] = []
    for rows in classes(db):
        part = slice(len(ids), len(ids) + len(rows))
        result[part] = head.unit(from_sums([row[3] for row in rows], dimension))
        counts[part] = [row[2] for row in rows]
        ids += [row[0] for row in rows]
        labels += [row[1] for row in rows]
    return ids, labels, counts, result


def rejected(
    db: sqlite3.Connection, ids: Sequence[int], dimension: int
) -> Mapping[int, tuple[head.Embeddings, head.Embeddings]]:
    """For the classes that have rejected examples, by their place in `ids`: their own [k, d], the rejected [m, d]."""
    rows = db.execute(
        # By name: SQLite would rather go through all standing examples.
        "SELECT DISTINCT class_id FROM example INDEXED BY example_negative "
        "WHERE negative AND removed_by IS NULL AND class_id IS NOT NULL"
    ).fetchall()
    places = {class_id: place for place, class_id in enumerate(ids)}
    result = {}
    for (class_id,) in rows:
        if class_id not in places:
            continue  # its examples were taken out one by one: what it is not waits until it has some again
        held = content(db, class_id, dimension)
        sides = ([e.embedding for e in held if e.negative is side] for side in (False, True))
        own, others = (np.array(side, np.float32).reshape(-1, dimension) for side in sides)
        if len(own):
            result[places[class_id]] = own, others
    return result


def strangers(db: sqlite3.Connection, dimension: int) -> tuple[tuple[int, ...], head.Embeddings]:
    """Numbers and embeddings, float32 [s, d], of the standing strangers."""
    rows = db.execute(
        "SELECT id, embedding FROM example WHERE class_id IS NULL AND removed_by IS NULL ORDER BY id"
    ).fetchall()
    return tuple(number for number, _ in rows), from_blobs([blob for _, blob in rows], dimension)
