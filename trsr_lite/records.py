"""Items and users, read from JSON or JSON Lines.

Invariant: a record that exists is usable. Every fault is a `DataError` that names the file, the line or index, and the
field, so that a person can find it in an editor; but a bad attribute costs no item, and a bad item no user: what can be
left out is, and is counted in the `Notes` of the reading. Attribute values are text here; how a model sees them is not
known.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.io import encodings, json_text, times, values
from trsr_lite.io.notes import Notes
from trsr_lite.io.values import Unusable
from trsr_lite.io.values import kind as _kind

LINES_SUFFIXES = (".jsonl", ".ndjson")
RESERVED = ("id", "time")
LIKE_TIME = frozenset(
    [
        *(
            "timestamp",
            "date",
            "datetime",
            "ts",
            "published",
            "unixreviewtime",
            "reviewtime",
            "time_ms",
            "timestamp_ms",
        ),
        *("created_at", "updated_at", "added_at", "published_at", "clicked_at", "viewed_at", "purchased_at"),
        *("event_time", "unix_time", "unix_timestamp", "review_time"),
    ]
)
"""Names of fields, in small letters, that hold a time, although this package calls it `time`."""
_ROUNDED = re.compile(r"\d\.\d+E\+\d+")
TOLD = 1000  # reasons that are remembered, so that a program that asks again and again is told once
_told: set[tuple[str, str]] = set()
logger = logging.getLogger(__name__)


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
    def from_dict(cls, data: Any, where: str = "item", notes: Notes | None = None) -> Item:
        """Build an item from parsed JSON; raises `DataError` that starts with `where`.

        Attributes that are no text, and a time that is none, are left out and counted in `notes`.
        """
        if not isinstance(data, Mapping):
            raise DataError(f"{where}: an item must be an object, not {_kind(data)}")
        item_id = _identifier(data, where)
        notes = Notes() if notes is None else notes
        if _ROUNDED.fullmatch(item_id):
            notes.add("id that a spreadsheet seems to have rounded: several may have become one", where)
        attributes: dict[str, str] = {}
        faults: list[str] = []
        unseen = False
        for name, value in data.items():
            if name in RESERVED:
                continue
            try:
                label, text = _attribute(name, value)
            except Unusable as error:
                faults.append(f".{_label(name)}: {error}")
                notes.add(f"attribute {_label(name)!r} left out: {error}", where)
                continue
            if not values.is_visible(text):
                unseen = unseen or bool(text.strip())
            elif label == name or label not in attributes:
                attributes[label] = text
        if not attributes:
            raise DataError(
                f"{where}: no {'visible ' * unseen}text: an item needs at least one non-empty attribute besides `id`"
                + (f" ({where}{faults[0]})" if faults else ""),
                hint='add one, such as "title"',
            )
        return cls(item_id, attributes, _time(data, where, notes))


@dataclass(frozen=True)
class User:
    """A user: the history (oldest first), and candidates if the source had some."""

    user_id: str
    history: tuple[Item, ...]
    candidates: tuple[Item, ...] = ()

    @classmethod
    def from_dict(
        cls, data: Any, where: str = "user", *, sort_history: bool = False, notes: Notes | None = None
    ) -> User:
        """Build a user from parsed JSON; raises `DataError` that starts with `where`.

        `sort_history` orders the history by time (every item must have one) instead of requiring that order. Items that
        cannot be used are left out and counted in `notes`, unless none is left.
        """
        if notes is None:
            notes = Notes()
            user = cls.from_dict(data, where, sort_history=sort_history, notes=notes)
            tell(notes, where)
            return user
        if not isinstance(data, Mapping):
            raise DataError(
                f"{where}: a user must be an object, not {_kind(data)}", hint='see "A user file" in the README'
            )
        user_id = _user_id(data)
        if isinstance(user_id, bool) or not isinstance(user_id, (str, int)):
            raise DataError(f"{where}.user_id: must be text or a whole number, not {_kind(user_id)}")
        place = f"{where}.user_id"
        history = items_from_list(data.get("history"), f"{where}.history", notes)
        history = _in_order(history, f"{where}.history", sort_history)
        candidates = data.get("candidates")
        return cls(
            _encodable(user_id, place) if isinstance(user_id, str) else _digits(user_id, place),
            tuple(history),
            () if candidates is None else tuple(candidates_from_list(candidates, f"{where}.candidates", notes)),
        )

    def appended(self, item: Item | Mapping[str, Any]) -> User:
        """A copy whose history has one more item at its end; raises `DataError` where it does not fit there."""
        place = f"history[{len(self.history)}]"
        history = [*self.history, item if isinstance(item, Item) else Item.from_dict(item, place)]
        return replace(self, history=tuple(_in_order(history, "history", sort=False)))


def items_from_list(data: Any, where: str, notes: Notes | None = None) -> list[Item]:
    """Items of a parsed JSON array that must not be empty; those that cannot be used are counted in `notes`.

    Raises the fault of the first where none can be used.
    """
    if data is None:
        raise DataError(f"{where}: missing", hint="it must be a list of items, oldest first")
    if isinstance(data, (str, bytes)) or not isinstance(data, Sequence):
        raise DataError(f"{where}: must be a list of items, not {_kind(data)}")
    if not data:
        raise DataError(f"{where}: is empty", hint="at least one item is needed")
    return _usable(
        ((f"{where}[{index}]", entry) for index, entry in enumerate(data)), Notes() if notes is None else notes
    )


def candidates_from_list(data: Any, where: str = "candidates", notes: Notes | None = None) -> list[Item]:
    """Candidates of a parsed JSON array; of items with one id, the last counts."""
    if notes is None:
        notes = Notes()
        items = candidates_from_list(data, where, notes)
        tell(notes, where)
        return items
    return unique(items_from_list(data, where, notes), where, notes)


def unique(items: Sequence[Item], where: str, notes: Notes | None = None) -> list[Item]:
    """The items, each id once: in its first place, with its last text; what came before it is counted in `notes`."""
    if notes is None:
        notes = Notes()
        items = unique(items, where, notes)
        tell(notes, where)
        return items
    found: dict[str, Item] = {}
    for index, item in enumerate(items):
        if item.id in found:
            same = found[item.id].attributes == item.attributes
            notes.add(
                f"id that came before{'' if same else ' with another text, of which the last counts'}",
                f"{where}[{index}]",
            )
        found[item.id] = item
    return list(found.values())


def _usable(entries: Iterable[tuple[str, Any]], notes: Notes) -> list[Item]:
    found: list[Item] = []
    first: DataError | None = None
    for place, entry in entries:
        try:
            found.append(Item.from_dict(entry, place, notes))
        except DataError as error:
            first = first or error
            said = str(error).removeprefix(place).lstrip(".: ").partition(" (")[0]  # what follows names the place
            notes.add(f"item left out: {said}", place)
    if first and not found:
        raise first
    return found


def read_user(path: str | Path, *, user_id: str | None = None, sort_history: bool = False) -> User:
    """The one user of a JSON or JSON Lines file (`-` is stdin), or the one called `user_id`."""
    found = _users(path, user_id)
    where, data = next(found)
    notes = Notes()
    user = User.from_dict(data, where, sort_history=sort_history, notes=notes)
    tell(notes, path)
    if second := next(found, None):
        hint = "choose with `--user-id`" if user_id is None else "keep one of the two"
        raise DataError(f"{second[0]}: a second user; one is expected", hint=hint)
    return user


def read_users(path: str | Path, *, user_id: str | None = None, sort_history: bool = False) -> Iterator[User]:
    """Every user of a JSON or JSON Lines file, or every one called `user_id`, one at a time; at least one."""
    notes = Notes()
    for where, data in _users(path, user_id):
        yield User.from_dict(data, where, sort_history=sort_history, notes=notes)
    tell(notes, path)


def tell(notes: Notes, source: str | Path) -> None:
    """Say what was passed over while something was read, each reason once for a source."""
    name = "stdin" if str(source) == "-" else str(source)
    for reason, line in zip(notes.reasons(), notes.lines(), strict=True):
        if (name, reason) not in _told:
            if len(_told) >= TOLD:
                _told.clear()
            _told.add((name, reason))
            logger.warning("%s: %s", name, line)


def read_candidates(path: str | Path) -> list[Item]:
    """Candidates from a JSON list, an object with `candidates` or `items`, or JSON Lines of items."""
    name, found = documents(path)
    entries, notes = list(found), Notes()
    if not entries:
        raise DataError(f"{name}: is empty", hint="at least one candidate is needed")
    where, data = entries[0]
    if len(entries) == 1 and isinstance(data, Mapping) and ("candidates" in data or "items" in data):
        field = "candidates" if "candidates" in data else "items"
        items = candidates_from_list(data[field], f"{where}.{field}", notes)
    elif len(entries) == 1 and not isinstance(data, Mapping):
        items = candidates_from_list(data, where, notes)
    else:
        items = unique(_usable(entries, notes), name, notes)
    tell(notes, path)
    return items


def parse_time(value: Any, where: str) -> float | None:
    """Seconds since the epoch (UTC), None for nothing; raises `DataError` with `where`.

    A number is of seconds, milliseconds, microseconds or nanoseconds, as its size says; a text is a number or a date.
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
    raw = encodings.plain(raw)

    def parse(text: bytes, where: str, line: int | None = None) -> Any:
        try:
            return json_text.loads(text)
        except orjson.JSONDecodeError as error:
            place = f"{where}: column {error.colno}" if line else f"{where}: line {error.lineno}, column {error.colno}"
            raise DataError(f"{place}: not valid JSON: {error.msg}", hint=encodings.hint(text)) from None

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
    if value is None or value == "" or value != value or value in (values.MISSING_ID if isinstance(value, str) else ()):
        raise DataError(f"{where}.id: missing", hint='every item needs an "id"')
    if not isinstance(value, str | int | float) and callable(plain := getattr(value, "tolist", None)):  # numpy's
        value = plain()
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas makes floats of whole numbers where any is missing
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{where}.id: must be text or a whole number, not {_kind(value)}")
    return _encodable(value, f"{where}.id") if isinstance(value, str) else _digits(value, f"{where}.id")


