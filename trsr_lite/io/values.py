"""One value of JSON, CSV, Parquet or Python as text for people, or as nothing.

Invariant: what means "missing" in one kind of file means it in every other. A value that no text can stand for is
`Unusable`, which says what it is. It never costs more than itself.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
import unicodedata
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

MISSING = frozenset(
    "nan -nan NaN -NaN NAN NaT null NULL Null None <NA> NA N/A n/a #N/A #NA 1.#IND -1.#IND 1.#QNAN -1.#QNAN".split()  # noqa: SIM905
)
"""Texts that programs write where there is nothing: those of pandas, of R and of databases."""
MISSING_ID = frozenset({"nan", "NaN", "<NA>"})  # `NA` is Namibia's
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # signs that are drawn as nothing
EMBEDDING = 8  # numbers of a list that are no text for people, if they have fractions
INDEX = re.compile(r"|Unnamed: \d+(?:_level_\d+)?|__index_level_\d+__|_c\d+")
KINDS: Mapping[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}


class Unusable(ValueError):
    """A value that is no text; its message says what it is."""


class Listed(str):
    """Texts of a list, joined by `, `; `entries` are those texts, which may hold commas themselves."""

    entries: tuple[str, ...]

    def __new__(cls, entries: Iterable[str]) -> Listed:  # noqa: D102 - as of `str`
        whole = tuple(entries)
        made = super().__new__(cls, ", ".join(whole))
        made.entries = whole
        return made

    def __getnewargs__(self) -> tuple[Any]:
        return (self.entries,)


def kind(value: Any) -> str:
    """What a value is, for people."""
    return KINDS.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


def text(value: Any) -> str:
    """The text of a value; empty for what means that there is none. Raises `Unusable`."""
    if isinstance(value, str):
        return "" if value.strip() in MISSING else well_formed(value)
    if value is None or isinstance(value, bool):
        return "" if value is None else "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _decoded(bytes(value))
    if isinstance(value, (list, tuple, set, frozenset)):
        return _list(value)
    return _other(value)


def is_visible(value: str) -> bool:
    """Whether a person would see anything: no joiners, fillers and blanks alone."""
    if value.isascii() and value.isprintable():
        return not value.isspace() and bool(value)
    return any(map(_shows, set(value)))


def well_formed(value: str) -> str:
    """The text, with U+FFFD for halves of a character, such as a cut emoji."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def number(value: float) -> str:
    """The digits as written; a whole float without its `.0`. Raises `Unusable`."""
    try:
        return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)
    except ValueError:
        raise Unusable("a number of too many digits") from None


def is_number(value: Any) -> bool:
    """Whether a value is a number, or a text that is one, as in the cell of a table."""
    if isinstance(value, (bool, bytes, bytearray)):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    except OverflowError:  # a whole number, but too large to be computed with
        return True
    return True


def _shows(character: str) -> bool:
    if character.isspace() or character in BLANK or "\ufe00" <= character <= "\ufe0f":
        return False
    return unicodedata.category(character) not in ("Cc", "Cf")


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return ""
        raise Unusable("not a finite number")
    return number(value)


def _decoded(value: bytes) -> str:
    try:
        return text(value.decode())
    except UnicodeDecodeError:
        raise Unusable("bytes that are no UTF-8 text") from None


def _list(values: Iterable[Any]) -> str:
    entries = list(values)
    numbers = [entry for entry in entries if isinstance(entry, float) and not isinstance(entry, bool)]
    if len(entries) > EMBEDDING and len(numbers) > len(entries) // 2:
        raise Unusable("a list of numbers, as an embedding is")
    if nested := next((entry for entry in entries if isinstance(entry, (list, tuple, set, Mapping))), None):
        raise Unusable(f"a list with {kind(nested)} in it")
    return Listed(found for entry in entries if (found := text(entry)))


def _other(value: Any) -> str:
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return "" if value.is_nan() else str(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if not isinstance(value, Mapping) and callable(plain := getattr(value, "tolist", None)):  # numpy's
        return text(plain())
    raise Unusable(kind(value))
