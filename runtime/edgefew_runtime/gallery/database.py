"""The SQLite file under a gallery: made whole or not at all, checked before it is used, one writer at a time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..bundle import check_outside
from ..errors import GalleryBusyError, GalleryError, GalleryFormatError, GalleryMismatchError
from ..manifest import MAX_DIMENSION
from ..regular_file import open_regular
from .schema import APPLICATION_ID, SCHEMA, USER_VERSION
from .wal_index import WalIndex

_BUSY_SECONDS = 10.0
_SQLITE_HEADER = b"SQLite format 3\0"
_MIN_SQLITE = (3, 37, 0)


class Database:
    """An open gallery file. Every use is inside `reading` or `writing`: they hold a lock and explain SQLite's errors.

    A file has a connection for reading and, from the first change on, one for writing, each with its lock: who waits to
    write, for another process perhaps, does not keep other threads from reading.

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
        self._path, self._bundle_id, self._first_event = path, bundle_id, first_event
        self._meta = {"bundle_id": bundle_id, "dimension": str(dimension)}
        self._writing = threading.RLock()
        self._reading = self._writing if path is None else threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._own_changes = 0
        self._index: WalIndex | None = None
        self._seen: tuple[bytes, tuple[int, int]] = b"", (0, 0)
        # A gallery that is not there yet is empty; the first change makes the file. So a mistake before it leaves none.
        self._is_pending = path is not None and _is_empty(path)
        if self._is_pending and (bundle_id is None or dimension is None):
            raise GalleryFormatError(f"There is no gallery {path}. Check the path, or enroll a class first.")
        if self._is_pending and path is not None:
            check_outside(path, GalleryError)
        self._reader = self._open(None if self._is_pending else path, create=self._is_pending or path is None)
        if path is not None and not self._is_pending:
            self._index = WalIndex.of(path)

    def close(self) -> None:
        """Close the file."""
        self._index = None
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection, to read one state of the gallery with; of a file, what was committed."""
        with self._reading, self._explained():
            self._leave_pending(create=False)
            if self._reader.in_transaction:
                yield self._reader
                return
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection, inside a transaction that is on the disk when the block ends, or undone where it fails."""
        with self._writing, self._explained():
            writer = self._opened_writer()
            # IMMEDIATE takes the write lock now: a transaction that read first could find its snapshot outdated later.
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                # After a full disk SQLite may have rolled back by itself; that must not hide the first error.
                with contextlib.suppress(sqlite3.Error):
                    writer.execute("ROLLBACK")
                raise
            self._own_changes += 1

    @contextlib.contextmanager
    def trial(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction that is refused where `writing` would be, and is always undone."""
        with self._writing, self._explained():
            connection = self._reader if self._is_still_pending() else self._opened_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def _is_still_pending(self) -> bool:
        """Whether there is no file yet; one can then be made."""
        with self._reading:
            self._leave_pending(create=False)
        if self._is_pending and self._path is not None and not os.access(self._path.absolute().parent, os.W_OK):
            raise GalleryError(
                f"{self._path.absolute().parent} is read-only here: no gallery can be made. Check who may write it."
            )
        return self._is_pending

    def version(self) -> tuple[int, int]:
        """A value that changes whenever any process changes the file; costs microseconds."""
        # Asked for at every answer: no more is done here than must be.
        index = self._index
        header = b"" if index is None else index.memory[:]
        seen, version = self._seen
        if header and header == seen:
            return version
        version = self._asked_version()
        # The header was read before: a commit in between is seen at the next call, not missed.
        self._seen = header, version
        return version

    def _asked_version(self) -> tuple[int, int]:
        with self._reading:
            if self._path is None:
                return self._own_changes, 0
            if self._is_pending:
                with self._explained():
                    self._leave_pending(create=False)
            try:
                return self._own_changes, self._reader.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:
                with self._explained():
                    raise

    def back_up(self, copy: Path) -> None:
        """Write the file's pages, as they are at one moment, to another file."""
        with self._reading, self._explained(), contextlib.closing(sqlite3.connect(copy)) as target:
            self._leave_pending(create=False)
            self._reader.backup(target)  # all pages in one step: a writer waits, or comes before or after

    def empty_log_file(self) -> None:
        """Overwrite what the write-ahead log still holds of deleted rows."""
        # Both locks: the log cannot be emptied while this object reads.
        with self._writing, self._reading, self._explained():
            (busy, *_) = self._opened_writer().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise GalleryBusyError(
                f"What was to be erased from {self._path} is deleted, but {self._path}-wal still holds its bytes, "
                "because another process is reading. They go at the next erase, or when the last program that has "
                "the gallery open closes it."
            )

    def _opened_writer(self) -> sqlite3.Connection:
        """The connection for writing; in memory, the only one."""
        if self._writer is None:
            with self._reading:
                self._leave_pending(create=True)
            self._writer = self._reader if self._path is None else self._open(self._path, create=False)
        return self._writer

    def _leave_pending(self, *, create: bool) -> None:
        """Go over to the file once there is one: made by this call, or meanwhile by another process."""
        if not self._is_pending or not (create or (self._path is not None and not _is_empty(self._path))):
            return
        connection = self._open(self._path, create=create)
        self._reader.close()
        self._reader, self._is_pending = connection, False
        self._own_changes += 1
        self._index = None if self._path is None else WalIndex.of(self._path)

    def _open(self, path: Path | None, *, create: bool) -> sqlite3.Connection:
        """A checked connection to the file, or to a new gallery in memory."""
        with self._explained():
            connection = self._connect(path, create=create)
            try:
                if create:
                    self._create(connection)
                self._check_identity(connection)
                for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
                    connection.execute(f"PRAGMA {pragma}")
            except BaseException:
                connection.close()
                raise
        return connection

    def _connect(self, path: Path | None, *, create: bool) -> sqlite3.Connection:
        settings: dict[str, Any] = {"timeout": _BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
        target = ":memory:" if path is None else str(path.absolute())
        if path is not None and not create and not _is_writable(path):
            # On a read-only disk SQLite cannot make its shared-memory file: it must be told that nobody writes.
            # Changes that lie in a write-ahead log would then be passed over: with one, plain read-only is right.
            has_log = path.with_name(path.name + "-wal").exists()
            from urllib.parse import quote  # costs start-up time that a gallery which may be written need not pay

            quoted = quote(str(path.absolute()))
            target = f"file:{quoted}?mode=ro{'' if has_log else '&immutable=1'}"
        connection: sqlite3.Connection = sqlite3.connect(target, uri=target.startswith("file:"), **settings)
        return connection

    def _create(self, db: sqlite3.Connection) -> None:
        # Tables, identity and first event in one transaction, so that a gallery exists whole or not at all.
        # WAL comes after: it cannot be switched on inside a transaction.
        db.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have made it while this one waited for the lock.
            if not db.execute("PRAGMA application_id").fetchone()[0]:
                for statement in _statements(SCHEMA):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {USER_VERSION}")
                db.executemany("INSERT INTO meta VALUES (?, ?)", list(self._meta.items()))
                self._first_event(db)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        db.execute("PRAGMA journal_mode = WAL")

    def _check_identity(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            raise GalleryFormatError(
                f"{self._path} is an SQLite file of another program, not a gallery. "
                "Give the gallery's path, or a new one."
            )
        # A file from elsewhere may hold views or triggers of its own in the place of our tables.
        connection.execute("PRAGMA trusted_schema = OFF")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > USER_VERSION:
            raise GalleryFormatError(
                f"{self._path} is a gallery of format {version}; this version of edgefew-runtime reads up to "
                f"{USER_VERSION}. Upgrade edgefew-runtime."
            )
        stored = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND (type, name) != ('table', 'sqlite_sequence')"
        ).fetchall()
        # SQLite keeps text as bytes where its header says so: that is none of our statements.
        if {_normal(row[0]) if isinstance(row[0], str) else None for row in stored} != {
            _normal(statement) for statement in _statements(SCHEMA)
        }:
            raise GalleryFormatError(
                f"{self._path} has other tables than a gallery of format {USER_VERSION}. Restore a copy; do not use it."
            )
        entries = connection.execute("SELECT key, value FROM meta").fetchall()
        meta = {key: value for key, value in entries if isinstance(value, str)}
        made_with, dimension = meta.get("bundle_id", ""), meta.get("dimension", "")
        if not made_with or not _is_length(dimension):
            raise GalleryFormatError(f"{self._path} does not say which bundle it belongs to. Restore a copy.")
        if self._bundle_id is not None and made_with != self._bundle_id:
            raise GalleryMismatchError(
                f"{self._path} was made with another bundle ({made_with[:12]}…, this one is {self._bundle_id[:12]}…). "
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
            if "readonly" in str(error):
                raise GalleryError(
                    f"{self._path} is read-only here. Nothing was changed. Check who may write it."
                ) from None
            raise GalleryError(
                f"{self._path}: {error}. Nothing was changed. Check that the disk is not full and may be written."
            ) from None
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            raise GalleryFormatError(
                f"{self._path} is damaged ({error}). Restore a copy; nothing was written to it now."
            ) from None


def _is_empty(path: Path) -> bool:
    """Whether a gallery must be created here; refuses a file that is no SQLite database before SQLite opens it."""
    try:
        with open_regular(path) as file:
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


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)


def _is_length(dimension: str) -> bool:
    digits = len(str(MAX_DIMENSION))
    return dimension.isdecimal() and len(dimension) <= digits and 0 < int(dimension) <= MAX_DIMENSION


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
