"""The rows of the files that a catalog is made from: JSON Lines, CSV and Parquet, one at a time.

Invariant: a row is an item, or says why it is none, with its file and line. A bad row does not end the reading, and no
file is held in memory.
"""

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from trsr_lite.errors import DataError
from trsr_lite.io import encodings, json_text, lines, parquet
from trsr_lite.io.documents import LINES_SUFFIXES
from trsr_lite.io.encodings import is_text
from trsr_lite.io.notes import Notes
from trsr_lite.records import Item

STDIN = "-"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}  # beside commas
BATCH = 1000  # rows of a Parquet file that are in memory at once


class CatalogRow(NamedTuple):
    """One row of a file.

    Attributes
    ----------
    where: `file:line`, or the row of a Parquet file.
    item: what it says, or None.
    fault: why there is no item.
    raw: the row as it was read, for people.
    fraction: how much of the file has been read, 0 to 1.
    """

    where: str
    item: Item | None
    fault: DataError | None
    raw: Any
    fraction: float


def read(path: str | Path, notes: Notes | None = None) -> Iterator[CatalogRow]:
    """The rows of a file by its suffix: `.jsonl`, `.ndjson`, `.csv` or `.parquet`; `-` is JSON Lines on stdin.

    What is left out of rows that can be used is counted in `notes`. Raises `DataError` where the file as a whole cannot
    be read.
    """
    return reader_of(path)(str(path), Notes() if notes is None else notes)


def reader_of(path: str | Path) -> Callable[[str, Notes], Iterator[CatalogRow]]:
    """What reads a file of this name; raises `DataError` for another kind of file."""
    suffix = LINES_SUFFIXES[0] if str(path) == STDIN else Path(path).suffix.lower()
    if suffix in LINES_SUFFIXES:
        return _json_lines
    if suffix not in _READERS:
        known = ", ".join([*LINES_SUFFIXES, *_READERS])
        raise DataError(
            f"{path}: items are read from files named {known}", hint="convert it, or give JSON Lines on stdin as `-`"
        )
    return _READERS[suffix]


def _json_lines(path: str, notes: Notes) -> Iterator[CatalogRow]:
    with _opened(path) as (file, name, size):
        done = 0
        for number, (line, length) in enumerate(lines.read(file), 1):
            done += length
            where, fraction = f"{name}:{number}", min(1.0, done / size)
            if length > len(line):
                yield CatalogRow(where, None, DataError(f"{where}: {lines.TOO_LONG}"), line, fraction)
                continue
            text = line
            if text.isspace():
                continue
            try:
                yield CatalogRow(
                    where, Item.from_dict(json_text.loads(text), where, notes, candidate=True), None, text, fraction
                )
            except orjson.JSONDecodeError as error:
                said = encodings.hint(text)
                column = f"column {error.colno}: not valid JSON: {error.msg}"
                fault = DataError(f"{where}: {column}" + (f"; {said}" if said else ""))
                yield CatalogRow(where, None, fault, text, fraction)
            except DataError as error:
                yield CatalogRow(where, None, error, text, fraction)


def _csv(path: str, notes: Notes) -> Iterator[CatalogRow]:
    with _opened(path) as (file, name, size):
        done, count, held = 0, 0, list[bytes]()  # held: lines since the last row

        def texts() -> Iterator[str]:
            nonlocal done, count
            for line, length in lines.read(file):
                done, count = done + length, count + 1
                held.append(line)
                # Bytes that are not UTF-8 become lone surrogates, which no item may have: only their row is bad.
                yield line.decode("utf-8", "surrogateescape")

        source = texts()
        first_line = next(source, None)
        if first_line is None:
            return
        form = _form(first_line, name, notes)
        table = csv.reader(itertools.chain([first_line], source), strict=True, **form)
        header = _header(table, name)
        while True:
            first = count + 1
            held.clear()
            try:
                values = next(table, None)
            except csv.Error as error:  # the reader goes on with the next line
                yield from _spoiled(name, first, held, error, min(1.0, done / size))
                continue
            where = f"{name}:{first}"
            if values is None:
                return
            if values:
                yield _row(where, values, header, min(1.0, done / size), notes)


