"""Items and users, read from JSON or JSON Lines.

Invariant: a record that exists is usable. Every fault is a `DataError` that names the file, the line or index, and the
field, so that a person can find it in an editor. Attribute values are text here; how a model sees them is not known.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from trsr_lite.errors import DataError

LINES_SUFFIXES = (".jsonl", ".ndjson")
RESERVED = ("id", "time")
_ISO_8601 = re.compile(
    r"(\d{4}(?:-?\d\d-?\d\d|-?W\d\d(?:-?\d)?))"
    r"(?:\D((?:[01]\d|2[0-3])(?:(:?)\d\d(?:\3\d\d(?:[.,]\d+)?)?)?)(?: ?(Z|[+-]\d\d(?:(:?)\d\d(?:\5\d\d)?)?))?|Z)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Item:
    """Something a user can consume.

    Attributes
    ----------
    id: identifies the item; never shown to a model.
    attributes: name -> text, in the order of the source; at least one.
    time: seconds since the epoch (UTC) of the interaction, or None.
    """

    id: str
    attributes: Mapping[str, str]
    time: float | None = None

    @property
    def title(self) -> str:
        """The attribute `title`, else the first attribute: what a person reads in a list."""
        return self.attributes.get("title") or next(iter(self.attributes.values()))

    @classmethod
    def from_dict(cls, data: Any, where: str = "item") -> Item:
        """Build an item from parsed JSON; raises `DataError` that starts with `where`."""
        if not isinstance(data, Mapping):
            raise DataError(f"{where}: an item must be an object, not {_kind(data)}")
        attributes = {
            str(name): text
            for name, value in data.items()
            if name not in RESERVED and (text := _attribute(value, name, where)).strip()
        }
        if not attributes:
            raise DataError(
                f"{where}: no text: an item needs at least one non-empty attribute besides `id`",
                hint='add one, such as "title"',
            )
        return cls(_identifier(data, where), attributes, parse_time(data.get("time"), f"{where}.time"))


@dataclass(frozen=True)
class User:
    """A user: the history (oldest first), and candidates if the source had some."""

    user_id: str
    history: tuple[Item, ...]
    candidates: tuple[Item, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, where: str = "user", *, sort_history: bool = False) -> User:
        """Build a user from parsed JSON; raises `DataError` that starts with `where`.

        `sort_history` orders the history by time (every item must have one) instead of requiring that order.
        """
        if not isinstance(data, Mapping):
            raise DataError(
                f"{where}: a user must be an object, not {_kind(data)}", hint='see "A user file" in the README'
            )
        user_id = _user_id(data)
        if isinstance(user_id, bool) or not isinstance(user_id, (str, int)):
            raise DataError(f"{where}.user_id: must be text or a whole number, not {_kind(user_id)}")
        place = f"{where}.user_id"
        history = items_from_list(data.get("history"), f"{where}.history")
        _check_repeats(history, f"{where}.history")
        history = _in_order(history, f"{where}.history", sort_history)
        candidates = data.get("candidates")
        return cls(
            _encodable(user_id, place) if isinstance(user_id, str) else _number(user_id, place),
            tuple(history),
            () if candidates is None else tuple(candidates_from_list(candidates, f"{where}.candidates")),
        )

    def appended(self, item: Item | Mapping[str, Any]) -> User:
        """A copy whose history has one more item at its end; raises `DataError` where it does not fit there."""
        place = f"history[{len(self.history)}]"
        history = [*self.history, item if isinstance(item, Item) else Item.from_dict(item, place)]
        _check_repeats(history, "history")
        return replace(self, history=tuple(_in_order(history, "history", sort=False)))


def items_from_list(data: Any, where: str) -> list[Item]:
    """Items of a parsed JSON array that must not be empty."""
    if data is None:
        raise DataError(f"{where}: missing", hint="it must be a list of items, oldest first")
    if isinstance(data, (str, bytes)) or not isinstance(data, Sequence):
        raise DataError(f"{where}: must be a list of items, not {_kind(data)}")
    if not data:
        raise DataError(f"{where}: is empty", hint="at least one item is needed")
    return [Item.from_dict(entry, f"{where}[{index}]") for index, entry in enumerate(data)]


def candidates_from_list(data: Any, where: str = "candidates") -> list[Item]:
    """Candidates of a parsed JSON array; ids must be unique."""
    return unique(items_from_list(data, where), where)


def unique(items: Sequence[Item], where: str) -> list[Item]:
    """The items, provided that no two share an id."""
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        if item.id in first:
            raise DataError(f"{where}[{index}].id: {item.id!r} is already the id of {where}[{first[item.id]}]")
        first[item.id] = index
    return list(items)


def read_user(path: str | Path, *, user_id: str | None = None, sort_history: bool = False) -> User:
    """The one user of a JSON or JSON Lines file (`-` is stdin), or the one called `user_id`."""
    found = _users(path, user_id)
    where, data = next(found)
    user = User.from_dict(data, where, sort_history=sort_history)
    if second := next(found, None):
        hint = "choose with `--user-id`" if user_id is None else "keep one of the two"
        raise DataError(f"{second[0]}: a second user; one is expected", hint=hint)
    return user


def read_users(path: str | Path, *, user_id: str | None = None, sort_history: bool = False) -> Iterator[User]:
    """Every user of a JSON or JSON Lines file, or every one called `user_id`, one at a time; at least one."""
    for where, data in _users(path, user_id):
        yield User.from_dict(data, where, sort_history=sort_history)


def read_candidates(path: str | Path) -> list[Item]:
    """Candidates from a JSON list, an object with `candidates` or `items`, or JSON Lines of items."""
    name, found = documents(path)
    entries = list(found)
    if len(entries) == 1:
        where, data = entries[0]
        if isinstance(data, Mapping) and ("candidates" in data or "items" in data):
            field = "candidates" if "candidates" in data else "items"
            return candidates_from_list(data[field], f"{where}.{field}")
        if not isinstance(data, Mapping):
            return candidates_from_list(data, where)
    if not entries:
        raise DataError(f"{name}: is empty", hint="at least one candidate is needed")
    items = [Item.from_dict(data, where) for where, data in entries]
    return unique(items, name)


def parse_time(value: Any, where: str) -> float | None:
    """Seconds since the epoch (UTC) of ISO 8601 or a number, None for nothing; raises `DataError` with `where`."""
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18:
        return float(value)
    if isinstance(value, str):
        with contextlib.suppress(ValueError, OverflowError):
            return _timestamp(value)
    raise DataError(f"{where}: {_shortly(value)} is not a time", hint="use ISO 8601, such as 2026-01-02T10:00:00Z")


def _timestamp(text: str) -> float:
    """Seconds since the epoch; UTC where no zone is named. Raises `ValueError` or `OverflowError` for anything else.

    `fromisoformat` alone would read `20260102100000` as midnight, and 24:00 from Python 3.14 on.
    """
    found = _ISO_8601.fullmatch(text.strip().upper())
    if found is None:
        raise ValueError(f"not ISO 8601: {text!r}")
    date, clock, _, zone, _ = found.groups()
    return datetime.fromisoformat(f"{date}T{clock or '00'}{zone or 'Z'}").timestamp()


def is_text(text: str) -> bool:
    """Whether it is Unicode: bytes that are not UTF-8 become lone surrogates in a file's line and in an argument."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def documents(path: str | Path) -> tuple[str, Iterable[tuple[str, Any]]]:
    """The source's name and its (place, value) pairs: one for JSON, one a line for JSON Lines."""
    import orjson

    name = "stdin" if str(path) == "-" else str(path)
    if name == "stdin" and sys.stdin is None:
        raise DataError("stdin: is closed")
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    except IsADirectoryError:
        raise DataError(f"{name}: is a folder, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    raw = raw.removeprefix(b"\xef\xbb\xbf")

    def parse(text: bytes, where: str, line: int | None = None) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            place = f"{where}: column {error.colno}" if line else f"{where}: line {error.lineno}, column {error.colno}"
            raise DataError(f"{place}: not valid JSON: {error.msg}") from None

    if not raw.strip():
        return name, ()
    first, _, rest = raw.lstrip().partition(b"\n")
    is_lines = name.lower().endswith(LINES_SUFFIXES) or (bool(rest.strip()) and _is_object(first, orjson.loads))
    if not is_lines:
        return name, ((name, parse(raw, name)),)
    return name, (
        (f"{name}:{number}", parse(line, f"{name}:{number}", number))
        for number, line in enumerate(raw.split(b"\n"), 1)
        if line.strip()
    )


def _is_object(line: bytes, loads: Any) -> bool:
    try:
        return isinstance(loads(line), dict)
    except ValueError:
        return False


def _users(path: str | Path, user_id: str | None) -> Iterator[tuple[str, Any]]:
    """The (place, value) pairs of users; where the one that is asked for is not there, what is no user at all."""
    name, found = documents(path)
    there, no_user = False, None
    for where, data in found:
        if user_id is not None and not isinstance(data, Mapping):
            no_user = no_user or (where, data)
        elif user_id is None or str(_user_id(data)) == user_id:
            there = True
            yield where, data
    if there:
        return
    if no_user is None:
        raise DataError(f"{name}: is empty" if user_id is None else f"{name}: no user called {user_id!r}")
    yield no_user


def _user_id(data: Mapping[str, Any]) -> Any:
    value = data.get("user_id")
    return "" if value is None else value


def _identifier(data: Mapping[str, Any], where: str) -> str:
    value = data.get("id")
    if value is None or value == "":
        raise DataError(f"{where}.id: missing", hint='every item needs an "id"')
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{where}.id: must be text or a whole number, not {_kind(value)}")
    return _encodable(value, f"{where}.id") if isinstance(value, str) else _number(value, f"{where}.id")


def _attribute(value: Any, name: Any, where: str) -> str:
    if isinstance(value, str) and isinstance(name, str) and value.isascii() and name.isascii():
        return value  # nearly all of them; naming the place of millions of values takes longer than reading them
    return _text(value, f"{where}.{_encodable(str(name), where)}")


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _encodable(value, where)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{where}: {value} is not a finite number")
    if isinstance(value, (int, float)):
        return _number(value, where)
    if isinstance(value, (list, tuple)) and not any(isinstance(entry, (list, tuple)) for entry in value):
        return ", ".join(text for entry in value if (text := _text(entry, where)))
    raise DataError(
        f"{where}: must be text, a number or a list of those, not {_kind(value)}",
        hint="give nested values as attributes of their own",
    )


def _number(value: float, where: str) -> str:
    """The digits as written; a whole float without its `.0`."""
    try:
        return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)
    except ValueError:
        raise DataError(f"{where}: a number of too many digits") from None


