"""Rows of an export that is a table with a line of names: CSV with commas, semicolons, tabs or bars.

Invariant: a row is given whole or counted with its line; cells may hold line ends where they are quoted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping

from trsr_lite.errors import DataError
from trsr_lite.imports.format import Reading
from trsr_lite.imports.source import Source
from trsr_lite.io.values import MISSING

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class Row(Mapping[str, str]):
    """Cells by the small-letter names of their columns, stripped; a column that is not there is empty."""

    def __init__(self, cells: dict[str, str], where: str) -> None:
        self.cells, self.where = cells, where

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name.lower(), "")

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


def rows(source: Source, reading: Reading) -> Iterator[Row]:
    """The rows below the names; raises `DataError` where there is no line of names."""
    if source.separator != ",":
        reading.notes.say(f"columns are separated by {NAMES[source.separator]}", source.name)
    with source.text(reading.notes) as text:
        table = csv.reader(text, delimiter=source.separator, strict=True)
        header = _header(table, source)
        line = table.line_num
        while True:
            where = f"{source.name}:{line + 1}"
            try:
                values = next(table, None)
            except csv.Error as error:
                lines = table.line_num - line
                reading.notes.add(f"row left out: not valid CSV: {error}", where, max(1, lines))
                line = table.line_num
                continue
            line = table.line_num
            if values is None:
                return
            if not any(map(str.strip, values)):
                continue
            if len(values) != len(header):
                reading.notes.add(f"row left out: it has not the {len(header)} cells of the first line", where)
                continue
            cells = (value.strip() for value in values)
            yield Row({name: "" if cell in MISSING else cell for name, cell in zip(header, cells, strict=True)}, where)


def _header(table: Iterator[list[str]], source: Source) -> list[str]:
    try:
        names = [name.strip().lower() for name in next(table, [])]
    except csv.Error as error:
        raise DataError(f"{source.name}:1: not valid CSV: {error}") from error
    if not any(names):
        raise DataError(f"{source.name}: is empty", hint="export it again")
    return names
