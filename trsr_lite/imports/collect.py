"""Entries of exports to a user: one item for each thing, oldest first, and what is still wanted as candidates.

Invariant: every entry that was read is an item of the result or is counted in its notes. An item that was met several
times stands where it was met last, with what each of its entries says.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.imports import dates, ratings
from trsr_lite.imports.entry import Entry
from trsr_lite.io import times, values
from trsr_lite.io.notes import Notes
from trsr_lite.records import Item, User

LONGEST = 2000  # characters of one text that are kept; a model sees far fewer
_ID = 120  # characters of an id that is made of a title


@dataclass
class Collected:
    """What came of one or several files.

    Attributes
    ----------
    history: items as a user file has them, oldest first.
    candidates: items that are still wanted, in the order of the files.
    rating_scale: the worst and the best rating, where anything was rated.
    domain: what the items are.
    notes: what was left out or read otherwise than it looks, by reason.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    rating_scale: tuple[float, float] | None = None
    domain: str = "item"
    notes: Notes = field(default_factory=Notes)

    def user(self) -> User:
        """The user that the file would hold; raises `DataError` where there is no history."""
        return User.from_dict(self.to_dict(), "export")

    def items(self) -> list[Item]:
        """The candidates."""
        return [Item.from_dict(one, f"candidates[{number}]") for number, one in enumerate(self.candidates)]

    def to_dict(self, *, candidates: bool = True) -> dict[str, Any]:
        """What a user file holds."""
        scale = {"rating_scale": [_short(one) for one in self.rating_scale]} if self.rating_scale else {}
        wanted = {"candidates": self.candidates} if candidates and self.candidates else {}
        return {"user_id": "", "domain": self.domain, **scale, "history": self.history, **wanted}


def ordered(
    entries: Iterable[Entry], notes: Notes, *, newest_first: bool, where: str, day_first: bool | None = None
) -> list[Entry]:
    """The entries of one file, oldest first; those without a time come first, in the order of the file.

    `day_first` says how dates such as 05/06/2026 are meant; None lets all dates of the file tell.
    """
    found = _dated(list(entries), notes, day_first)
    known = [one.time for one in found if isinstance(one.time, float)]
    if len(known) > 1 and known != sorted(known):
        turned = known == sorted(known, reverse=True)
        if not newest_first:
            notes.say("newest first: turned round" if turned else "dates in no order: sorted", where)
        newest_first = newest_first or turned
    if newest_first:
        found.reverse()
    undated = [one for one in found if one.time is None]
    missed = [one for one in undated if not one.wanted]
    if missed and known:
        notes.add("entry without a date: put before all that have one", missed[0].where, len(missed))
    elif len(missed) > 1:
        order = "newest first" if newest_first else "oldest first"
        notes.say(f"no dates: taken to be in order, {order}", where)
    return undated + sorted((one for one in found if one.time is not None), key=_time)


def items(entries: Iterable[Entry], notes: Notes) -> Iterator[dict[str, Any]]:
    """Each entry as an item, one at a time and in no order; a date that only the whole file could tell is left out."""
    for entry in entries:
        one = _cleaned(entry)
        if not values.is_visible(one.title):
            notes.add("entry left out: no title", one.where)
        else:
            yield _item(one, None)


