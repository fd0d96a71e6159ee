"""Items and users, made from parsed JSON.

Invariant: a record that exists is usable. A fault is a `DataError` that names the place and the field. What can be left
out is, and the notes count it: a bad attribute costs no item, and a bad item no user. An attribute is text here; this
module does not know how a model sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trsr_lite import feedback as opinion
from trsr_lite.domains import domain as domains
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.io import fields, values
from trsr_lite.io.notes import Notes
from trsr_lite.io.values import Unusable, kind

RESERVED = ("id", "time")
_ROUNDED = re.compile(r"\d\.\d+E\+\d+")


@dataclass(frozen=True)
class Item:
    """Something a user can consume.

    Attributes
    ----------
    id: identifies the item; never shown to a model.
    attributes: name -> text, in the order of the source; at least one.
    time: seconds since the epoch (UTC) of the interaction, or None.
    feedback: `like`, `dislike` or `skip`: what the user thought of it; None where nothing is said.
    rating: a number that the user gave it, or None; more is better. `User.rating_scale` says on which scale.

    Raises `DataError` for another feedback, and for a rating that is no finite number.
    """

    id: str
    attributes: Mapping[str, str]
    time: float | None = None
    feedback: str | None = None
    rating: float | None = None

    def __post_init__(self) -> None:
        if self.feedback is not None:
            object.__setattr__(self, "feedback", opinion.word(self.feedback, f"item {self.id!r}: feedback"))
        if self.rating is not None:
            object.__setattr__(self, "rating", opinion.number(self.rating, f"item {self.id!r}: rating"))

    @property
    def title(self) -> str:
        """The attribute `title`, else the first attribute: what a person reads in a list."""
        return self.attributes.get("title") or next(iter(self.attributes.values()))

    @classmethod
    def from_dict(cls, data: Any, where: str = "item", notes: Notes | None = None, *, candidate: bool = False) -> Item:
        """Build an item from parsed JSON; raises `DataError` that starts with `where`.

        Attributes that are no text, and a time that is none, are left out and counted in `notes`. Nobody has had a
        `candidate` yet, so that what it calls its rating is one of its attributes.
        """
        if not isinstance(data, Mapping):
            raise DataError(f"{where}: an item must be an object, not {kind(data)}")
        item_id = fields.identifier(data, where)
        notes = Notes() if notes is None else notes
        if _ROUNDED.fullmatch(item_id):
            notes.add("id that a spreadsheet seems to have rounded: several may have become one", where)
        said, rating = (None, None) if candidate else _said(data, where, notes)
        attributes: dict[str, str] = {}
        faults: list[str] = []
        unseen = False
        for name, value in data.items():
            if name in RESERVED or (name == "feedback" and not candidate) or (name == "rating" and rating is not None):
                continue
            try:
                label, text = fields.attribute(name, value)
            except Unusable as error:
                faults.append(f".{fields.label(name)}: {error}")
                notes.add(f"attribute {fields.label(name)!r} left out: {error}", where)
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
        return cls(item_id, attributes, fields.time(data, where, notes), said, rating)


@dataclass(frozen=True)
class User:
    """A user: the history (oldest first), and candidates if the source had some.

    `domain` is what the items are, where the source says so (see `Settings.domain`). `rating_scale` has the worst and
    the best rating of the history; with it, ratings become feedback here. Raises `DataError` where it is no scale, or
    where a rating lies outside.
    """

    user_id: str
    history: tuple[Item, ...]
    candidates: tuple[Item, ...] = ()
    rating_scale: tuple[float, float] | None = None
    domain: str | None = None

    def __post_init__(self) -> None:
        limits = opinion.scale(self.rating_scale, "rating_scale")
        if limits is not None:
            judged = tuple(_judged(item, limits, f"history[{place}]") for place, item in enumerate(self.history))
            object.__setattr__(self, "rating_scale", limits)
            object.__setattr__(self, "history", judged)

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
            notes.tell(where)
            return user
        if not isinstance(data, Mapping):
            raise DataError(
                f"{where}: a user must be an object, not {kind(data)}", hint='see "A user file" in the README'
            )
        user_id = fields.user_id(data)
        if isinstance(user_id, bool) or not isinstance(user_id, (str, int)):
            raise DataError(f"{where}.user_id: must be text or a whole number, not {kind(user_id)}")
        place = f"{where}.user_id"
        limits = opinion.scale(data.get("rating_scale"), f"{where}.rating_scale")
        history = items_from_list(data.get("history"), f"{where}.history", notes, limits=limits)
        history = _in_order(history, f"{where}.history", sort_history)
        candidates = data.get("candidates")
        return cls(
            fields.encodable(user_id, place) if isinstance(user_id, str) else fields.digits(user_id, place),
            tuple(history),
            () if candidates is None else tuple(candidates_from_list(candidates, f"{where}.candidates", notes)),
            limits,
            _domain(data.get("domain"), f"{where}.domain", notes),
        )

    def appended(
        self, item: Item | Mapping[str, Any], *, feedback: str | None = None, rating: float | None = None
    ) -> User:
        """A copy whose history has one more item at its end, with this feedback or rating where one is given.

        Raises `DataError` where the item does not fit there, or for what is no feedback.
        """
        place = f"history[{len(self.history)}]"
        new = item if isinstance(item, Item) else Item.from_dict(item, place)
        if feedback is not None:
            new = replace(new, feedback=opinion.word(feedback, f"{place}.feedback"))
        if rating is not None:
            said = None if feedback is None else new.feedback
            new = replace(new, feedback=said, rating=opinion.number(rating, f"{place}.rating"))
        return replace(self, history=tuple(_in_order([*self.history, new], "history", sort=False)))


def items_from_list(
    data: Any,
    where: str,
    notes: Notes | None = None,
    *,
    candidates: bool = False,
    limits: opinion.Scale | None = None,
) -> list[Item]:
    """Items of a parsed JSON array that must not be empty; those that cannot be used are counted in `notes`.

    Nobody has had `candidates` yet (see `Item.from_dict`); ratings of others lie within `limits`. Raises the fault of
    the first where none can be used.
    """
    if data is None:
        raise DataError(f"{where}: missing", hint="it must be a list of items, oldest first")
    if isinstance(data, (str, bytes)) or not isinstance(data, Sequence):
        raise DataError(f"{where}: must be a list of items, not {kind(data)}")
    if not data:
        raise DataError(f"{where}: is empty", hint="at least one item is needed")
    entries = ((f"{where}[{index}]", entry) for index, entry in enumerate(data))
    return usable(entries, Notes() if notes is None else notes, candidates=candidates, limits=limits)


def candidates_from_list(data: Any, where: str = "candidates", notes: Notes | None = None) -> list[Item]:
    """Candidates of a parsed JSON array; of items with one id, the last counts."""
    if notes is None:
        notes = Notes()
        items = candidates_from_list(data, where, notes)
        notes.tell(where)
        return items
    return unique(items_from_list(data, where, notes, candidates=True), where, notes)


def unique(items: Sequence[Item], where: str, notes: Notes | None = None) -> list[Item]:
    """The items, each id once: in its first place, with its last text; what came before it is counted in `notes`."""
    if notes is None:
        notes = Notes()
        items = unique(items, where, notes)
        notes.tell(where)
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


def usable(
    entries: Iterable[tuple[str, Any]], notes: Notes, *, candidates: bool, limits: opinion.Scale | None = None
) -> list[Item]:
    """Items of (place, parsed JSON) pairs; those that cannot be used are counted in `notes`, unless none is left."""
    found: list[Item] = []
    first: DataError | None = None
    for place, entry in entries:
        try:
            item = Item.from_dict(entry, place, notes, candidate=candidates)
            found.append(item if limits is None else _judged(item, limits, place))
        except DataError as error:
            first = first or error
            said = str(error).removeprefix(place).lstrip(".: ").partition(" (")[0]  # what follows names the place
            notes.add(f"item left out: {said}", place)
    if first and not found:
        raise first
    return found


def _domain(value: Any, where: str, notes: Notes) -> str | None:
    """A domain by name, or with its words; one that nobody knows is left out."""
    if value is None or value == "":
        return None
    try:
        return domains.of(value)
    except SettingsError as error:
        notes.add(f"domain left out: {error}", where)
        return None


def _said(data: Mapping[str, Any], where: str, notes: Notes) -> tuple[str | None, float | None]:
    """Feedback and rating; text that is no number is not taken for one: films are rated `PG-13`."""
    rating = data.get("rating")
    if rating is not None and not values.is_number(rating):
        if not isinstance(rating, str) or (rating.strip() and rating.strip() not in values.MISSING):
            notes.add(f"rating {opinion.shown(rating)} is read as an attribute: a rating is a number", where)
        rating = None
    return opinion.word(data.get("feedback"), f"{where}.feedback"), opinion.number(rating, f"{where}.rating")


def _judged(item: Item, limits: opinion.Scale, where: str) -> Item:
    """The item with the feedback that its rating on a known scale is, unless it has its own."""
    if item.rating is None:
        return item
    found = opinion.of_rating(item.rating, limits, f"{where}.rating")
    return replace(item, feedback=item.feedback or found)


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
