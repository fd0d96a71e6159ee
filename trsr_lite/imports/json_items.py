"""Objects of a large JSON file, one at a time.

Invariant: memory does not grow with the file, and what is broken further on does not take back what was read before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.imports import extra
from trsr_lite.imports.format import Reading
from trsr_lite.imports.source import Source


def objects(source: Source, reading: Reading, path: str = "item") -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of each entry of the list at `path`: `item` for the outermost, `response.games.item` within.

    Several lists one after the other are read as one. Raises `DataError` where nothing of it is JSON.
    """
    parser = extra.module("ijson", f"{source.name}: JSON of this size")
    number = 0
    try:
        for number, one in enumerate(parser.items(source.utf8(), path, multiple_values=True, use_float=True), 1):
            where = f"{source.name}: entry {number}"
            if isinstance(one, dict):
                yield where, one
            else:
                reading.notes.add("entry left out: it is no object", where)
    except (parser.JSONError, UnicodeDecodeError) as error:
        said = str(error).partition("\n")[0].strip()
        if number == 0:
            raise DataError(f"{source.name}: not valid JSON: {said}") from error
        reading.notes.add(f"file that breaks off: read as far as it goes: {said}", f"{source.name}: entry {number}")


def text(value: Any) -> str:
    """A text of an object, or nothing where there is none."""
    return value if isinstance(value, str) else ""


def has(source: Source, *names: str) -> bool:
    """Whether the beginning of a JSON file has these names."""
    head = source.head.lstrip()
    return head[:1] in ("[", "{") and all(f'"{name}"' in head for name in names)
