"""Summaries and margins on disk, addressed by everything they depend on.

Invariant: a summary is found again exactly if the text that a model would be given, the model and the decoding are the
same; each one is committed as it is made. A row is answered only where its seal, a hash of all of it, fits. A damaged
row is made again, and rows from before there were seals are read. A store that cannot be read is never destroyed: it is
moved aside, or refused. What was to be forgotten is gone from the disk, or an error says that it is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trsr_lite.errors import StoreError
from trsr_lite.io import folders
from trsr_lite.io.digests import file_digest
from trsr_lite.io.encodings import is_text
from trsr_lite.io.process import Owner
from trsr_lite.summaries import database
from trsr_lite.summaries.margins import CACHE_BYTES, StoredMargins

logger = logging.getLogger(__name__)

FILE_NAME = "summaries.sqlite3"
BUSY_SECONDS = 20
PATIENCE = 0.25  # seconds that a write waits for another process: a call has no more to spare, and it is not lost
CLOSING = 1  # seconds that the last one waits
TABLES = ("summaries", "margins", "prefixes", "uses", "digests")  # all but the salt
VARIABLES = 500  # SQLite allows at least 999 in one statement
_Write = tuple[str, Sequence[Sequence[Any]]]  # a statement, and the rows it is run for


class SummaryStore:
    """Summaries in `folder`; several processes and threads may use one at once, each process by an object of its own.

    `margins` are kept beside them, as long as the file has at most `cache_size` bytes. Where the folder cannot be
    written, all lasts as long as this object, and one warning says so. Where another process holds it locked for long,
    what was to be written waits for the next write.
    """

    def __init__(self, folder: Path, cache_size: int = CACHE_BYTES) -> None:
        self.path = folder / FILE_NAME
        self._owner = Owner(f"the summary store {self.path}")
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._late: list[_Write] = []  # what a locked store did not take
        self.persistent = True
        self.margins = StoredMargins(self._run, self._write, cache_size)

    @classmethod
    def at(cls, cache_dir: str | Path | None, cache_size: int | None = None) -> SummaryStore:
        """The store of a cache folder; of this user's own where none is given."""
        return cls(folders.cache(cache_dir), CACHE_BYTES if cache_size is None else cache_size)

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """Texts of the keys that are known."""
        wanted, found = list(dict.fromkeys(keys)), dict[str, str]()
        for start in range(0, len(wanted), VARIABLES):
            part = wanted[start : start + VARIABLES]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, kind, text, seal FROM summaries WHERE key IN ({marks})"  # noqa: S608
            for key, kind, text, seal in self._run(query, part):
                if _is_sealed(seal, key, kind, text):
                    found[key] = text
                else:
                    logger.warning("%s: a summary was damaged; it is made again", self.path)
        return found

    def put(self, key: str, kind: str, text: str) -> None:
        """Keep a summary; committed when this returns."""
        self.put_all([(key, kind, text)])

    def put_all(self, summaries: Sequence[tuple[str, str, str]]) -> None:
        """Keep (key, kind, text) of several summaries: all or none of them, committed when this returns."""
        now = time.time()
        rows = [(*summary, now, _seal(*summary)) for summary in summaries]
        self._write(("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?)", rows))

    def link(self, user_id: str, keys: Iterable[str]) -> None:
        """Remember that these summaries, or scopes of margins, are a user's, so that the user can be forgotten."""
        user = self._user(user_id)
        known = {row[0] for row in self._run("SELECT key FROM uses WHERE user = ?", [user])}
        if new := [(user, key) for key in dict.fromkeys(keys) if key not in known]:
            self._write(("INSERT OR IGNORE INTO uses VALUES (?, ?)", new))

    def digest(self, path: Path) -> str:
        """The content hash of a file, computed again only if its size or time has changed."""
        path = path.resolve()
        status = path.stat()
        state = (str(path), status.st_size, status.st_mtime_ns)
        known = self._run("SELECT digest, seal FROM digests WHERE path = ? AND size = ? AND mtime = ?", state)
        if known and _is_sealed(known[0][1], *map(str, state), known[0][0]):
            return str(known[0][0])
        digest = file_digest(path)
        row = (*state, digest, _seal(*map(str, state), digest))
        self._write(("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", [row]))
        return digest

    def info(self) -> dict[str, Any]:
        """Number of summaries, margins and users, bytes on disk, and the time of the oldest and newest summary.

        Creates no file. Raises `StoreError` where the folder cannot be looked into.
        """
        if self._connection is None and not database.may_exist(self.path):
            return {"summaries": 0, "margins": 0, "users": 0, "bytes": 0, "oldest": None, "newest": None}
        count, oldest, newest = self._run("SELECT count(*), min(made), max(made) FROM summaries")[0]
        users = self._run("SELECT count(DISTINCT user) FROM uses")[0][0]
        margins = self._run("SELECT count(*) FROM margins")[0][0]
        try:
            size = sum(file.stat().st_size for file in database.files(self.path) if database.may_exist(file))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        return {
            "summaries": count,
            "margins": margins,
            "users": users,
            "bytes": size,
            "oldest": oldest,
            "newest": newest,
        }

    def clear(self, user_id: str | None = None) -> int:
        """Forget one user, or everything; returns how many summaries went.

        A summary or margin that another user's history also rests on stays. Everything includes damaged stores that
        were moved aside. Raises `StoreError` where something is still on the disk.
        """
        with self._owner.held():
            if user_id is None:
                count = self._delete([(f"DELETE FROM {table}", [()]) for table in TABLES])  # noqa: S608
            else:
                user = self._user(user_id)
                mine = "SELECT key FROM uses WHERE user = ?"
                others = "SELECT key FROM uses WHERE user <> ?"
                alone, values = f"key IN ({mine}) AND key NOT IN ({others})", [(user, user)]
                of_prefixes = f"prefix IN (SELECT id FROM prefixes WHERE {alone})"  # noqa: S608
                count = self._delete(
                    [
                        (f"DELETE FROM summaries WHERE {alone}", values),  # noqa: S608
                        (f"DELETE FROM margins WHERE {of_prefixes}", values),  # noqa: S608
                        (f"DELETE FROM prefixes WHERE {alone}", values),  # noqa: S608
                        ("DELETE FROM uses WHERE user = ?", [(user,)]),
                    ]
                )
            self._run("VACUUM")
            if self._run("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                raise self._undeleted("another process is reading it")
            self._clear_aside(everything=user_id is None)
            return count

    def close(self) -> None:
        """Write what waits, if the file is free within a second, and close it; the next use opens it again.

        In a forked process nothing happens: the connection is its parent's.
        """
        if not self._owner.is_here:
            return
        with self._owner.held():
            if self._late and self._connection:
                with contextlib.suppress(sqlite3.DatabaseError):
                    self._commit([], CLOSING)
            self._disconnect()

    # Inside

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _user(self, user_id: str) -> str:
        """A salted hash: the file shows no user ids. Of what is no Unicode text, too, which no user is called."""
        salt = self._run("SELECT salt FROM salts ORDER BY rowid LIMIT 1")[0][0]
        name = user_id.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(name, key=salt.encode(), digest_size=16).hexdigest()

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._owner.held():
            try:
                return self._open().execute(statement, values).fetchall()
            except sqlite3.DatabaseError as error:
                if not database.is_corrupt(error):
                    raise StoreError(f"{self.path}: {error}", hint="see `trsr-lite cache path`") from error
                self._set_aside(error)
                return self._open().execute(statement, values).fetchall()

    def _write(self, *writes: _Write) -> None:
        """Write all of it, or go on without keeping: a full disk must not cost the user the answer."""
        with self._owner.held():
            # Whoever holds the lock for that long may hold it longer: that is waited for once, not by every write.
            patience = 0 if self._late else PATIENCE
            try:
                self._commit(writes, patience)
            except sqlite3.DatabaseError as error:
                if database.is_locked(error):
                    if not self._late:
                        logger.warning("%s is in use (%s): summaries are kept when it is free", self.path, error)
                    self._late.extend(writes)
                    return
                if database.is_corrupt(error):
                    self._set_aside(error)
                else:
                    self._use_memory(error)
                self._commit(writes, patience)

    def _delete(self, deletions: Sequence[_Write]) -> int:
        """Rows that the first one deleted; raises: what only a copy in memory has forgotten is still on the disk."""
        try:
            counts = self._commit(deletions, BUSY_SECONDS)
        except sqlite3.DatabaseError as error:
            raise self._undeleted(str(error)) from error
        if not self.persistent and database.may_exist(self.path):
            raise self._undeleted("it cannot be written")
        return counts[0]

    def _commit(self, writes: Sequence[_Write], patience: float) -> list[int]:
        """All that waits and these, in one transaction; returns the rows that each of these changed."""
        connection = self._open()
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * patience)}")
        try:
            with connection:
                for statement, rows in self._late:
                    connection.executemany(statement, rows)
                counts = [connection.executemany(statement, rows).rowcount for statement, rows in writes]
            self._late.clear()
            return counts
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")

    def _undeleted(self, reason: str) -> StoreError:
        return StoreError(
            f"{self.path}: {reason}: what was to be deleted may still be there",
            hint=f"end other programs that use it and try again, or delete `{self.path}*`",
        )

    def _clear_aside(self, *, everything: bool) -> None:
        """Delete damaged stores that were moved aside, or warn of them: nobody can tell whose summaries they hold."""
        aside = sorted(self.path.parent.glob(f"{self.path.name}.corrupt-*"))
        if aside and not everything:
            logger.warning("%s may hold summaries of any user: clearing everything deletes it", aside[0])
            return
        for file in aside:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{file}: cannot be deleted: {error.strerror or error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None and not self.persistent:
            self._use_memory()
        if self._connection is not None and self.persistent and self._replaced():
            self._disconnect()  # another process moved the file aside: what is written now belongs into the new one
        if self._connection is None:
            try:
                self._connection = self._connected()
            except (OSError, sqlite3.OperationalError) as error:
                self._use_memory(error)
            except sqlite3.DatabaseError as error:
                if not database.is_corrupt(error):
                    raise
                self._set_aside(error)
                self._connection = self._connected()
        assert self._connection is not None  # noqa: S101
        return self._connection

    def _connected(self) -> sqlite3.Connection:
        self._inode = database.make(self.path)  # first: one that is damaged must be known again, too
        return database.connect(self.path, BUSY_SECONDS)

    def _use_memory(self, error: Exception | None = None) -> None:
        """From here on nothing is kept; what the file has can still be read, as far as it can be opened."""
        memory = database.tolerant(sqlite3.connect(":memory:", check_same_thread=False))
        if self.persistent:
            logger.warning("%s cannot be written (%s): new summaries are not kept", self.path, error)
            with contextlib.suppress(sqlite3.Error):
                unchanging = f"{self.path.resolve().as_uri()}?mode=ro&immutable=1"  # needs no files beside it
                source = self._connection or sqlite3.connect(unchanging, uri=True)
                source.backup(memory)
                source.close()
        self._disconnect()
        self.persistent = False
        self._connection = memory
        database.make_tables(self._connection)
        self._connection.commit()

    def _set_aside(self, error: Exception) -> None:
        """Keep a damaged store under another name and begin a new one; another process may have done so already."""
        self._disconnect()
        if self.path.exists() and self._replaced():
            return
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.time_ns()}")
        try:
            for file in database.files(self.path):
                if file.exists():
                    file.replace(aside.with_name(file.name.replace(self.path.name, aside.name)))
        except OSError as refused:
            self._use_memory(refused)
            return
        logger.warning("%s is damaged (%s): moved to %s, summaries are made again", self.path, error, aside.name)

    def _replaced(self) -> bool:
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True


def _seal(*parts: Any) -> str:
    """A hash of what a row says."""
    whole = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).hexdigest()


def _is_sealed(seal: Any, *parts: Any) -> bool:
    """Whether a row is as it was written, or is of before there were seals and is text."""
    if not all(isinstance(part, str) and is_text(part) for part in parts):
        return False
    return seal is None or seal == _seal(*parts)
