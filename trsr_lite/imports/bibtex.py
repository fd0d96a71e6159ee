"""BibTeX: what Zotero, JabRef, BibDesk, Mendeley and others export.

Invariant: braces and accents of TeX become letters. An entry that breaks off is counted by its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trsr_lite.imports import authors, dates, extra
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.source import Source

_ENTRY = re.compile(r"^\s*@(\w+)\s*[{(]", re.MULTILINE)
_NO_ENTRIES = ("comment", "string", "preamble")
_DATES = ("date-added", "dateadded", "timestamp", "urldate")
_BATCH = 200  # entries that are parsed together


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    package = extra.module("bibtexparser", f"{source.name}: BibTeX")
    names = ""  # what `@string` explains, which holds for all that follows
    for first, text in _batches(source, reading):
        parser = extra.module("bibtexparser.bparser", "BibTeX").BibTexParser(
            common_strings=True, ignore_nonstandard_types=False, interpolate_strings=False
        )
        parser.expect_multiple_parse = True
        found = package.loads(names + text, parser)
        names += "".join(line for line in text.splitlines(keepends=True) if line.lower().startswith("@string"))
        known = len(found.entries)
        wanted = sum(1 for kind in _ENTRY.findall(text) if kind.lower() not in _NO_ENTRIES)
        if known < wanted:
            reading.notes.add("entry left out: not valid BibTeX", f"{source.name}:{first}", wanted - known)
        for one in found.entries:
            yield _entry(one, f"{source.name}: {one.get('ID', '')}")


def _batches(source: Source, reading: Reading) -> Iterator[tuple[int, str]]:
    """The text in parts of whole entries, with the line that each begins at."""
    with source.text(reading.notes) as text:
        held, count, first = list[str](), 0, 1
        for number, line in enumerate(text, 1):
            if _ENTRY.match(line):
                count += 1
                if count > _BATCH:
                    yield first, "".join(held)
                    held, count, first = [], 1, number
            held.append(line)
        if held:
            yield first, "".join(held)


def _entry(one: dict[str, Any], where: str) -> Entry:
    when = next((one[name] for name in _DATES if one.get(name)), "")
    doi = str(one.get("doi", "")).lower()
    year = re.search(r"\d{4}", str(one.get("year") or one.get("date") or ""))
    return Entry(
        _plain(one.get("title", "")),
        where,
        dates.seconds(_plain(when)),
        f"doi:{doi}" if doi else f"bibtex:{one.get('ID', '')}",
        {
            "author": authors.listed(re.split(r"\s+and\s+", _plain(one.get("author", "")))),
            "published in": _plain(one.get("journal") or one.get("journaltitle") or one.get("booktitle") or ""),
            "year": year.group() if year else "",
            "tags": _plain(one.get("keywords") or one.get("keyword") or ""),
            "abstract": _plain(one.get("abstract", "")),
        },
    )


def _plain(value: Any) -> str:
    """Text without TeX; a name that stands for a text, and that the file does not explain, is none."""
    decode = extra.module("bibtexparser.latexenc", "BibTeX").latex_to_unicode
    try:
        text = value if isinstance(value, str) else str(value.get_value())
    except KeyError:
        return ""
    found = str(decode(text)) if "\\" in text else text
    return " ".join(re.sub(r"\\[a-zA-Z]+\s*|[{}]", "", found).replace("\\&", "&").replace("~", " ").split())


FORMAT = Format(
    "bibtex",
    "BibTeX library",
    "paper",
    "Zotero, JabRef, BibDesk or Mendeley: export as BibTeX",
    lambda source: (
        any(kind.lower() not in _NO_ENTRIES for kind in _ENTRY.findall(source.head))
        and "=" in source.head
        and source.head.lstrip()[:1] in "@%"
    ),
    _read,
)
