"""Dates as programs write them for people: with names of months, in several languages, or with the day first.

Invariant: a date whose day and month could be changed about is no time yet: `seconds` gives it back as it is, and
`order` says what the dates of one file together tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

from trsr_lite.io import times

_MONTHS = {
    "en": "january february march april may june july august september october november december",
    "de": "januar februar märz april mai juni juli august september oktober november dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
_SHORT = {"mrz": 3, "sept": 9, "févr": 2, "avr": 4, "juil": 7, "déc": 12, "mrt": 3, "jänner": 1, "jän": 1}
_CUT = 3  # letters of a month's short name
MONTHS = {
    **{name[:_CUT]: number for names in _MONTHS.values() for number, name in enumerate(names.split(), 1)},
    **{name: number for names in _MONTHS.values() for number, name in enumerate(names.split(), 1)},
    **_SHORT,
    "jui": 0,  # juin or juillet
}
_ZONES = {"CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "BST": 1, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5}
_ZONES |= {"MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "JST": 9, "KST": 9}
_WORD = re.compile(r"[^\W\d_]+")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d\d)(?:[:.](\d\d))?(?:\s*([ap])\.?\s?m\b)?", re.IGNORECASE)
_YEAR = re.compile(r"\b(\d{4})\b")
_DAY = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)?\b", re.IGNORECASE)
_OFFSET = re.compile(r"(?:GMT|UTC)?([+-])(\d\d?):?(\d\d)?\s*$")
_EAST = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]")
_AFTERNOON = ("下午", "午後", "오후")
_NUMBERS = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)(?:\D+(\d.*))?", re.DOTALL)


def seconds(text: str) -> float | str | None:
    """Seconds since 1970; the text itself where its day and month may be changed about; None where it is no date."""
    text = re.sub(r"[\s\u202f\u200e\u200f]+", " ", text).strip()
    if not text:
        return None
    try:
        return times.seconds(text)
    except ValueError:
        pass
    if _NUMBERS.fullmatch(text):
        return text if of_numbers(text, day_first=True) or of_numbers(text, day_first=False) else None
    try:
        return _eastern(text) if _EAST.search(text) else _named(text)
    except ValueError:
        return None


def order(texts: Iterable[str]) -> bool | None:
    """Whether the day comes first in dates of one file; None where they do not tell, or contradict each other."""
    first = second = False
    for text in texts:
        found = _NUMBERS.fullmatch(text)
        if found:
            one, mark, two = found.group(1, 2, 3)
            first, second = first or int(one) > 12 or mark == ".", second or int(two) > 12
    return first if first != second else None


def of_numbers(text: str, *, day_first: bool) -> float | None:
    """Seconds of a date such as 31/01/2026 10:00."""
    found = _NUMBERS.fullmatch(text)
    if not found:
        return None
    one, _, two, year, rest = found.groups()
    day, month = (one, two) if day_first else (two, one)
    whole = int(year) + (2000 if len(year) == 2 else 0)
    try:
        return _moment(whole, int(month), int(day), rest or "")
    except ValueError:
        return None


def _named(text: str) -> float | None:
    month = next((MONTHS[word] for word in map(str.lower, _WORD.findall(text)) if MONTHS.get(word)), None)
    year = _YEAR.search(text)
    rest = _CLOCK.sub(" ", text)
    day = _DAY.search(rest)
    if month is None or year is None or day is None:
        return None
    return _moment(int(year.group(1)), month, int(day.group(1)), text)


def _eastern(text: str) -> float | None:
    found = _EAST.search(text)
    if not found:
        return None
    year, month, day = map(int, found.groups())
    rest = text[found.end() :]
    return _moment(year, month, day, rest + (" PM" if any(mark in rest for mark in _AFTERNOON) else ""))


def _moment(year: int, month: int, day: int, rest: str) -> float:
    hour = minute = second = 0
    if clock := _CLOCK.search(rest):
        hour, minute, second = (int(part or 0) for part in clock.group(1, 2, 3))
        half = clock.group(4)
        if half and hour <= 12:
            hour = hour % 12 + (12 if half.lower() == "p" else 0)
        rest = rest[clock.end() :]
    return datetime(year, month, day, hour, minute, second, tzinfo=_zone(rest)).timestamp()


def _zone(rest: str) -> timezone:
    if offset := _OFFSET.search(rest):
        sign, hours, minutes = offset.groups()
        size = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-size if sign == "-" else size)
    hours = next((_ZONES[word] for word in _WORD.findall(rest) if word in _ZONES), 0)
    return timezone(timedelta(hours=hours)) if hours else UTC
