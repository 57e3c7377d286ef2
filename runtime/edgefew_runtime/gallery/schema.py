"""The gallery's tables. What each means: docs/gallery-format.md."""

from __future__ import annotations

APPLICATION_ID = 0x45466731
"""'EFg1', in the SQLite header: tells a gallery from any other SQLite file."""

USER_VERSION = 1
"""The version of the tables below. A later version comes with a migration from each earlier one."""

# AUTOINCREMENT: the number of an example that was erased is never given to another.
SCHEMA = """
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    id          INTEGER PRIMARY KEY,
    at          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    actor       TEXT NOT NULL,
    undoes      INTEGER REFERENCES event,
    payload     TEXT NOT NULL,
    prev_sha256 TEXT NOT NULL,
    sha256      TEXT NOT NULL
) STRICT;

CREATE TABLE class (
    id    INTEGER PRIMARY KEY,
    label TEXT NOT NULL,
    count INTEGER NOT NULL DEFAULT 0 CHECK (count >= 0),
    sum   BLOB NOT NULL
) STRICT;

CREATE TABLE example (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    class_id      INTEGER REFERENCES class,
    negative      INTEGER NOT NULL CHECK (negative IN (0, 1)),
    embedding     BLOB NOT NULL,
    source        TEXT NOT NULL,
    source_sha256 TEXT NOT NULL,
    added_by      INTEGER NOT NULL REFERENCES event,
    removed_by    INTEGER REFERENCES event,
    CHECK (negative OR class_id IS NOT NULL)
) STRICT;

CREATE TABLE frame (
    source_sha256 TEXT PRIMARY KEY,
    content       BLOB NOT NULL
) STRICT;

CREATE TABLE kept (
    source_sha256 TEXT NOT NULL REFERENCES frame,
    added_by      INTEGER NOT NULL REFERENCES event,
    removed_by    INTEGER REFERENCES event,
    PRIMARY KEY (source_sha256, added_by)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX class_label ON class (label) WHERE count > 0;

CREATE INDEX class_name ON class (label);

CREATE INDEX example_class    ON example (class_id, removed_by);
CREATE INDEX example_source   ON example (source_sha256);
CREATE INDEX example_added    ON example (added_by);
CREATE INDEX example_removed  ON example (removed_by);
CREATE INDEX kept_added       ON kept (added_by);
CREATE INDEX example_negative ON example (class_id) WHERE negative AND removed_by IS NULL;

CREATE TRIGGER event_is_append_only_update BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
CREATE TRIGGER event_is_append_only_delete BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
"""
