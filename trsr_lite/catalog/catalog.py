"""`Catalog`: the items of one file, used by programs and by the command line.

Invariant: every answer comes from one state of the file, also while a process changes it. Only `build` writes files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from trsr_lite.catalog import build, content, database, retrieval
from trsr_lite.catalog.build import CatalogChange
from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.catalog.terms import Tokenizer
from trsr_lite.errors import Closed, SettingsError, StoreError
from trsr_lite.io.process import Owner
from trsr_lite.records import Item
from trsr_lite.results import OnProgress

SHOWN = 20  # attributes that are named; a catalog may have any number


class Catalog:
    """The catalog in the file `path`; usable from any thread; a context manager.

        with Catalog.build(["items.jsonl"], "items.catalog") as catalog:
            result = recommender.recommend(user, catalog=catalog)

    Raises `DataError` where the file is no catalog or one of another version, and `StoreError` where it cannot be read.

    Attributes
    ----------
    path: the file.
    change: what `build` did with the items; None of a catalog that was opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.change: CatalogChange | None = None
        self._owner = Owner(f"the catalog {self.path}")
        self._closed = False
        self._open()

    @classmethod
    def build(
        cls,
        sources: str | Path | Sequence[str | Path],
        path: str | Path,
        *,
        interactions: str | Path | None = None,
        rejects: str | Path | None = None,
        strict: bool = False,
        force: bool = False,
        progress: OnProgress | None = None,
    ) -> Catalog:
        """A new catalog in the file `path`, which appears whole, of the items in all sources.

        A source is a `.jsonl`, `.ndjson`, `.csv` or `.parquet` file; `-` is JSON Lines on stdin. Bad rows go to the
        file `rejects` (default: `<path>.rejects.jsonl`); `strict` makes the first an error. Of rows with one id the
        last counts. Raises `SettingsError` where `path` or `rejects` exists without `force`. Raises `DataError` where
        no item can be used, and `StoreError` where the file cannot be written.

        `interactions` is a JSON Lines file of what users had, a line `{"user_id", "item_id", "time"?, "feedback"?}`.
        `retrieve` then also finds what is popular, and what users of the same items had.
        """
        options: Any = {"interactions": interactions, "rejects": rejects, "strict": strict, "force": force}
        change = build.build(_several(sources), path, progress=progress, **options)
        catalog = cls(path)
        catalog.change = change
        return catalog

    def add(
        self,
        sources: str | Path | Sequence[str | Path] = (),
        *,
        interactions: str | Path | None = None,
        rejects: str | Path | None = None,
        strict: bool = False,
        force: bool = False,
        progress: OnProgress | None = None,
    ) -> CatalogChange:
        """Put the items of all sources in; an id that is there already gets its new text.

        `interactions` are counted in place of those before. `force` is for a file of `rejects` that exists. Raises as
        `build` does; then the catalog is as it was.
        """
        options: Any = {"interactions": interactions, "rejects": rejects, "strict": strict, "force": force}
        return build.add(_several(sources), self.path, progress=progress, **options)

    def remove(self, ids: Iterable[str], *, missing_ok: bool = False) -> CatalogChange:
        """Take items out by their ids; raises `DataError` for an unknown one unless `missing_ok`."""
        return build.remove(ids, self.path, missing_ok=missing_ok)

    def __len__(self) -> int:
        """How many items there are."""
        return int(self._facts()["items"])

    @property
    def digest(self) -> str:
        """`b2:` and 40 hexadecimal digits that tell catalogs of different items apart, in whatever order they came."""
        return content.named(self._facts()["digest"])

    def retrieve(
        self, history: Sequence[Item], summary: str | None = None, options: Retrieval | int | None = None
    ) -> list[Item]:
        """The items that a user with this history (oldest first) and summary may like, best first.

        Never an item of the history, and at most `options.count` (or `options`, where it is a number). Each shares a
        word with either and passes the filters. Where users were counted, what is popular or what they had too is found
        as well. Raises as `check` does.
        """
        wanted = _asked(options)
        with self._reading() as connection:
            self._check(connection, wanted)
            return retrieval.retrieve(connection, self._tokenizer, history, summary, wanted)

    def check(self, options: Retrieval | int | None) -> None:
        """Raise `SettingsError` where the count is below 1, or a filter names an attribute that no item has."""
        wanted = _asked(options)
        with self._reading() as connection:
            self._check(connection, wanted)

    def get(self, item_id: str) -> Item | None:
        """The item of this id, or None."""
        with self._reading() as connection:
            found = connection.execute("SELECT content FROM items WHERE id = ?", (item_id,)).fetchone()
            return content.item(item_id, found[0]) if found else None

    def info(self) -> dict[str, Any]:
        """Items, their most frequent attributes, different terms, bytes of text and of the file, and the digest."""
        with self._reading() as connection:
            facts = dict(connection.execute("SELECT name, value FROM facts"))
            terms = connection.execute("SELECT count(*) FROM vocabulary").fetchone()[0]
            attributes = self._attributes(connection)
            times = _times(connection)
        return {
            "path": str(self.path),
            "items": facts["items"],
            "attributes": attributes,
            "times": times,
            "users": facts.get("users", 0),
            "terms": terms,
            "text_bytes": facts["text_bytes"],
            "file_bytes": self.path.stat().st_size,
            "version": self._tokenizer.version,
            "digest": content.named(facts["digest"]),
        }

    def close(self) -> None:
        """Close the file; may be called twice. In a forked process nothing happens: the connection is its parent's."""
        if not self._owner.is_here:
            return
        with self._owner.held():
            self._closed = True
            self._connection.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _facts(self) -> dict[str, Any]:
        with self._reading() as connection:
            return dict(connection.execute("SELECT name, value FROM facts"))

    def _check(self, connection: sqlite3.Connection, options: Retrieval) -> None:
        for name in options.filters:
            if connection.execute("SELECT 1 FROM attributes WHERE name = ?", (name,)).fetchone():
                continue
            if known := self._attributes(connection, SHOWN + 1):  # else there are no items, which is another error
                more = " and more" if len(known) > SHOWN else ""
                raise SettingsError(
                    f"{self.path}: no item has the attribute {name!r} of the filter",
                    hint=f"its items have {', '.join(known[:SHOWN])}{more}",
                )

    @staticmethod
    def _attributes(connection: sqlite3.Connection, most: int = SHOWN) -> list[str]:
        """The most frequent attributes: what can be filtered."""
        query = "SELECT name FROM attributes ORDER BY items DESC, rowid LIMIT ?"
        return [name for (name,) in connection.execute(query, (most,))]

    def _open(self) -> None:
        identity, connection = database.identity(self.path), database.connect(self.path)
        try:
            with database.mapped(self.path):
                self._tokenizer = Tokenizer(connection)
        except BaseException:
            connection.close()
            raise
        self._identity, self._connection = identity, connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._owner.held():
            if self._closed:
                raise Closed(f"{self.path}: the catalog was closed")
            if database.identity(self.path) not in (None, self._identity):  # it was built anew
                before = self._connection
                self._open()
                before.close()
            with database.mapped(self.path, damaged=StoreError):
                database.begin(self._connection, self.path)
                try:
                    yield self._connection
                finally:
                    self._connection.execute("ROLLBACK")


def _several(sources: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [sources] if isinstance(sources, str | Path) else sources


def _times(connection: sqlite3.Connection) -> list[str] | None:
    """The first and the last time of the items in ISO 8601. None where no item has one, or the file is older."""
    if database.version(connection) < database.TIMED:
        return None
    first, last = connection.execute("SELECT min(time), max(time) FROM items").fetchone()
    if first is None:
        return None
    return [datetime.fromtimestamp(time, UTC).isoformat() for time in (first, last)]


def _asked(options: Retrieval | int | None) -> Retrieval:
    if isinstance(options, Retrieval):
        return options
    return Retrieval() if options is None else Retrieval(options)