def _encodable(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: character {error.start} is a lone surrogate, which is not Unicode text") from None
    return text


def _shortly(value: Any) -> str:
    try:
        return repr(str(value)[:40])
    except ValueError:  # an integer of too many digits
        return _kind(value)


def _check_repeats(history: Sequence[Item], where: str) -> None:
    """Reading the same item again is fine; one id with two texts is not."""
    first: dict[str, int] = {}
    for index, item in enumerate(history):
        earlier = first.setdefault(item.id, index)
        if history[earlier].attributes != item.attributes:
            raise DataError(f"{where}[{index}].id: {item.id!r} has another text at {where}[{earlier}]")


def _in_order(history: list[Item], where: str, sort: bool) -> list[Item]:
    times = [item.time for item in history]
    if sort:
        if None in times:
            raise DataError(f"{where}[{times.index(None)}].time: missing, so the history cannot be sorted")
        return sorted(history, key=lambda item: item.time or 0.0)
    known = [time for time in times if time is not None]
    if len(known) == len(times):
        for index in range(1, len(known)):
            if known[index] < known[index - 1]:
                raise DataError(
                    f"{where}[{index}].time: earlier than the item before it; the oldest item comes first",
                    hint="put the oldest first, or let `sort_history` order them by time",
                )
    return history


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)
