"""A file of users as rows, read one at a time from any row on.

Invariant: memory does not grow with the file. A row is what `User.from_dict` reads. A row that cannot be used is still
a row, with its number and the reason: every row of the file is accounted for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from trsr_lite.errors import DataError
from trsr_lite.io import encodings, json_text, lines, parquet
from trsr_lite.io.documents import LINES_SUFFIXES
from trsr_lite.io.notes import Notes
from trsr_lite.io.remote import RemotePath
from trsr_lite.records import User

PARQUET_SUFFIXES = (".parquet", ".pq")
ROWS_AT_ONCE = 256
COLUMNS = ("user_id", "history", "candidates", "rating_scale")  # of Parquet
CHUNK = 1 << 20
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class BatchRow:
    """One row: `number` from 1, `where` it stands for people, and `offset`, from which `Source.rows` can start."""

    number: int
    offset: int
    where: str
    data: Any = None
    error: str | None = None

    def user(self, *, sort_history: bool = False, notes: Notes | None = None) -> User:
        """The user; raises `DataError`. What is left out is counted in `notes`."""
        if self.error is not None:
            raise DataError(f"{self.where}: {self.error}")
        notes = Notes() if notes is None else notes
        user = User.from_dict(self.data, self.where, sort_history=sort_history, notes=notes)
        if not user.user_id:
            raise DataError(f"{self.where}.user_id: missing")
        return user

    @property
    def digest(self) -> bytes:
        """Of what a row that is a user says."""
        try:
            content = orjson.dumps(self.data, default=repr)
        except TypeError:  # half a character, which only Python holds
            content = repr(self.data).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, digest_size=16).digest()

    @property
    def user_id(self) -> str | None:
        """The user's id as far as there is one, for the rejects."""
        value = self.data.get("user_id") if isinstance(self.data, Mapping) else None
        return value if isinstance(value, str) else None if value is None else str(value)


class Source(Protocol):
    """A file of users."""

    suffix: str

    def rows(self, number: int = 1, offset: int = 0) -> Iterator[BatchRow]:
        """Rows from one whose number and offset are known."""
        ...


def source(address: str) -> Source:
    """The file as its name says; raises `DataError` for another kind of file."""
    name = RemotePath(address).name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return ParquetSource(RemotePath(address))
    if name.endswith(LINES_SUFFIXES):
        return LinesSource(RemotePath(address))
    raise DataError(
        f"{address}: users of a batch are read from JSON Lines or Parquet",
        hint=f"name the file {' or '.join(f'*{suffix}' for suffix in (*LINES_SUFFIXES, *PARQUET_SUFFIXES))}",
    )


def digest(address: str) -> str:
    """Content hash of a file, as `b2:<40 hex digits>`."""
    found = hashlib.blake2b(digest_size=20)
    with RemotePath(address).open() as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return f"b2:{found.hexdigest()}"


class LinesSource:
    """JSON Lines; an offset is a byte."""

    suffix = "jsonl"

    def __init__(self, place: RemotePath) -> None:
        self.place = place

    def rows(self, number: int = 1, offset: int = 0) -> Iterator[BatchRow]:
        """Every line that is not blank."""
        with self.place.open() as file:
            name = encodings.of(file.read(4))
            if name not in (None, "utf-8-sig"):  # rows are found again by their bytes, so nothing is recoded
                raise DataError(f"{self.place}: is {str(name).upper()} text, not UTF-8", hint=encodings.SAVE)
            file.seek(offset)
            try:
                for line, size in lines.read(file):
                    start, offset = offset, offset + size
                    if size > len(line):
                        yield BatchRow(number, start, self._where(number), error=lines.TOO_LONG)
                    elif line.strip():
                        yield self._row(number, start, line if start else line.removeprefix(BOM))
                    number += 1
            except OSError as error:
                raise DataError(f"{self.place}: cannot be read: {error.strerror or error}") from error

    def _where(self, number: int) -> str:
        return f"{self.place}:{number}"

    def _row(self, number: int, offset: int, line: bytes) -> BatchRow:
        try:
            return BatchRow(number, offset, self._where(number), json_text.loads(line))
        except orjson.JSONDecodeError as error:
            said = encodings.hint(line)
            fault = f"column {error.colno}: not valid JSON: {error.msg}" + (f"; {said}" if said else "")
            return BatchRow(number, offset, self._where(number), error=fault)


class ParquetSource:
    """Parquet with the columns `user_id`, `history` and, where users bring their own, `candidates`; an offset is a row.

    Items are structs; an attribute that is null counts as absent. A column `rating_scale` is read where there is one.
    """

    suffix = "parquet"

    def __init__(self, place: RemotePath) -> None:
        self.place = place

    def rows(self, number: int = 1, offset: int = 0) -> Iterator[BatchRow]:
        """Every row; row groups before the offset are not read."""
        reader, lib = (parquet.module(f"pyarrow.{name}", f"{self.place}: Parquet") for name in ("parquet", "lib"))
        with self.place.open() as file:
            try:
                table = reader.ParquetFile(file, buffer_size=parquet.BUFFER)
                missing = {"user_id", "history"} - set(table.schema_arrow.names)
                if missing:
                    raise DataError(f"{self.place}: has no column {min(missing)!r}")
                columns = [name for name in COLUMNS if name in table.schema_arrow.names]
                first, groups = 0, list(range(table.num_row_groups))
                while groups and first + table.metadata.row_group(groups[0]).num_rows <= offset:
                    first += table.metadata.row_group(groups.pop(0)).num_rows
                for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns):
                    rows = parquet.rows(batch) if first + batch.num_rows > offset else ()
                    for place, (data, error) in enumerate(rows, first):
                        if place >= offset:
                            yield BatchRow(place + 1, place, f"{self.place}: row {place + 1}", data, error)
                    first += batch.num_rows
            except (lib.ArrowException, OSError) as fault:
                raise DataError(f"{self.place}: cannot be read as Parquet: {fault}") from fault
