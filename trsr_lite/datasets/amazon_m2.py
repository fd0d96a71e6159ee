"""Amazon-M2 as the KDD Cup 2023 gave it: `products_train.csv` and `sessions_train.csv`.

Invariant: a session is one anonymous user. A product is known by its id within a locale, because the same id has
another text in another locale. It meets products of its own locale alone, because its language would give it away.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from trsr_lite.datasets import items
from trsr_lite.datasets.corpus import Corpus
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.sources import NOT_TEXT, Source
from trsr_lite.errors import DataError
from trsr_lite.io import values
from trsr_lite.io.encodings import is_text
from trsr_lite.records import Item

FILES = ("products_train.csv", "sessions_train.csv")
LAYOUT = "a folder of Amazon-M2 with `products_train.csv` and `sessions_train.csv`"
# What numpy prints for an array of texts: spaces or line ends between them, `"` where a text holds `'`; also what
# lists, pandas and spreadsheets make of it: commas, no quotes, no brackets, `array(…, dtype=object)`, and `...` for
# what was too long to print.
_CALLS = ("np.array(", "numpy.array(", "array(")
_TEXT = re.compile(r"""'([^']*)'|"([^"]*)"|(\.\.\.|[\w-]+)""")
_BETWEEN = re.compile(r"""[\s,;]*""")
CUT, CUT_OFF = "...", "left out of prev_items by the program that wrote it (`...`)"
PLACEHOLDERS = frozenset({"40000000.07"})  # what the data set has for a price that is not known


def files(_: DataOptions) -> tuple[str, ...]:
    """The files to be read."""
    return FILES


def read(sources: list[Source], options: DataOptions, corpus: Corpus, report: Report) -> None:
    """Fill the corpus with products and one sequence for each session."""
    products, sessions = sources
    locales = _read_products(products, options.locale, corpus, report)
    if corpus.item_count == 0:
        if locales and options.locale not in locales:
            raise DataError(
                f"{products.path}: no product has the locale {options.locale!r}",
                hint=f"the file has {', '.join(sorted(locales)[:20])}",
            )
        return
    for where, number, row in _rows(sessions, ("prev_items", "next_item", "locale"), report):
        if options.locale is not None and row["locale"].strip() != options.locale:
            report.leave_out("session", "another locale")
            continue
        report.read("session")
        rows = _sequence(row, options.locale, corpus, report, where)
        if rows:
            corpus.add_sequence(f"session-{number}", rows, number)


def _read_products(source: Source, locale: str | None, corpus: Corpus, report: Report) -> set[str]:
    locales: set[str] = set()
    for where, _, row in _rows(source, ("id", "locale", "title"), report):
        texts = {name: text.strip() for name, text in row.items()}
        product = texts.pop("id")
        locales.add(texts["locale"])
        if locale is not None and texts["locale"] != locale:
            report.leave_out("item", "another locale")
        elif not product:
            report.drop("item", "no id", where)
        elif not texts["title"] or _is_missing("title", texts["title"]):
            report.drop("item", "no title", where)
        else:
            # A language is the least of what sets two products apart, so it is shown last.
            own = texts.pop("locale")
            ordered = {"title": texts.pop("title"), **texts, "locale": own}
            attributes = {name: text for name, text in ordered.items() if text and not _is_missing(name, text)}
            item = Item(_key(product, own, locale), attributes)
            items.add(item, corpus, report, where, kind=own if locale is None else None)
    return locales


def _sequence(row: dict[str, str], locale: str | None, corpus: Corpus, report: Report, where: str) -> list[int]:
    ids = ids_of(row["prev_items"])
    if ids is None:
        report.drop("session", "prev_items is not a list of ids", where)
        return []
    if CUT in ids:
        report.leave_out("session item", CUT_OFF, where)
        ids = [one for one in ids if one != CUT]
    ids.append(row["next_item"].strip())
    rows = []
    for product, found in zip(ids, corpus.rows([_key(one, row["locale"].strip(), locale) for one in ids]), strict=True):
        if found is None:
            report.drop("session item", "not in products_train.csv", where, product)
        rows.append(found)
    if rows[-1] is None:
        report.leave_out("session", "next_item is not known", where)
        return []
    return [found for found in rows if found is not None]


def _is_missing(name: str, text: str) -> bool:
    return text in values.MISSING or (name == "price" and text in PLACEHOLDERS)


def ids_of(text: str) -> list[str] | None:
    """The ids of `prev_items`, however it was written; None where it is no list of ids."""
    inside = _inside(text.strip()) if text.strip() else None
    if inside is None or _BETWEEN.fullmatch(_TEXT.sub("", inside)) is None:
        return None
    return [single or double or bare for single, double, bare in _TEXT.findall(inside)]


def _inside(text: str) -> str | None:
    """What stands between the brackets, if there are any; None where one is missing."""
    for call in _CALLS:
        if text.startswith(call):
            if not text.endswith(")"):
                return None
            text = text[len(call) : -1]
            before, named, _ = text.rpartition("dtype")
            text = before.rstrip(", \n") if named and before.rstrip(", \n").endswith("]") else text.strip()
            break
    opening, closing = text[:1] in ("[", "("), text[-1:] in ("]", ")")
    if opening != closing:
        return None
    return text[1:-1] if opening else text


def _key(product: str, own: str, chosen: str | None) -> str:
    return product if chosen is not None else f"{own}:{product}"


def _rows(source: Source, needed: tuple[str, ...], report: Report) -> Iterator[tuple[str, int, dict[str, str]]]:
    reader = csv.reader((text for _, text in source.lines()), strict=True)
    header = _header(reader, needed, source)
    while True:
        number = reader.line_num + 1  # a row may span lines; it is known by its first
        where = f"{source.name}:{number}"
        try:
            values = next(reader, None)
        except csv.Error as error:  # the reader goes on with the next line
            for line in range(number, reader.line_num + 1):  # a quote that nothing closes takes those behind it along
                report.drop("row", "not CSV", f"{source.name}:{line}", str(error))
            continue
        if values is None:
            return
        if not is_text("".join(values)):
            report.drop("row", NOT_TEXT, where)
        elif len(values) == len(header):
            yield where, number, dict(zip(header, values, strict=True))
        elif values:
            report.drop("row", f"not {len(header)} columns", where, f"has {len(values)}")


def _header(reader: Iterator[list[str]], needed: tuple[str, ...], source: Source) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{source.path}:1: not CSV: {error}", hint=f"expected {LAYOUT}") from error
    missing = [name for name in needed if name not in header]
    if missing:
        raise DataError(f"{source.path}:1: no column {missing[0]!r}", hint=f"expected {LAYOUT}")
    if len(set(header)) < len(header):
        raise DataError(f"{source.path}:1: a column comes twice")
    return header
