"""The event log: every change to a gallery, each event chained to the one before by hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import GalleryFormatError

if TYPE_CHECKING:
    import sqlite3

GENESIS = "0" * 64
"""What the first event names as the hash before it."""


class _Payload(dict[str, Any]):
    """A payload as the log has it; what a forged one lacks is an error of ours."""

    @classmethod
    def of(cls, event: int, text: str) -> _Payload:
        try:
            payload = json.loads(text, object_hook=cls)
        except (TypeError, ValueError, RecursionError):
            payload = None
        if not isinstance(payload, cls):
            raise GalleryFormatError(f"Event {event} of the gallery's log is damaged. Restore a copy.")
        return payload

    def __missing__(self, key: str) -> Any:
        raise GalleryFormatError(f"An event of the gallery's log lacks {key!r}: it was forged. Restore a copy.")


@dataclass(frozen=True)
class Event:
    """One change to a gallery.

    Attributes:
        id: 1, 2, 3, … without gaps.
        at: UTC, ISO 8601.
        kind: "create", "enroll", "reject", "calibrate", "refine", "keep", "merge", "migrate", "forget", "remove",
            "clear", "rename", "erase", "undo", "lock" or "remove_lock".
        actor: who did it, as the caller said.
        undoes: for an undo, the event that it undid.
        payload: what was done: the class, and for each example its source and hashes.
        sha256: over this event and the hash of the one before.
    """

    id: int
    at: str
    kind: str
    actor: str
    undoes: int | None
    payload: dict[str, Any]
    sha256: str

    def added(self) -> list[tuple[int | None, str | None, list[dict[str, Any]]]]:
        """The examples that it added: of each class its number, its name and the examples; none for other events.

        Raises:
            GalleryFormatError: it is not so: the event was forged.
        """
        parts = self.payload.get("added", [])
        try:
            result = [(part["class"], part["label"], list(part["examples"])) for part in parts]
            if all(_is_described(*part) for part in result):
                return result
        except TypeError:
            pass
        raise GalleryFormatError(f"Event {self.id} of the gallery's log does not tell of examples: it was forged.")

    def describe(self) -> str:
        """What happened, for people."""
        label = self.payload.get("label", "")
        if self.kind == "rename":
            return f"rename {label} to {self.payload['to']}"
        if self.kind == "refine" or (self.kind == "clear" and "unlabelled" in self.payload):
            return f"{self.kind} ({self.payload['unlabelled']} unlabelled)"
        if self.kind in ("calibrate", "clear"):
            number = self.payload["strangers"]
            return f"{self.kind} ({number} stranger{'s' * (number != 1)})"
        if self.kind == "erase" and not label:
            label = "strangers" if self.payload["class"] is None else "what is unlabelled"
        if self.kind == "erase" and "example" in self.payload:
            return f"erase example {self.payload['example']} of {label}"
        if self.kind == "keep":
            number, of = self.payload["frames"], label or self.payload.get("of", "strangers")
            return f"keep {number} frame{'s' * (number != 1)} of {of}"
        if self.kind == "undo":
            return f"undo event {self.undoes} ({self.payload['undid']} {label}".rstrip() + ")"
        return f"{self.kind} {label}".strip()

    def to_dict(self) -> dict[str, Any]:
        """As a line of `edgefew log --json`."""
        return dict(self.__dict__)


def append(
    db: sqlite3.Connection, at: str, kind: str, actor: str, payload: dict[str, Any], undoes: int | None = None
) -> int:
    """Add an event inside the caller's transaction; gives its number."""
    actor = actor.encode("utf-8", "backslashreplace").decode()
    last = db.execute("SELECT id, sha256 FROM event ORDER BY id DESC LIMIT 1").fetchone() or (0, GENESIS)
    number, previous = last[0] + 1, last[1]
    text = json.dumps(payload, sort_keys=True)
    digest = _digest(number, at, kind, actor, undoes, text, previous)
    db.execute(
        "INSERT INTO event (id, at, kind, actor, undoes, payload, prev_sha256, sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, at, kind, actor, undoes, text, previous, digest),
    )
    return int(number)


def read(db: sqlite3.Connection) -> list[Event]:
    """All events, oldest first."""
    rows = db.execute("SELECT id, at, kind, actor, undoes, payload, sha256 FROM event ORDER BY id")
    log = [
        Event(i, at, kind, actor, undoes, _Payload.of(i, text), sha) for i, at, kind, actor, undoes, text, sha in rows
    ]
    for number, event in enumerate(log, start=1):
        if event.id != number or not (event.undoes is None or 0 < event.undoes < number):
            raise GalleryFormatError(f"Event {number} of the gallery's log was changed or removed. Restore a copy.")
    return log


def standing(log: list[Event]) -> list[Event]:
    """The events that were not undone, latest first; an undo that was undone itself undoes nothing."""
    undone: set[int | None] = set()
    result = []
    for event in reversed(log):
        if event.id not in undone:
            result.append(event)
            undone.add(event.undoes)
    return result


def root_of(event: Event, log: list[Event]) -> tuple[Event, bool]:
    """The change that an event is about, and whether undoing the event does that change again.

    For a change itself: (the change, False). For the undo of a change: (the change, True). And so on in turns.
    """
    again = False
    while event.undoes is not None:
        event, again = log[event.undoes - 1], not again
    return event, again


def first_broken(db: sqlite3.Connection) -> int | None:
    """The number of the first event that was changed, removed or put in; None if the chain holds."""
    previous, expected = GENESIS, 1
    rows = db.execute("SELECT id, at, kind, actor, undoes, payload, prev_sha256, sha256 FROM event ORDER BY id")
    for number, at, kind, actor, undoes, text, prev, digest in rows:
        if number != expected or prev != previous or digest != _digest(number, at, kind, actor, undoes, text, prev):
            return expected
        previous, expected = digest, number + 1
    return None


def _is_described(class_id: object, label: object, examples: list[Any]) -> bool:
    """Whether a part of an event's examples has the types that it must have."""
    texts = [
        value
        for e in examples
        if isinstance(e, dict)
        for value in (e["source"], e["source_sha256"], e["embedding_sha256"])
    ]
    return (
        isinstance(class_id, int | None)
        and isinstance(label, str | None)
        and len(texts) == 3 * len(examples)
        and all(isinstance(text, str) for text in texts)
    )


def _digest(number: int, at: str, kind: str, actor: str, undoes: int | None, payload: str, previous: str) -> str:
    # JSON of a list: no two different events give the same text, whatever their strings hold.
    text = json.dumps([number, at, kind, actor, undoes, payload, previous], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
