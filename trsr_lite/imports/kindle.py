"""Kindle: `documents/My Clippings.txt` on the device, in whatever language the device speaks.

Invariant: a book is one item, however many places of it were marked; the texts of the marks are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from trsr_lite.imports import authors, dates
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.source import Source

END = "=========="
_TITLE = re.compile(
    r"(.*?)\s*[(（]((?:[^()（）]|[(（][^()（）]*[)）])*)[)）]\s*"
)  # the author stands in the last brackets
_LONGEST = 1 << 16  # characters of one clipping that are looked at


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    with source.text(reading.notes) as text:
        held: list[str] = []
        first = 1
        for number, line in enumerate(text, 1):
            if line.strip() != END:
                if len(held) < 3:
                    held.append(line[:_LONGEST].strip().lstrip("\ufeff"))
                continue
            yield from _clipping(f"{source.name}:{first}", held, reading)
            held, first = [], number + 1
        if any(held):
            reading.notes.add("clipping left out: it breaks off", f"{source.name}:{first}")


def _clipping(where: str, lines: list[str], reading: Reading) -> Iterator[Entry]:
    if len(lines) < 2 or not lines[1].startswith("-"):
        reading.notes.add("clipping left out: no second line with a date", where)
        return
    found = _TITLE.fullmatch(lines[0])
    title, author = found.groups() if found and found.group(1) else (lines[0], "")
    when = lines[1].rpartition("|")[2]
    yield Entry(title, where, dates.seconds(when), "", {"author": authors.spoken(author)})


FORMAT = Format(
    "kindle",
    "Kindle clippings",
    "book",
    "the file documents/My Clippings.txt of the device",
    lambda source: END in source.head and re.search(r"^\s*- .*\|", source.head, re.MULTILINE) is not None,
    _read,
)
