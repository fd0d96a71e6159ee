"""Zotero: *File → Export Library*, as CSV or as Zotero RDF.

Invariant: attachments, notes and collections are no items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from trsr_lite.imports import authors, dates, table, xml
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_COLUMNS = with_columns("Key", "Item Type", "Title", "Publication Title")
_NO_ITEMS = ("attachment", "note", "annotation")
_NO_ELEMENTS = ("attachment", "memo", "collection", "journal", "person", "seq", "li")
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ZOTERO = "zotero.org/namespaces/export"


def _table(source: Source, reading: Reading) -> Iterator[Entry]:
    for row in table.rows(source, reading):
        if row["Item Type"].lower() in _NO_ITEMS:
            reading.notes.add("entry left out: an attachment or a note", row.where)
            continue
        yield Entry(
            row["Title"],
            row.where,
            dates.seconds(row["Date Added"]),
            _id(row["DOI"], row["Key"]),
            {
                "author": authors.listed(row["Author"].split(";")),
                "published in": row["Publication Title"],
                "year": row["Publication Year"],
                "tags": row["Manual Tags"],
                "abstract": row["Abstract Note"],
            },
        )


def _rdf(source: Source, reading: Reading) -> Iterator[Entry]:
    depth = number = 0
    for event, element in xml.elements(source):
        depth += 1 if event == "start" else -1
        if event == "start" or depth != 1:  # below the root
            continue
        number += 1
        where = f"{source.name}: entry {number}"
        kind = xml.local(element.tag).lower()
        if kind in _NO_ITEMS or kind == "memo":
            reading.notes.add("entry left out: an attachment or a note", where)
        if kind in _NO_ELEMENTS:
            element.clear()
            continue
        yield _of_element(element, where)
        element.clear()


def _of_element(element: Element, where: str) -> Entry:
    parts: dict[str, list[Element]] = {}
    for one in element:
        parts.setdefault(xml.local(one.tag).lower(), []).append(one)

    def first(name: str) -> str:
        return next((found for one in parts.get(name, ()) if (found := _text(one))), "")

    doi = next((t[4:] for one in parts.get("identifier", ()) if (t := _text(one)).upper().startswith("DOI ")), "")
    year = re.search(r"\d{4}", first("date"))
    subjects = [_text(one) for one in parts.get("subject", ())]
    return Entry(
        first("title"),
        where,
        dates.seconds(first("datesubmitted")),
        _id(doi, element.get(f"{{{_RDF}}}about") or ""),
        {
            "author": ", ".join(_people(parts.get("authors", ()))),
            "published in": _journal(parts.get("ispartof", ())),
            "year": year.group() if year else "",
            "tags": [subject for subject in subjects if subject],
            "abstract": first("abstract"),
        },
    )


def _people(groups: tuple[Element, ...] | list[Element]) -> Iterator[str]:
    for group in groups:
        for person in group.iter():
            if xml.local(person.tag) == "Person":
                names = {xml.local(one.tag).lower(): (one.text or "").strip() for one in person}
                given = names.get("givenname", "")
                yield f"{given} {names.get('surname', '')}".strip()


def _journal(parents: tuple[Element, ...] | list[Element]) -> str:
    return next(
        (t for one in parents for inner in one.iter() if xml.local(inner.tag) == "title" and (t := _text(inner))), ""
    )


def _text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _id(doi: str, other: str) -> str:
    return f"doi:{doi.lower()}" if doi else f"zotero:{other}" if other else ""


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    return _rdf(source, reading) if xml.root(source) == "rdf" else _table(source, reading)


FORMAT = Format(
    "zotero",
    "Zotero library",
    "paper",
    "File, Export Library, as CSV or Zotero RDF",
    lambda source: _COLUMNS(source) or (xml.root(source) == "rdf" and _ZOTERO in source.head),
    _read,
)
