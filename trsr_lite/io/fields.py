"""Fields of a record: its id, its time, the names and texts of its attributes.

Invariant: a field means the same in every source. A fault is a `DataError` that begins with the place of the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.io import times, values
from trsr_lite.io.notes import Notes
from trsr_lite.io.values import Unusable, kind

LIKE_TIME = frozenset(
    [
        *("timestamp", "date", "datetime", "ts", "published", "unixreviewtime", "reviewtime", "unix_time"),
        *("created_at", "updated_at", "added_at", "published_at", "clicked_at", "viewed_at", "purchased_at"),
        *("event_time", "unix_timestamp", "review_time", "time_ms", "timestamp_ms"),
    ]
)
"""Names of fields, in small letters, that hold a time, although this package calls it `time`."""


def identifier(data: Mapping[str, Any], where: str) -> str:
    """The id of an item, as text."""
    value = data.get("id")
    if value is None or value == "" or value != value or value in (values.MISSING_ID if isinstance(value, str) else ()):
        raise DataError(f"{where}.id: missing", hint='every item needs an "id"')
    if not isinstance(value, str | int | float) and callable(plain := getattr(value, "tolist", None)):  # numpy's
        value = plain()
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas makes floats of whole numbers where any is missing
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{where}.id: must be text or a whole number, not {kind(value)}")
    return encodable(value, f"{where}.id") if isinstance(value, str) else digits(value, f"{where}.id")


def user_id(data: Mapping[str, Any]) -> Any:
    """The id of a user as it stands there; empty where there is none."""
    value = data.get("user_id")
    return "" if value is None else value


def attribute(name: Any, value: Any) -> tuple[str, str]:
    """The (name, text) of an attribute, which is empty where nothing is; raises `Unusable`."""
    label = name.strip() if isinstance(name, str) else str(name)
    if values.INDEX.fullmatch(label):
        raise Unusable("a column of row numbers")
    if isinstance(value, str) and value.isascii() and label.isascii() and value.strip() not in values.MISSING:
        return label, value  # nearly all of them
    return values.well_formed(label), values.text(value)


def label(name: Any) -> str:
    """An attribute's name for people."""
    return values.well_formed(str(name))[:80]


def time(data: Mapping[str, Any], where: str, notes: Notes) -> float | None:
    """Seconds since the epoch (UTC); None where there is none, or where `notes` say that it could not be read."""
    if "time" not in data:
        for name in data:
            if isinstance(name, str) and name.strip().lower() in LIKE_TIME:
                notes.add(f"{label(name)!r} looks like a time, but is not used as one: call it `time`", where)
        return None
    try:
        moment = parse_time(data["time"], f"{where}.time")
    except DataError as error:
        notes.add(f"time left out: it is no time; {error.hint}", f"{where} {_shortly(data['time'])}")
        return None
    if moment is not None and (unit := times.unit(data["time"])) != "seconds":
        notes.add(f"time read as {unit} since 1970", where)
    return moment


def parse_time(value: Any, where: str) -> float | None:
    """Seconds since the epoch (UTC), None for nothing; raises `DataError` with `where`.

    A number is of seconds, milliseconds, microseconds or nanoseconds, as its size says. A text is a number or a date.
    """
    if value is None or value == "" or value != value or (isinstance(value, str) and value.strip() in values.MISSING):
        return None
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return times.seconds(value)
        except OverflowError:
            said = "is not a time"
        except ValueError as error:
            said = str(error) if str(error).startswith("is not") else "is not a time"
    else:
        said = "is not a time"
    raise DataError(f"{where}: {_shortly(value)} {said}", hint=times.hint(value))


def digits(value: int, where: str) -> str:
    """A whole number as text."""
    try:
        return values.number(value)
    except Unusable as error:
        raise DataError(f"{where}: {error}") from None


def encodable(text: str, where: str) -> str:
    """The text, where UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: character {error.start} is a lone surrogate, which is not Unicode text") from None
    return text


def _shortly(value: Any) -> str:
    try:
        return repr(str(value)[:40])
    except ValueError:  # an integer of too many digits
        return kind(value)
