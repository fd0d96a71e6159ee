"""The SQLite file of a catalog: its tables, its version, and what can go wrong with it.

Invariant: a connection is to a catalog that this version wrote, and to nothing that a stranger added: no trigger,
no view and no table of another name. What SQLite complains of is said with the file's name and what to do.

    items       row, id, time, and the attributes with the time as compressed JSON
    search      FTS5 over title and text; contentless, so that no text is stored twice
    vocabulary  term -> items that have it; kept exact, because asking FTS5 takes as long as the term is frequent
    attributes  name -> items that have it; kept exact, so that a filter on a name that no item has is an error
    popularity  place, from the most popular on -> row, and the users who had it
    neighbours  row -> rows of items that the same users had, and how alike; what is not counted has none
    facts       items, digest, text_bytes, rows (the last that was given), users (that were counted)
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from trsr_lite.errors import DataError, StoreError, TrsrError

APPLICATION = 0x54525343  # "TRSC": tells a catalog from other SQLite files
SCHEMA = 4  # 3 counted no users; 2 had no column of times, lists were texts, and Korean was cut at spaces only
TIMED, COUNTED = 3, 4  # the first versions with times, and with users
READ = (2, 3, SCHEMA)
PLAIN = frozenset({"items", "vocabulary", "attributes", "popularity", "neighbours", "facts"})
VIRTUAL = {"search": "fts5", "search_terms": "fts5vocab"}
OWN = PLAIN | VIRTUAL.keys() | {f"search_{part}" for part in ("data", "idx", "docsize", "config")}
BUSY_SECONDS = 20
CACHE_KIB = 64 * 1024
TOKENIZER = 'tokenize = "unicode61 remove_diacritics 2"'
_TABLES = f"""
CREATE TABLE items (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time REAL, content BLOB NOT NULL);
CREATE TABLE vocabulary (term TEXT PRIMARY KEY, items INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE attributes (name TEXT PRIMARY KEY, items INTEGER NOT NULL);
CREATE TABLE popularity (place INTEGER PRIMARY KEY, row INTEGER NOT NULL, users INTEGER NOT NULL);
CREATE TABLE neighbours (row INTEGER PRIMARY KEY, others BLOB NOT NULL, likeness BLOB NOT NULL);
CREATE TABLE facts (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5 (title, text, content = '', {TOKENIZER});
CREATE VIRTUAL TABLE search_terms USING fts5vocab (search, row);
INSERT INTO facts VALUES ('items', 0), ('digest', zeroblob(20)), ('text_bytes', 0), ('rows', 0);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {SCHEMA};
"""  # noqa: S608 - constants


class Damaged(Exception):
    """An item that is stored is not what was put in; its message says how."""


def create(path: Path) -> sqlite3.Connection:
    """A new, empty catalog in a file that nobody else knows yet: quick, and worthless if it is not finished."""
    with mapped(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.executescript(
                f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; "
                f"PRAGMA cache_size = -{CACHE_KIB}; {_TABLES}"
            )
        except sqlite3.OperationalError as error:
            connection.close()
            if "fts5" in str(error):
                raise StoreError(
                    f"this Python's SQLite ({sqlite3.sqlite_version}) has no full-text search (FTS5)",
                    hint="use a Python from python.org, your system or conda: theirs have it",
                ) from error
            raise
        return connection


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """An existing catalog; raises `DataError` for another file or another version's."""
    try:
        exists = path.is_file()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    if not exists:
        what = "is a folder, not a catalog" if path.is_dir() else "there is no such catalog"
        raise DataError(f"{path}: {what}", hint="make one: `trsr-lite catalog build items.jsonl`")
    with mapped(path):
        place = f"{path.resolve().as_uri()}?mode={'rw' if write else 'ro'}"
        connection = sqlite3.connect(
            place, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            begin(connection, path)
            _check(connection, path, write=write)
            _check_schema(connection, path)
            connection.execute("ROLLBACK")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute("PRAGMA temp_store = MEMORY")  # what is searched for is written nowhere
        except BaseException:
            connection.close()
            raise
        return connection


def begin(connection: sqlite3.Connection, path: Path) -> None:
    """Begin to read one state of the file; the caller ends that.

    What a killed process left half written must be rolled back first. A connection that only reads may not do that.
    """
    connection.execute("BEGIN")
    try:
        connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.DatabaseError as error:
        connection.execute("ROLLBACK")
        real = path.resolve()
        if "readonly" not in str(error) or not real.with_name(f"{real.name}-journal").exists():
            raise
        with closing(sqlite3.connect(f"{real.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as writer:
            writer.execute("SELECT 1 FROM facts").fetchone()  # SQLite rolls back before anything is read
        connection.execute("BEGIN")


@contextmanager
def settled(path: Path) -> Iterator[None]:
    """Within this block another file may take the name of a catalog, if there is one: nobody changes that one.

    What a killed process began with it is ended: SQLite would play a journal that is left into the new file. Raises
    `StoreError` where a change is under way.
    """
    with ExitStack() as stack:
        if path.exists():
            with suppress(DataError):  # what is no catalog has no journal either
                connection = stack.enter_context(closing(connect(path, write=True)))
                with mapped(path):
                    connection.execute("BEGIN IMMEDIATE")
                if os.name == "nt":  # where a file that is open cannot be replaced
                    stack.close()
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        yield


def identity(path: Path) -> tuple[int, int] | None:
    """Which file has this name now; None where none has."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def mapped(path: Path, damaged: type[TrsrError] = DataError) -> Iterator[None]:
    """Errors of SQLite become those of this package; `damaged` where the file is not what it should be."""
    try:
        yield
    except Damaged as error:
        raise damaged(f"{path}: is damaged: {error}", hint="build it again from its items with `--force`") from error
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "not a database" in text or "malformed" in text:
            raise damaged(
                f"{path}: is not a catalog, or is damaged ({text})",
                hint="CATALOG is what `trsr-lite catalog build` makes of files of items: it comes before them; "
                "a damaged one is built again with `--force`",
            ) from error
        raise StoreError(f"{path}: {text}", hint=_way_out(text)) from error


def version(connection: sqlite3.Connection) -> int:
    """The schema of a catalog."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check(connection: sqlite3.Connection, path: Path, *, write: bool) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    found = version(connection)
    if application != APPLICATION:
        raise DataError(
            f"{path}: is an SQLite file, but not a catalog", hint="make one: `trsr-lite catalog build items.jsonl`"
        )
    if found not in READ or (write and found != SCHEMA):
        writer = "a newer" if found > SCHEMA else "an older"
        does = "changes" if write and found in READ else "reads"
        raise DataError(
            f"{path}: was built by {writer} trsr-lite (catalog version {found}; this one {does} {SCHEMA})",
            hint="build it again from its items: `trsr-lite catalog build items.jsonl --force`"
            + (", or upgrade trsr-lite" if found > SCHEMA else ""),
        )


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `DataError` where there is anything that no catalog has, before it can run or be asked."""
    for kind, name, table, sql in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        words = str(sql or "").split()
        if kind == "index" and table in OWN and sql is None:  # those that SQLite makes itself
            continue
        if kind != "table" or name not in OWN:
            raise _foreign(path, f"a {kind} called {str(name)[:80]!r}")
        virtual = VIRTUAL.get(name)
        if virtual and words[:3] != ["CREATE", "VIRTUAL", "TABLE"]:
            raise _foreign(path, f"a table {name!r} of another kind")
        if not virtual and words[:2] != ["CREATE", "TABLE"]:
            raise _foreign(path, f"a table {name!r} of another kind")
    facts = dict(connection.execute("SELECT name, value FROM facts LIMIT 100"))
    whole = all(isinstance(facts.get(name), int) and facts[name] >= 0 for name in ("items", "text_bytes"))
    if not whole or not isinstance(facts.get("digest"), bytes) or len(facts["digest"]) != 20:
        raise _foreign(path, "other facts than those of a catalog")


def _foreign(path: Path, what: str) -> DataError:
    return DataError(f"{path}: holds {what}, which no catalog has", hint="build it again from its items with `--force`")


def _way_out(text: str) -> str | None:
    if "full" in text or "disk I/O" in text:
        return "make room on that disk; the catalog is as it was before"
    if "locked" in text:
        return "another process is changing the catalog: try again when it is done"
    if "readonly" in text or "unable to open" in text:
        return "the file and its folder must be writable: copy the catalog to where they are"
    return None
