"""A class pack whose rows lie: some values of its tables are others than `edgefew share` wrote."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from pathlib import Path

import atheris
import campaign

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import seeds
    from edgefew_runtime import Gallery
    from edgefew_runtime.gallery import events

COLUMNS = {
    "meta": ("key", "value"),
    "event": ("id", "at", "kind", "actor", "undoes", "payload", "prev_sha256", "sha256"),
    "class": ("id", "label", "count", "sum"),
    "example": ("id", "class_id", "negative", "embedding", "source", "source_sha256", "added_by", "removed_by"),
}
PACK = b""


def target(data: bytes, path: Path) -> None:
    """A pack that is merged leaves the gallery whole."""
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        file.unlink(missing_ok=True)
    path.write_bytes(PACK)
    _lie(path, atheris.FuzzedDataProvider(data))
    with Gallery(None, seeds.BUNDLE_ID, seeds.DIMENSION) as gallery:
        with Gallery(path, seeds.BUNDLE_ID, seeds.DIMENSION) as pack:
            gallery.merge(pack)
        if problems := gallery.problems():
            raise AssertionError(f"a gallery that is not whole: {problems}")


def _lie(path: Path, provider: atheris.FuzzedDataProvider) -> None:
    kinds = [
        lambda: provider.ConsumeInt(8),
        provider.ConsumeRegularFloat,
        lambda: provider.ConsumeUnicode(9),
        lambda: provider.ConsumeBytes(4 * seeds.DIMENSION),
        lambda: None,
    ]
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        # The log's triggers are put back as they were: without them it would not be taken for a gallery.
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        for _ in range(provider.ConsumeIntInRange(1, 3)):
            table = provider.PickValueInList(sorted(COLUMNS))
            column = provider.PickValueInList(list(COLUMNS[table]))
            keys = [row[0] for row in db.execute(f"SELECT {COLUMNS[table][0]} FROM {table}")]  # noqa: S608
            value = provider.PickValueInList(kinds)()
            # What a column's type does not take, nobody can write there.
            with contextlib.suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                db.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {COLUMNS[table][0]} = ?",  # noqa: S608
                    (value, provider.PickValueInList(keys)),
                )
        if provider.ConsumeBool():
            _chain(db)
        for _, sql in triggers:
            db.execute(sql)


def _chain(db: sqlite3.Connection) -> None:
    """The log's hashes made anew, as someone does who wants the lies to pass."""
    previous = events.GENESIS
    rows = db.execute("SELECT id, at, kind, actor, undoes, payload FROM event ORDER BY id").fetchall()
    for row in rows:
        digest = events._digest(*row, previous)
        db.execute("UPDATE event SET prev_sha256 = ?, sha256 = ? WHERE id = ?", (previous, digest, row[0]))
        previous = digest


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PACK = seeds.pack(Path(folder))
    campaign.run(target, (bytes(range(start, start + 24)) for start in range(0, 240, 24)))