def _attribute(name: Any, value: Any) -> tuple[str, str]:
    """The (name, text) of an attribute, which is empty where nothing is; raises `Unusable`."""
    label = name.strip() if isinstance(name, str) else str(name)
    if values.INDEX.fullmatch(label):
        raise Unusable("a column of row numbers")
    if isinstance(value, str) and value.isascii() and label.isascii() and value.strip() not in values.MISSING:
        return label, value  # nearly all of them
    return values.well_formed(label), values.text(value)


def _label(name: Any) -> str:
    """An attribute's name for people."""
    return values.well_formed(str(name))[:80]


def _time(data: Mapping[str, Any], where: str, notes: Notes) -> float | None:
    if "time" not in data:
        for name in data:
            if isinstance(name, str) and name.strip().lower() in LIKE_TIME:
                notes.add(f"{_label(name)!r} looks like a time, but is not used as one: call it `time`", where)
        return None
    try:
        moment = parse_time(data["time"], f"{where}.time")
    except DataError as error:
        notes.add(f"time left out: it is no time; {error.hint}", f"{where} {_shortly(data['time'])}")
        return None
    if moment is not None and (unit := times.unit(data["time"])) != "seconds":
        notes.add(f"time read as {unit} since 1970", where)
    return moment


def _digits(value: int, where: str) -> str:
    try:
        return values.number(value)
    except Unusable as error:
        raise DataError(f"{where}: {error}") from None


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