def collect(entries: Iterable[Entry], notes: Notes, *, newest: int = 0) -> Collected:
    """One user of entries that are in order; the `newest` items of the history are kept, or all with 0."""
    history: dict[str, Entry] = {}
    wanted: dict[str, Entry] = {}
    for entry in entries:
        one = _cleaned(entry)
        if not values.is_visible(one.title):
            notes.add("entry left out: no title", one.where)
            continue
        kind = wanted if one.wanted else history
        if one.id in kind:
            notes.add("entry that came before: one item, at its newest date", one.where)
            one = _together(kind.pop(one.id), one)
        kind[one.id] = one
    for name in wanted.keys() & history.keys():
        notes.add("candidate left out: it is in the history", wanted.pop(name).where)
    kept = sorted(history.values(), key=_time)  # several files, each in order
    if newest and len(kept) > newest:
        notes.add(f"item left out: older than the newest {newest:,}; `--newest 0` keeps all", count=len(kept) - newest)
        kept = kept[-newest:]
    found = Collected(candidates=[_item(one, None) for one in wanted.values()], notes=notes)
    rated = [one for one in kept if one.rating is not None]
    given = [one.rating for one in rated if one.rating is not None]
    found.rating_scale = ratings.scale(given)
    numbers = [rating.value for rating in given]
    if given and found.rating_scale is None:
        found.rating_scale, numbers = (0.0, 1.0), ratings.shares(given)
        notes.add("rating of several scales: written as a share of its best", count=len(given))
    shown = {one.id: number for one, number in zip(rated, numbers, strict=True)}
    found.history = [_item(one, shown.get(one.id)) for one in kept]
    return found


def _dated(entries: Sequence[Entry], notes: Notes, day_first: bool | None) -> list[Entry]:
    """The entries with a time or with none: dates of numbers are read as they all together tell."""
    unclear = [one for one in entries if isinstance(one.time, str)]
    if day_first is None:
        day_first = dates.order(str(one.time) for one in unclear)
    if unclear and day_first is None:
        notes.add(
            "date left out: day and month cannot be told apart; `--dates day-first` or `month-first` says",
            f"{unclear[0].where} {str(unclear[0].time)!r}",
            len(unclear),
        )
    found = []
    for one in entries:
        time = one.time
        if isinstance(time, str):
            time = None if day_first is None else dates.of_numbers(time, day_first=day_first)
        if time is not None and not -times.LAST < time <= times.LAST:
            notes.add("date left out: beyond the year 2200", one.where)
            time = None
        found.append(one if time == one.time else replace(one, time=time))
    return found


def _cleaned(entry: Entry) -> Entry:
    """The entry with texts on one line, without entities, and with an id."""
    title = _text(entry.title)
    attributes = {name: _text(value) for name, value in entry.attributes.items()}
    name = entry.id or _identity(title, attributes.get("author", ""))
    return replace(
        entry, title=title, attributes={n: t for n, t in attributes.items() if values.is_visible(t)}, id=name
    )


def _text(value: Any) -> str:
    try:
        text = values.text(value)
    except values.Unusable:
        return ""
    return " ".join((html.unescape(text) if "&" in text else text).split())[:LONGEST]


def _identity(title: str, author: str) -> str:
    """An id made of a title: letters' case and spaces do not count."""
    said = f"{title} · {author}" if author else title
    said = " ".join(said.casefold().split())
    if len(said) <= _ID:
        return said
    return f"{said[:_ID]}…{hashlib.blake2b(said.encode(errors='replace'), digest_size=4).hexdigest()}"


def _together(earlier: Entry, later: Entry) -> Entry:
    """Two entries of one thing: what the later says counts, and what it leaves open the earlier fills."""
    return replace(
        later,
        time=later.time if later.time is not None else earlier.time,
        attributes={**earlier.attributes, **later.attributes},
        rating=later.rating or earlier.rating,
        feedback=later.feedback or earlier.feedback,
    )


def _time(entry: Entry) -> float:
    return entry.time if isinstance(entry.time, float) else float("-inf")


def _item(entry: Entry, rating: float | None) -> dict[str, Any]:
    data: dict[str, Any] = {"id": entry.id, "title": entry.title, **entry.attributes}
    if isinstance(entry.time, float):
        data["time"] = datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if rating is not None:
        data["rating"] = _short(rating)
    if entry.feedback:
        data["feedback"] = entry.feedback
    return data


def _short(number: float) -> float:
    """Without a fraction where there is none, for people who read the file."""
    return int(number) if number == int(number) else round(number, 3)


def refuse_empty(found: Collected, names: str) -> None:
    """Raise `DataError` where nothing at all could be read."""
    if not found.history and not found.candidates:
        said = "; ".join(found.notes.lines()[:1])
        raise DataError(f"{names}: nothing in it can be used" + (f": {said}" if said else ""))
