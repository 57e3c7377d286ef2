"""The gallery: the classes enrolled on one device, in one SQLite file.

Every operation is one transaction that is on the disk (WAL, synchronous=FULL) before the call returns. Sums are kept
beside the examples they are made of; because embeddings lie on a grid (see `head.GRID`) the sums are exact, so
removing, undoing and re-enrolling give the same bits as never having done it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import compress
from pathlib import Path
from typing import Any

from ..errors import (
    ClassConflictError,
    GalleryFormatError,
    GalleryMismatchError,
    NothingToUndoError,
    UnknownClassError,
)
from ..new_file import new_file
from . import events, locking, merging, queries
from .changes import UNDOABLE, Change, Group
from .reading import GalleryReader
from .records import UNLABELLED, EnrolledExample, Example, Merged, Stored, check_label

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(timezone.utc)


class Gallery(GalleryReader):
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
        from .database import Database  # and with it sqlite3, which a program that opens no gallery need not load

        self._clock = clock
        self._passphrase: str | None = None
        created = {"bundle_id": bundle_id, "dimension": dimension}
        database = Database(
            None if path is None else Path(path),
            bundle_id,
            dimension,
            lambda db: Change(db, dimension or 0, self._clock().isoformat(), "").log("create", created),
        )
        super().__init__(database)

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Nothing is pending: every call was already durable when it returned."""
        self._database.close()

    def enroll(self, label: str, examples: Sequence[Example], actor: str = "", *, dry_run: bool = False) -> Stored:
        """Add examples to a class, new or not, and keep the frames that come with them; tells what was new.

        With `dry_run` it is all done, and undone before anyone can see it.

        Raises:
            LabelError: the name is empty, too long or has characters that cannot be shown.
            ClassConflictError: a picture is of another class, was rejected for this one, or given as a stranger;
                nothing was enrolled.
        """
        label = check_label(label)
        with self._writing(actor, dry_run=dry_run) as change:
            class_id = change.class_id(label)
            queries.refuse_taken(change.db, class_id, examples)
            return self._add_new(change, "enroll", class_id, label, examples)

    def reject(self, label: str, examples: Sequence[Example], actor: str = "") -> Stored:
        """Remember what an enrolled class is not, and keep the frames that come with it; tells what was new.

        Raises:
            UnknownClassError: no class of that name is enrolled.
            ClassConflictError: a picture is enrolled as an example of this class; nothing was remembered.
        """
        label = check_label(label)
        with self._writing(actor) as change:
            class_id = queries.find(change.db, label)
            rejected = [dataclasses.replace(example, negative=True) for example in examples]
            return self._add_new(change, "reject", class_id, label, rejected)

    def calibrate(self, strangers: Sequence[Example], actor: str = "", *, replace: bool = False) -> Stored:
        """Keep embeddings of what is of no class, for thresholds, and frames that come with them; tells what was new.

        Args:
            strangers: the embeddings.
            actor: who does it, for the log.
            replace: take out those that were given before, in the same transaction; in the log, and for `undo`, that is
                an event of its own.

        Raises:
            ClassConflictError: a picture is enrolled as an example of a class; nothing was kept.
        """
        with self._writing(actor) as change:
            if replace:
                self._clear(change)
            for example in strangers:
                found = queries.examples(change.db, "NOT negative AND source_sha256 = ?", example.source_sha256)
                if found:
                    raise ClassConflictError(
                        f"{example.source} is enrolled as {found[0].label!r} (example {found[0].id}), so it is no "
                        "stranger. Nothing was changed. Leave it out."
                    )
            kept = [dataclasses.replace(example, negative=True) for example in strangers]
            return self._add_new(change, "calibrate", None, None, kept)

    def clear(self, actor: str = "") -> int:
        """Take all strangers out; gives how many there were. `undo` brings them back."""
        with self._writing(actor) as change:
            return self._clear(change)

    def refine(self, unlabelled: Sequence[Example], actor: str = "", *, replace: bool = False) -> Stored:
        """Keep embeddings of no known class, to refine the prototypes with; tells what was new.

        The sums of the classes stay as they are: `Refinement.refine` makes refined ones of them when they are read. An
        unlabelled picture that is enrolled too, before or after, counts where it is enrolled.

        Args:
            unlabelled: the embeddings, and frames that come with them.
            actor: who does it, for the log.
            replace: take out those that were given before, in the same transaction; in the log, and for `undo`, that is
                an event of its own.
        """
        with self._writing(actor) as change:
            pool = change.class_id(UNLABELLED)
            if replace:
                self._clear(change, pool)
            kept = [dataclasses.replace(example, negative=True) for example in unlabelled]
            return self._add_new(change, "refine", pool, UNLABELLED, kept)

    def clear_unlabelled(self, actor: str = "") -> int:
        """Take out all that was given to refine with; gives how many there were. `undo` brings them back."""
        with self._writing(actor) as change:
            return self._clear(change, queries.pool(change.db))

    @staticmethod
    def _clear(change: Change, pool: int | None = None) -> int:
        """Take out the strangers, or what stands under the number of the unlabelled ones."""
        (number,) = change.db.execute(
            "SELECT count(*) FROM example WHERE class_id IS ? AND removed_by IS NULL", (pool,)
        ).fetchone()
        if number:
            what = "strangers" if pool is None else "unlabelled"
            event = change.log("clear", {"label": "", "class": pool, what: number})
            change.take_out("class_id IS ?", pool, event)
        return int(number)

    def forget(self, label: str, actor: str = "") -> int:
        """Take a class out, its rejected examples too; gives how many examples it had. `undo` brings it back.

        Raises:
            UnknownClassError: no class of that name is enrolled.
        """
        with self._writing(actor) as change:
            class_id = queries.find(change.db, label)
            (count,) = change.db.execute("SELECT count FROM class WHERE id = ?", (class_id,)).fetchone()
            event = change.log("forget", {"label": label, "class": class_id, "examples": count})
            change.take_out("class_id IS ?", class_id, event)
        return int(count)

    def remove(self, example: int, actor: str = "") -> EnrolledExample:
        """Take one example out, whether of a class, of what it is not, or of strangers. `undo` brings it back.

        What a class is not waits when its last example goes: it counts again once the class has one.

        Raises:
            UnknownClassError: no example of that number is enrolled.
        """
        with self._writing(actor) as change:
            removed, class_id = queries.example(change.db, example)
            payload = {"label": removed.label or "", "class": class_id, "example": example, "source": removed.source}
            change.take_out("id = ?", example, change.log("remove", payload))
        return removed

    def rename(self, label: str, to: str, actor: str = "") -> None:
        """Give a class another name.

        Raises:
            UnknownClassError: no class of that name is enrolled.
            ClassConflictError: a class of the new name is enrolled already.
            LabelError: the new name cannot be used.
        """
        to = check_label(to)
        with self._writing(actor) as change:
            class_id = queries.find(change.db, label)
            if change.db.execute("SELECT 1 FROM class WHERE label = ? AND count > 0", (to,)).fetchone():
                raise ClassConflictError(f"A class {to!r} is enrolled already. Forget it first, or give another name.")
            change.log("rename", {"label": label, "to": to, "class": class_id})
            change.db.execute("UPDATE class SET label = ? WHERE id = ?", (to, class_id))

    def merge(self, other: Gallery, actor: str = "") -> Merged:
        """Add all that stands in the other gallery; tells what was new.

        Classes, what they are not, strangers, and what is unlabelled.

        Each is a set of pictures, so the order in which galleries are merged does not matter, to the bit.

        Raises:
            GalleryMismatchError: it was made with another bundle.
            GalleryFormatError: it is damaged, or was tampered with.
            ClassConflictError: a picture is one thing here and another there; nothing was merged.
        """
        if other.bundle_id != self.bundle_id:
            raise GalleryMismatchError(
                f"The other gallery was made with another bundle ({other.bundle_id[:12]}…, this one with "
                f"{self.bundle_id[:12]}…). Embeddings of different bundles cannot be compared."
            )
        if problems := other.problems():
            raise GalleryFormatError(f"The other gallery is not merged: {'; '.join(problems)}.")
        with other._database.reading() as db:
            incoming = merging.content(db, self.dimension)
        with self._writing(actor) as change:
            merging.refuse_conflicts(change.db, incoming)
            added: list[Group] = []
            replaced: list[int] = []
            new: dict[str | None, dict[bool, int]] = {}
            for label, examples in incoming.items():
                class_id = None if label is None else change.class_id(label)
                chosen, outdated, new[label] = merging.choose(change.db, class_id, examples)
                replaced += outdated
                if chosen:
                    added.append((class_id, label, chosen))
            if added:
                names = ", ".join("strangers" if label is None else label or "unlabelled" for _, label, _ in added)
                change.add("merge", {"label": names}, added, replaced)
        strangers, unlabelled = new.pop(None)[True], new.pop(UNLABELLED, {True: 0})[True]
        grown, denied = ({str(label): n[side] for label, n in new.items() if n[side]} for side in (False, True))
        return Merged(grown, strangers, denied, unlabelled)

    def share(self, pack: str | Path, labels: Sequence[str] | None = None, actor: str = "") -> dict[str, int]:
        """Write a class pack: a new gallery with some of the classes, for `merge`; gives how many examples of each.

        It appears whole under its name, or not at all. It holds what the classes are not, and no frames or strangers.

        Args:
            pack: the new file.
            labels: the classes; all of them if not given.
            actor: who does it, for the pack's log.

        Raises:
            UnknownClassError: one of the named classes is not enrolled, or none is.
            GalleryError: something is there already, or cannot be written.
        """
        content = self.content(labels)
        if not content:
            raise UnknownClassError("No class is enrolled, so there is none to share. Enroll one first.")
        with (
            new_file(Path(pack)) as part,
            Gallery(part, self.bundle_id, self.dimension, self._clock) as target,
            target._writing(actor) as change,
        ):
            for label, examples in content.items():
                change.add("enroll", {"label": label}, [(change.class_id(label), label, examples)])
        return {label: sum(not example.negative for example in examples) for label, examples in content.items()}

    def take_over(
        self,
        old: Gallery,
        content: Mapping[str, Iterable[Example]],
        strangers: Iterable[Example],
        unlabelled: Iterable[Example],
        actor: str = "",
    ) -> None:
        """Enroll what another bundle's gallery held, embedded anew, in one transaction; its lock comes with it.

        Args:
            old: that gallery. The last hash of its log goes into this one's log.
            content: its classes, with embeddings of this gallery's bundle. They are taken one by one, and no frame is
                held longer than that.
            strangers: its strangers, likewise.
            unlabelled: what it refined with, likewise.
            actor: who does it, for the log.
        """
        with old._database.reading() as db:
            lock = queries.verifier(db)
            last = events.read(db)[-1]
        with self._writing(actor) as change:
            groups: list[Group] = []
            kept: dict[str, None] = {}
            for label, examples in [*content.items(), (UNLABELLED, unlabelled), (None, strangers)]:
                taken = []
                for example in examples:
                    if example.frame is not None:
                        change.store_frame(example)
                        kept[example.source_sha256] = None
                    taken.append(dataclasses.replace(example, frame=None))
                if taken or label is None:
                    groups.append((None if label is None else change.class_id(label), label, taken))
            payload = {"label": "", "bundle_id": old.bundle_id, "event": last.id, "event_sha256": last.sha256}
            change.mark_kept(list(kept), change.add("migrate", payload, groups))
            if lock is not None:
                change.db.execute("INSERT INTO meta VALUES (?, ?)", (locking.META_KEY, lock))

    def erase(self, label: str, actor: str = "") -> int:
        """Delete a class's embeddings and kept frames from the disk, those forgotten earlier too; gives how many.

        Every class that has this name now, enrolled or forgotten. Cannot be undone.

        Raises:
            UnknownClassError: the gallery never held a class of that name.
            GalleryBusyError: they are deleted, but another process keeps them from being overwritten.
        """
        with self._writing(actor) as change:
            queries.find(change.db, label, forgotten_too=True)
            label = check_label(label)
            rows = change.db.execute("SELECT id FROM class WHERE label = ? ORDER BY id", (label,))
            erased = sum([change.erase({"label": label}, class_id) for (class_id,) in rows.fetchall()])
        self._database.empty_log_file()
        return erased

    def erase_example(self, example: int, actor: str = "") -> tuple[EnrolledExample, list[EnrolledExample]]:
        """Delete one example's embedding and kept frame from the disk, forgotten earlier or not. Cannot be undone.

        With it go earlier examples of the same picture and class, forgotten since. Gives the example, and those of
        the same picture that stay because they are of another class: with them stays its frame.

        Raises:
            UnknownClassError: the gallery holds no example of that number.
            GalleryBusyError: it is deleted, but another process keeps it from being overwritten.
        """
        with self._writing(actor) as change:
            found, class_id = queries.example(change.db, example, forgotten_too=True)
            change.erase({"label": found.label or "", "example": example}, class_id, found.source_sha256)
            same = "example.source_sha256 = ?"
            others = queries.examples(change.db, same, found.source_sha256, forgotten_too=True)
        self._database.empty_log_file()
        return found, others

    def erase_strangers(self, actor: str = "") -> int:
        """Delete all strangers and their kept frames from the disk, those cleared earlier too; gives how many.

        Cannot be undone.
        """
        with self._writing(actor) as change:
            erased = change.erase({"label": ""}, None)
        self._database.empty_log_file()
        return erased

    def erase_unlabelled(self, actor: str = "") -> int:
        """Delete all that was given to refine with and its kept frames from the disk, what was cleared earlier too.

        Gives how many. Cannot be undone.
        """
        with self._writing(actor) as change:
            erased = change.erase({"label": UNLABELLED}, queries.pool(change.db))
        self._database.empty_log_file()
        return erased

    def undo(self, actor: str = "") -> events.Event:
        """Take back the last change that was not yet undone; gives the event that was undone.

        It stops at an erase: who wants that back shall not lose the change before it instead. `roll_back` goes on.

        Raises:
            NothingToUndoError: there is none, or the last one was an erase.
        """
        with self._writing(actor) as change:
            log = events.read(change.db)
            standing = [event for event in events.standing(log) if event.kind in UNDOABLE or event.kind == "erase"]
            if not standing:
                raise NothingToUndoError("There is nothing to undo: no change stands.")
            if standing[0].kind == "erase":
                before = [event for event in standing if event.kind in UNDOABLE and not change.is_void(event)]
                raise NothingToUndoError(_after_erase(standing[0], before))
            change.invert(standing[0], log)
        return standing[0]

    def roll_back(self, to: int, actor: str = "") -> list[events.Event]:
        """Bring back the state right after event number `to`; gives the events that were undone, latest first.

        It is that state to the bit, without the examples that were erased since. An undo that came later is undone
        too. All or none.

        Raises:
            NothingToUndoError: there is no such event, or nothing that can be undone stands after it.
        """
        with self._writing(actor) as change:
            log = events.read(change.db)
            if not 1 <= to <= log[-1].id:
                raise NothingToUndoError(
                    f"There is no event {to} to go back to: they are numbered 1 to {log[-1].id} (`edgefew log`)."
                )
            later = [event for event in events.standing(log) if event.id > to]
            undone = [
                event
                for event in later
                if (event.kind in UNDOABLE and not change.is_void(event)) or (event.undoes or to + 1) <= to
            ]
            for event in undone:
                change.invert(event, log)
        if not undone:
            gone = ", or what it changed was erased" * any(event.kind == "erase" for event in later)
            raise NothingToUndoError(f"No change after event {to} stands{gone}. `edgefew log` shows all events.")
        return undone

    def lock(self, passphrase: str, actor: str = "") -> None:
        """From now on, refuse every change unless `unlock` was called with the pass-phrase.

        Raises:
            LabelError: the pass-phrase is too short.
        """
        verifier = locking.make_verifier(passphrase)
        with self._writing(actor) as change:
            change.log("lock", {})
            change.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (locking.META_KEY, verifier))

    def unlock(self, passphrase: str) -> None:
        """Let this object change the locked gallery; the file stays locked for everyone else."""
        self._passphrase = passphrase

    def remove_lock(self, actor: str = "") -> None:
        """Take the lock off for everyone; `unlock` first."""
        with self._writing(actor) as change:
            change.log("remove_lock", {})
            change.db.execute("DELETE FROM meta WHERE key = ?", (locking.META_KEY,))

    @contextlib.contextmanager
    def _writing(self, actor: str, *, dry_run: bool = False) -> Iterator[Change]:
        """A transaction, if the lock lets this object write."""
        with self._database.trial() if dry_run else self._database.writing() as db:
            # Inside the transaction: nobody can lock the gallery between the check and the write.
            locking.check(queries.verifier(db), self._passphrase)
            yield Change(db, self.dimension, self._clock().isoformat(), actor)

    @staticmethod
    def _add_new(
        change: Change, kind: str, class_id: int | None, label: str | None, examples: Sequence[Example]
    ) -> Stored:
        """Add what is new, and keep the frames given, as one event; none where there is nothing to do."""
        new = queries.new_ones(change.db, class_id, examples)
        places = queries.unkept(change.db, examples)
        added = list(compress(examples, new))
        payload: dict[str, Any] = {"label": label or ""}
        if not label:
            payload["strangers" if label is None else "unlabelled"] = len(added)
        if added or places:
            if added:
                event = change.add(kind, payload, [(class_id, label, added)])
            else:
                of = {"of": "what is unlabelled"} if label == UNLABELLED else {}
                event = change.log("keep", {"label": label or "", "frames": len(places)} | of)
            for place in places:
                change.store_frame(examples[place])
            change.mark_kept([examples[place].source_sha256 for place in places], event)
        return Stored(tuple(new), sum(not new[place] for place in places))


def _after_erase(erase: events.Event, before: Sequence[events.Event]) -> str:
    """Why `undo` stops at an erase, and how to go on from there."""
    told = f"The last change, event {erase.id} ({erase.describe()}), cannot be undone: what was erased is gone."
    if not before:
        return f"{told} No change before it stands."
    return (
        f"{told} The change before it is event {before[0].id} ({before[0].describe()}): `edgefew undo --to "
        f"{before[0].id - 1}` takes it back."
    )