def _form(first: str, name: str, notes: Notes) -> dict[str, Any]:
    """How a file is written, as `csv.reader` takes it, by its first line: the separator, and spaces behind it."""
    separator = ","
    if "id" not in _names(first, separator):
        separator = next((one for one in SEPARATORS if "id" in _names(first, one)), separator)
    if separator != ",":
        notes.add(f"{SEPARATORS[separator]} separate the columns", f"{name}:1")
    return {"delimiter": separator, "skipinitialspace": f"{separator} " in first}


def _names(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def _spoiled(name: str, first: int, held: Sequence[bytes], error: csv.Error, fraction: float) -> Iterator[CatalogRow]:
    """Every line that the reader took for one broken row: a quote that nothing closes takes those behind it along."""
    span = f" (read as one row up to line {first + len(held) - 1})" if len(held) > 1 else ""
    for number, line in enumerate(held, first):
        where = f"{name}:{number}"
        yield CatalogRow(where, None, DataError(f"{where}: not valid CSV: {error}{span}"), line, fraction)


def _row(where: str, values: Sequence[str], header: Sequence[str], fraction: float, notes: Notes) -> CatalogRow:
    if not is_text(whole := "".join(values)):
        raw = whole.encode("utf-8", "surrogateescape")
        fault = DataError(f"{where}: {encodings.hint(raw) or 'has a lone surrogate, which is not Unicode text'}")
        return CatalogRow(where, None, fault, values, fraction)
    if len(values) != len(header):
        fault = DataError(f"{where}: {len(values)} values for the {len(header)} columns of the first line")
        return CatalogRow(where, None, fault, values, fraction)
    return _of_dict(where, dict(zip(header, values, strict=True)), fraction, notes)


def _header(table: Iterator[list[str]], name: str) -> list[str]:
    try:
        header = [column.strip() for column in next(table, [])]
    except csv.Error as error:
        raise DataError(f"{name}:1: not valid CSV: {error}") from error
    if not is_text("".join(header)):
        raise DataError(f"{name}:1: {encodings.hint(''.join(header).encode('utf-8', 'surrogateescape'))}")
    if "id" not in header:
        raise DataError(
            f"{name}:1: no column is called `id`: {', '.join(header)[:200]}",
            hint="the first line names the columns, with `,`, `;`, `|` or tabs between them",
        )
    if repeated := sorted({column for column in header if column and header.count(column) > 1}):
        raise DataError(f"{name}:1: two columns are called {repeated[0]!r}")
    return header


def _parquet(path: str, notes: Notes) -> Iterator[CatalogRow]:
    reader, lib = (parquet.module(f"pyarrow.{name}", f"{path}: Parquet") for name in ("parquet", "lib"))
    with _opened(path) as (file, name, _):
        try:
            table = reader.ParquetFile(file, buffer_size=parquet.BUFFER)
            count, number = table.metadata.num_rows, 0
            if "id" not in table.schema_arrow.names:
                raise DataError(f"{name}: no column is called `id`: {', '.join(table.schema_arrow.names)[:200]}")
            for batch in table.iter_batches(batch_size=BATCH):
                for values, reason in parquet.rows(batch):
                    number += 1
                    where, fraction = f"{name}: row {number}", number / count
                    if values is None:
                        yield CatalogRow(where, None, DataError(f"{where}: {reason}"), None, fraction)
                    else:
                        yield _of_dict(where, values, fraction, notes)
        except (lib.ArrowException, OSError) as error:
            raise DataError(f"{name}: cannot be read as Parquet: {error}") from error


def _of_dict(where: str, data: Mapping[str, Any], fraction: float, notes: Notes) -> CatalogRow:
    try:
        return CatalogRow(where, Item.from_dict(data, where, notes, candidate=True), None, data, fraction)
    except DataError as error:
        return CatalogRow(where, None, error, data, fraction)


@contextmanager
def _opened(path: str) -> Iterator[tuple[IO[bytes], str, int]]:
    """The file, its name for people, and its bytes (1 where nobody knows)."""
    if path == STDIN:
        if sys.stdin is None:
            raise DataError("stdin: is closed")
        yield encodings.reader(sys.stdin.buffer), "stdin", sys.maxsize
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below; only opening is mapped
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with file:
        size = max(1, os.fstat(file.fileno()).st_size)
        binary = Path(path).suffix.lower() == ".parquet"
        yield file if binary else encodings.reader(file), path, size


_READERS: Mapping[str, Callable[[str, Notes], Iterator[CatalogRow]]] = {".csv": _csv, ".parquet": _parquet}
