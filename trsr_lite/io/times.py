"""Times as people, logs and spreadsheets write them, to seconds since 1970.

Invariant: a form that could mean two moments is no time. A number is one whatever file it stands in: seconds, or
milliseconds, microseconds and nanoseconds, which its size tells apart, because nothing here happens after 2200.
"""

from __future__ import annotations

import contextlib
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LAST = 7_258_118_400.0  # 2200-01-01
UNITS = (("seconds", 1.0, 1e11), ("milliseconds", 1e3, 1e14), ("microseconds", 1e6, 1e17), ("nanoseconds", 1e9, 1e20))
"""Name, how many make a second, and the size that no number of this unit has."""
_ISO_8601 = re.compile(
    r"(\d{4}(?:-?\d\d-?\d\d|-?W\d\d(?:-?\d)?))"
    r"(?:\D((?:[01]\d|2[0-3])(?:(:?)\d\d(?:\3\d\d(?:[.,]\d+)?)?)?)(?: ?(Z|[+-]\d\d(?:(:?)\d\d(?:\5\d\d)?)?))?|Z)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:E[+-]?\d+)?", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})/(\d\d?)/(\d\d?)(.*)", re.ASCII)
_AMERICAN = re.compile(
    r"(\d\d?)/(\d\d?)/(\d{4}),? (\d\d?):(\d\d)(?::(\d\d))? ?([AP])M", re.ASCII
)  # with AM or PM, the month comes first everywhere
_DAY_OR_MONTH = re.compile(r"\d\d?[/.-]\d\d?[/.-]\d{2,4}(?:\D.*)?", re.ASCII)
_MAIL = re.compile(r"[A-Z]+, ?\d\d?[ -]")  # a day of the week and of the month: of `Jan 2, 2026, 1 PM` it reads no PM
HINT = "use ISO 8601, such as 2026-01-02T10:00:00Z"
AMBIGUOUS = "its day and month cannot be told apart: write the year first, such as 2026-01-31"


def seconds(value: float | str) -> float:
    """Seconds since 1970; UTC where no zone is named. Raises `ValueError` where it is no time."""
    if isinstance(value, str):
        text = value.strip().upper()
        with contextlib.suppress(OverflowError):
            found = _of_text(text, value.strip())
            if found is not None:
                return found
        raise ValueError("is not a time")
    return _of_number(value)


def unit(value: float | str) -> str:
    """The unit that the size of a number tells, `seconds` for what is none."""
    try:
        size = abs(float(value))
    except (ValueError, OverflowError):
        return UNITS[0][0]
    return next((name for name, _, end in UNITS if size < end), UNITS[0][0])


def hint(value: object) -> str:
    """What to do about a value that is no time."""
    return AMBIGUOUS if isinstance(value, str) and _DAY_OR_MONTH.fullmatch(value.strip()) else HINT


def _of_text(text: str, plain: str) -> float | None:
    if iso := _ISO_8601.fullmatch(re.sub(r" ?(?:UTC|GMT)$", "Z", text) if text[:4].isdecimal() else text):
        date, clock, _, zone, _ = iso.groups()
        # `fromisoformat` alone would read `20260102100000` as midnight, and 24:00 from Python 3.14 on.
        return datetime.fromisoformat(f"{date}T{clock or '00'}{zone or 'Z'}").timestamp()
    if _NUMBER.fullmatch(text):
        return None if len(text) in (4, 8) and text.isdecimal() else _of_number(float(text))  # a year, a wrong date
    if first := _YEAR_FIRST.fullmatch(text):
        year, month, day, rest = first.groups()
        return _of_text(f"{year}-{int(month):02}-{int(day):02}{rest}", plain)
    if american := _AMERICAN.fullmatch(text):
        month, day, year, hour, minute, second = (int(part or 0) for part in american.groups()[:6])
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if american.group(7) == "P" else 0)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    if _MAIL.match(text):  # as mail and feeds have it: Fri, 02 Jan 2026 10:00:00 GMT
        moment = parsedate_to_datetime(plain)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _of_number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("is not a time")
    for _, parts, end in UNITS:
        if abs(value) < end:
            moment = value / parts
            if moment > LAST:
                break
            return moment
    raise ValueError("is not a time before the year 2200")
