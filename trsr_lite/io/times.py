"""Times as text, read alike on every Python.

Invariant: ISO 8601 as Python 3.11 reads it. 3.10 reads less of it, and a log must not mean one thing here and another
there.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_DATE = r"(\d{4})(?:(-?)(\d\d)\2(\d\d)|(-?)W(\d\d)(?:\5(\d))?)"
_CLOCK = r"(\d\d)(?:(:?)(\d\d)(?:\9(\d\d)(?:[.,](\d+))?)?)?"
_ZONE = r" ?(?:[zZ]|([+-])(\d\d)(?:(:?)(\d\d)(?:\15(\d\d))?)?)"
_TIME = re.compile(rf"{_DATE}(?:\D{_CLOCK}(?:{_ZONE})?|[zZ])?", re.ASCII)


def timestamp(text: str) -> float:
    """Seconds since 1970; UTC where no zone is named. Raises `ValueError` or `OverflowError` where it is no time."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not ISO 8601: {text!r}")
    year, _, month, day, _, week, weekday, *rest = found.groups(default="")
    hour, _, minute, second, fraction, sign, zone_hour, _, zone_minute, zone_second = rest
    if week:
        date = datetime.fromisocalendar(int(year), int(week), int(weekday or 1))
    else:
        date = datetime(int(year), int(month), int(day))
    offset = timedelta(hours=int(zone_hour or 0), minutes=int(zone_minute or 0), seconds=int(zone_second or 0))
    moment = date.replace(
        hour=int(hour or 0),
        minute=int(minute or 0),
        second=int(second or 0),
        microsecond=int(fraction[:6].ljust(6, "0")),
        tzinfo=timezone(-offset if sign == "-" else offset),
    )
    return moment.timestamp()
