"""What can be asked of a gallery; nothing here changes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..new_file import new_file
from . import events, queries
from .embeddings import from_sums
from .records import EnrolledClass, EnrolledExample, Example, GalleryState, Task, check_label

if TYPE_CHECKING:
    from .database import Database


class GalleryReader:
    """The questions. Each is answered from one state of the gallery, whatever another process writes meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.version = database.version
        with database.reading() as db:
            meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        self.bundle_id: str = meta["bundle_id"]
        self.dimension = int(meta["dimension"])

    def classes(self) -> list[EnrolledClass]:
        """The enrolled classes, oldest first."""
        with self._database.reading() as db:
            rows = db.execute(
                """SELECT label, count, (SELECT at FROM event WHERE event.id = (
                       SELECT min(added_by) FROM example
                       WHERE class_id = class.id AND removed_by IS NULL AND NOT negative)),
                   (SELECT count(*) FROM example WHERE class_id = class.id AND removed_by IS NULL AND negative)
                   FROM class WHERE count > 0 ORDER BY id"""
            ).fetchall()
        return [EnrolledClass(*row) for row in rows]

    def count(self, label: str) -> int:
        """How many examples a class has; 0 if it is not enrolled."""
        with self._database.reading() as db:
            row = db.execute("SELECT count FROM class WHERE label = ? AND count > 0", (label,)).fetchone()
        return 0 if row is None else int(row[0])

    def state(self) -> GalleryState:
        """Names, sums and counts of the enrolled classes, oldest first."""
        with self._database.reading() as db:
            rows = [row for part in queries.classes(db) for row in part]
        sums = from_sums([row[3] for row in rows], self.dimension)
        return GalleryState(tuple(row[1] for row in rows), sums, np.array([row[2] for row in rows], np.int64))

    def task(self) -> Task:
        """What `classify` needs of one state; examples are read only of classes that have rejected ones."""
        with self._database.reading() as db:
            ids, labels, counts, prototypes = queries.prototypes(db, self.dimension)
            rejected = queries.rejected(db, ids, self.dimension)
            numbers, strangers = queries.strangers(db, self.dimension)
            unlabelled = queries.unlabelled(db, self.dimension)
        return Task(tuple(labels), prototypes, counts, rejected, strangers, numbers, unlabelled)

    def examples(self, label: str | None) -> list[EnrolledExample]:
        """The examples of a class, the rejected ones too, oldest first; the strangers for None.

        Raises:
            UnknownClassError: no class of that name is enrolled.
        """
        with self._database.reading() as db:
            return queries.examples(db, "class_id IS ?", None if label is None else queries.find(db, label))

    def example(self, number: int) -> EnrolledExample:
        """One example, of a class, of what a class is not, or a stranger.

        Raises:
            UnknownClassError: no example of that number is enrolled.
        """
        with self._database.reading() as db:
            return queries.example(db, number)[0]

    def content(self, labels: Sequence[str] | None = None) -> dict[str, list[Example]]:
        """The enrolled classes (or these) with their examples, the rejected ones too: what a class pack carries.

        Args:
            labels: the classes; all of them if not given.

        Raises:
            UnknownClassError: one of the named classes is not enrolled.
        """
        with self._database.reading() as db:
            if labels is None:
                labels = [row[0] for row in db.execute("SELECT label FROM class WHERE count > 0 ORDER BY id")]
            return {
                label: queries.content(db, queries.find(db, label), self.dimension)
                for label in map(check_label, labels)
            }

    def strangers(self) -> list[Example]:
        """What was given to calibrate with, oldest first."""
        with self._database.reading() as db:
            return queries.content(db, None, self.dimension)

    def unlabelled_examples(self) -> list[EnrolledExample]:
        """What was given to refine with, oldest first; its label is empty."""
        with self._database.reading() as db:
            return queries.examples(db, "class_id = ?", queries.pool(db))

    def unlabelled(self) -> list[Example]:
        """What was given to refine with, with its embeddings, oldest first."""
        with self._database.reading() as db:
            return queries.content(db, queries.pool(db), self.dimension)

    def frame(self, source_sha256: str) -> bytes | None:
        """The frame kept of a picture (`unpack_frame`); None if it was not kept."""
        with self._database.reading() as db:
            return queries.frame(db, source_sha256)

    @property
    def locked(self) -> bool:
        """Whether changes need the pass-phrase."""
        with self._database.reading() as db:
            return queries.verifier(db) is not None

    def log(self) -> list[events.Event]:
        """Every change ever made, oldest first."""
        with self._database.reading() as db:
            return events.read(db)

    def back_up(self, copy: str | Path) -> None:
        """Write a copy of the whole gallery, log and all, as it is at one moment, whatever is written meanwhile.

        Raises:
            GalleryError: something is there already, or cannot be written; then there is no copy.
        """
        with new_file(Path(copy)) as part:
            self._database.back_up(part)

    def problems(self) -> list[str]:
        """What is wrong with the gallery, as sentences; empty if nothing is."""
        from . import audit

        with self._database.reading() as db:
            return audit.problems(db, self.dimension)
