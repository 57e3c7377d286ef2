"""What a merge takes in, so that two galleries give the same state whichever is merged into which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import ClassConflictError
from . import queries
from .embeddings import to_blob
from .records import UNLABELLED, Example

if TYPE_CHECKING:
    import sqlite3

Content = Mapping["str | None", Sequence[Example]]
"""The examples of each class, by its name; strangers under None, what is unlabelled under its own name."""

_Place = tuple["str | None", bool]
"""The class that a picture is of, or (True) is not; None and True for a stranger."""

_NAMED = 3


def content(db: sqlite3.Connection, dimension: int) -> dict[str | None, list[Example]]:
    """All that stands in a gallery, also what a class is not that has no example now."""
    rows = db.execute("SELECT DISTINCT label FROM class JOIN example ON class.id = class_id WHERE removed_by IS NULL")
    ids = {
        label: queries.pool(db) if label == UNLABELLED else queries.find(db, label, forgotten_too=True)
        for (label,) in rows.fetchall()
    }
    return {label: queries.content(db, class_id, dimension) for label, class_id in [*ids.items(), (None, None)]}


def refuse_conflicts(db: sqlite3.Connection, incoming: Content) -> None:
    """Raise if a picture is one thing here and another there.

    Of other classes (which a picture is not in one gallery either: `Gallery.enroll`); or of a class on one side, and
    not of it, or a stranger, on the other. Each rule reads the same from both sides.
    """
    there: dict[str, set[_Place]] = {}
    names: dict[str, str] = {}
    for label, examples in incoming.items():
        for example in examples:
            there.setdefault(example.source_sha256, set()).add((label, example.negative))
            names[example.source_sha256] = example.source
    conflicts = []
    for digest, places in there.items():
        rows = db.execute(
            "SELECT label, negative FROM example LEFT JOIN class ON class.id = class_id "
            "WHERE source_sha256 = ? AND removed_by IS NULL",
            (digest,),
        )
        disagreement = _disagreement({(label, bool(negative)) for label, negative in rows}, places)
        if disagreement is not None:
            conflicts.append(f"{names[digest]} is {disagreement[0]} here and {disagreement[1]} there")
    if conflicts:
        more = f" and {len(conflicts) - _NAMED} more" if len(conflicts) > _NAMED else ""
        raise ClassConflictError(
            f"Nothing was merged, because the galleries disagree: {'; '.join(conflicts[:_NAMED])}{more}. Rename a "
            "class, or take the example out on one side (edgefew forget --example)."
        )


def choose(
    db: sqlite3.Connection, class_id: int | None, incoming: Sequence[Example]
) -> tuple[list[Example], list[int], dict[bool, int]]:
    """The examples to add, the numbers of those that they replace, and how many pictures are new on each side.

    Two devices may give a picture embeddings that differ in their last bits. Of those, the one stands whose bytes are
    the lesser: so it does not matter which came first.
    """
    rows = db.execute(
        "SELECT source_sha256, negative, id, embedding FROM example WHERE class_id IS ? AND removed_by IS NULL",
        (class_id,),
    )
    held = {(digest, bool(negative)): (number, blob) for digest, negative, number, blob in rows}
    added, replaced, new = [], [], {False: 0, True: 0}
    for example in incoming:
        number, blob = held.get((example.source_sha256, example.negative), (0, b""))
        if not number:
            added.append(example)
            new[example.negative] += 1
        elif to_blob(example.embedding) < blob:
            added.append(example)
            replaced.append(number)
    return added, replaced, new


def _disagreement(here: set[_Place], there: set[_Place]) -> tuple[str, str] | None:
    """What a picture is on each side, where that cannot be both."""
    ours, theirs = (sorted(str(label) for label, negative in side if not negative) for side in (here, there))
    if len({*ours, *theirs}) > 1:
        return _named(ours), _named(theirs)
    for label in theirs:
        if (label, True) in here:
            return f"not {label!r}", repr(label)
    for label in ours:
        if (label, True) in there:
            return repr(label), f"not {label!r}"
    if theirs and (None, True) in here:
        return "a stranger", _named(theirs)
    if ours and (None, True) in there:
        return _named(ours), "a stranger"
    return None


def _named(labels: Sequence[str]) -> str:
    return " and ".join(map(repr, labels)) or "of no class"
