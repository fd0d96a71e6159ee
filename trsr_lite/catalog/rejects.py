"""The rows that could not be used, kept where a person can read and repair them.

Invariant: every bad row is counted and written, in the order of the source. The first of them creates the file, which
replaces another one only if that is asked for. In a strict reading the first bad row is an error instead.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, Any

import orjson

from trsr_lite.catalog.rows import CatalogRow
from trsr_lite.errors import DataError, StoreError
from trsr_lite.io import files

HINT = "replace it with `--force`, or name another with `--rejects`"
LONGEST = 1 << 16  # characters of a row that are kept


class Rejects:
    """Bad rows as JSON Lines `{"where", "reason", "row"}` in `path`; a context manager.

    Parameters
    ----------
    path: the file.
    strict: raise at the first bad row, and write nothing.
    force: a file of this name may be overwritten.

    Attributes
    ----------
    count: how many there were.
    first: the first of them, for a message.
    listed: rows that are kept here although they count.
    """

    def __init__(self, path: Path, *, strict: bool = False, force: bool = False) -> None:
        self.path = path
        self.count = self.listed = 0
        self.first: DataError | None = None
        self._strict, self._force = strict, force
        self._file: IO[bytes] | None = None

    def add(self, row: CatalogRow, fault: DataError) -> None:
        """Keep a bad row; raises its fault where the reading is strict."""
        if self._strict:
            raise DataError(str(fault), hint="run without `--strict` to leave such rows out") from fault
        self.count += 1
        self.first = self.first or fault
        self._write(row, str(fault).removeprefix(row.where).lstrip(".: "))

    def list(self, row: CatalogRow, reason: str) -> None:
        """Keep a row that counts, but that a person should look at; raises where the reading is strict."""
        if self._strict:
            raise DataError(f"{row.where}: {reason}", hint="run without `--strict` to go on")
        self.listed += 1
        self._write(row, reason)

    def _write(self, row: CatalogRow, reason: str) -> None:
        line = orjson.dumps({"where": row.where, "reason": reason, "row": _shown(row.raw)})
        try:
            if self._file is None:
                files.check_free(self.path, force=self._force, hint=HINT)  # one may have come meanwhile
                self._file = self.path.open("wb")
            self._file.write(line + b"\n")
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def __enter__(self) -> Rejects:
        if not self._strict:
            files.check_free(self.path, force=self._force, hint=HINT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file:
            try:
                self._file.close()
            except OSError as fault:
                if error is None:
                    raise _unwritable(self.path, fault) from fault


def beside(catalog: Path, *, force: bool) -> Path:
    """Where the rejects of a catalog go by themselves: under the first free name, or the first with `force`."""
    number = 1
    while True:
        path = catalog.with_name(f"{catalog.name}.rejects{f'-{number}' if number > 1 else ''}.jsonl")
        if force or not path.exists():
            return path
        number += 1


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written: {error.strerror or error}", hint="name another with `--rejects`")


def _shown(raw: Any) -> str:
    """The row as text that any editor can show."""
    text = raw[:LONGEST].decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else _as_json(raw)
    return text.rstrip("\r\n")[:LONGEST]


def _as_json(raw: Any) -> str:
    try:
        return orjson.dumps(raw, default=str).decode()
    except (orjson.JSONEncodeError, TypeError):  # lone surrogates
        return str(raw).encode("utf-8", "backslashreplace").decode()
