"""The SQLite file under a gallery: made whole or not at all, checked before it is used, one writer at a time."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import GalleryBusyError, GalleryError, GalleryFormatError, GalleryMismatchError
from .schema import APPLICATION_ID, SCHEMA, USER_VERSION

_BUSY_SECONDS = 10.0
_SQLITE_HEADER = b"SQLite format 3\0"
_MIN_SQLITE = (3, 37, 0)


class Database:
    """An open gallery file. Every use is inside `reading` or `writing`: they hold the lock and explain SQLite's errors.

    Args:
        path: the file; None keeps it in memory.
        bundle_id: the bundle it belongs to; None opens an existing file of any bundle.
        dimension: d; needed to create one.
        first_event: called inside the creating transaction.

    Raises:
        GalleryFormatError: the file is not a gallery, is damaged, or is of a newer format.
        GalleryMismatchError: it was made with another bundle.
    """

    def __init__(
        self,
        path: Path | None,
        bundle_id: str | None,
        dimension: int | None,
        first_event: Callable[[sqlite3.Connection], object],
    ) -> None:
        if sqlite3.sqlite_version_info < _MIN_SQLITE:
            raise GalleryError(f"SQLite {sqlite3.sqlite_version} is too old: a gallery needs 3.37 or newer.")
        self._path = path
        self._lock = threading.RLock()
        self._own_changes = 0
        is_new = path is None or _is_empty(path)
        if is_new and (bundle_id is None or dimension is None):
            raise GalleryFormatError(f"There is no gallery {path}. Check the path, or enroll a class first.")
        with self._explained():
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._explained():
                if is_new:
                    self._create({"bundle_id": bundle_id, "dimension": str(dimension)}, first_event)
                self._check_identity(bundle_id)
                for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
                    self._connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, to read one state of the gallery with."""
        with self._lock, self._explained():
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection, inside a transaction that is on the disk when the block ends, or undone where it fails."""
        with self._lock, self._explained():
            # IMMEDIATE takes the write lock now: a transaction that read first could find its snapshot outdated later.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # After a full disk SQLite may have rolled back by itself; that must not hide the first error.
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._own_changes += 1

    def version(self) -> tuple[int, int]:
        """A value that changes whenever any process changes the file; costs microseconds."""
        with self._lock, self._explained():
            return self._own_changes, self._connection.execute("PRAGMA data_version").fetchone()[0]

    def empty_log_file(self) -> None:
        """Overwrite what the write-ahead log still holds of deleted rows."""
        with self._lock, self._explained():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _create(self, meta: dict[str, Any], first_event: Callable[[sqlite3.Connection], object]) -> None:
        # Tables, identity and first event in one transaction, so that a gallery exists whole or not at all.
        # WAL comes after: it cannot be switched on inside a transaction.
        with self.writing() as db:
            # Another process may have made it while this one waited for the lock.
            if not db.execute("PRAGMA application_id").fetchone()[0]:
                for statement in _statements(SCHEMA):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {USER_VERSION}")
                db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
                first_event(db)
        self._connection.execute("PRAGMA journal_mode = WAL")

    def _check_identity(self, bundle_id: str | None) -> None:
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            raise GalleryFormatError(
                f"{self._path} is an SQLite file of another program, not a gallery. "
                "Give the gallery's path, or a new one."
            )
        # A file from elsewhere may hold views or triggers of its own in the place of our tables.
        self._connection.execute("PRAGMA trusted_schema = OFF")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > USER_VERSION:
            raise GalleryFormatError(
                f"{self._path} is a gallery of format {version}; this version of edgefew-runtime reads up to "
                f"{USER_VERSION}. Upgrade edgefew-runtime."
            )
        stored = self._connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        if {_normal(row[0]) for row in stored} != {_normal(statement) for statement in _statements(SCHEMA)}:
            raise GalleryFormatError(
                f"{self._path} has other tables than a gallery of format {USER_VERSION}. Restore a copy; do not use it."
            )
        made_with = str(self._connection.execute("SELECT value FROM meta WHERE key = 'bundle_id'").fetchone()[0])
        if bundle_id is not None and made_with != bundle_id:
            raise GalleryMismatchError(
                f"{self._path} was made with another bundle ({made_with[:12]}…, this one is {bundle_id[:12]}…). "
                "Embeddings of different bundles cannot be compared. Use the bundle it was made with, or enroll into "
                "a new gallery."
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as ours, with what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise GalleryBusyError(
                    f"{self._path} was locked by another process for {_BUSY_SECONDS:.0f} s. Nothing was changed. "
                    "Try again."
                ) from None
            raise GalleryError(
                f"{self._path}: {error}. Nothing was changed. Check that the disk is not full and may be written."
            ) from None
        except sqlite3.DatabaseError as error:
            raise GalleryFormatError(
                f"{self._path} is damaged ({error}). Restore a copy; nothing was written to it now."
            ) from None


def _is_empty(path: Path) -> bool:
    """Whether a gallery must be created here; refuses a file that is no SQLite database before SQLite opens it."""
    try:
        with path.open("rb") as file:
            header = file.read(len(_SQLITE_HEADER))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise GalleryError(f"There is no folder {path.parent} for the gallery. Create it first.") from None
        return True
    except OSError as error:
        raise GalleryFormatError(f"{path} cannot be opened as a gallery: {error.strerror or error}.") from None
    if header and header != _SQLITE_HEADER:
        raise GalleryFormatError(
            f"{path} is not a gallery (it is no SQLite file). Give the gallery's path, or a new one."
        )
    return not header


def _normal(statement: str) -> str:
    """A statement without the differences that mean nothing: white space and the semicolon at its end."""
    return " ".join(statement.split()).rstrip("; ")


def _statements(script: str) -> Iterator[str]:
    """The statements of an SQL script; unlike `executescript`, running them one by one commits nothing."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
