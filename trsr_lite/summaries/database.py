"""The SQLite file of the summary store: made, opened, and what its errors mean.

Invariant: only this user may read it, and a file of a newer schema is left as it is. What is written when, and what
happens where that fails, is not decided here.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from trsr_lite.errors import StoreError

SCHEMA = 3  # 1 had no seals; rows from then have none. 2 had no margins
TABLES = """
CREATE TABLE IF NOT EXISTS summaries (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, text TEXT NOT NULL, made REAL NOT NULL, seal TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (user TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (user, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS digests (
    path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, digest TEXT, seal TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prefixes (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, used INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS prefixes_used ON prefixes (used);
CREATE TABLE IF NOT EXISTS margins (
    prefix INTEGER NOT NULL, candidate BLOB NOT NULL, margin REAL NOT NULL, mass REAL NOT NULL, seal BLOB NOT NULL,
    PRIMARY KEY (prefix, candidate)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS salts (salt TEXT NOT NULL);
INSERT INTO salts SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT * FROM salts);
"""


def make(path: Path) -> int:
    """See to it that there is a file; returns its number, by which it is known again."""
    folder = path.parent
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    return path.stat().st_ino


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """A connection to a file that was made, which waits `patience` seconds for other processes.

    Raises `StoreError` for a newer schema, else what SQLite raises.
    """
    connection = tolerant(sqlite3.connect(path, timeout=patience, check_same_thread=False))
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        _refuse_foreign(connection, path)
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA:
            raise StoreError(
                f"{path}: written by a newer trsr-lite (schema {found}; this one knows {SCHEMA})",
                hint="upgrade trsr-lite, or choose another folder with `--cache-dir`",
            )
        if found < SCHEMA or not connection.execute("SELECT * FROM salts").fetchone():
            _use_wal(connection, patience)
            connection.execute("BEGIN IMMEDIATE")
            make_tables(connection)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreError` where somebody has added what runs by itself, or what is asked instead of a table."""
    query = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') LIMIT 1"
    if found := connection.execute(query).fetchone():
        raise StoreError(
            f"{path}: holds a {found[0]} called {str(found[1])[:80]!r}, which no store has",
            hint=f"delete `{path}`: summaries are made again",
        )


def make_tables(connection: sqlite3.Connection) -> None:
    """Make what an empty store, or one of an older schema, lacks of this one; the caller's transaction goes on."""
    for statement in TABLES.split(";"):
        connection.execute(statement)
    for table in ("summaries", "digests"):
        if "seal" not in [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN seal TEXT")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")


def tolerant(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection. Bytes that are no UTF-8 become what `encodings.is_text` denies: only their row is lost."""
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def files(path: Path) -> list[Path]:
    """The file and what SQLite keeps beside it."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def may_exist(path: Path) -> bool:
    """Whether there may be such a file; False only where it is known that there is none."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is damaged, or no database."""
    return any(words in str(error) for words in ("not a database", "malformed"))


def is_locked(error: sqlite3.DatabaseError) -> bool:
    """Whether another process holds the file."""
    return "locked" in str(error)


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch the journal; SQLite does not wait for its own busy timeout here when two processes do so at once."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
