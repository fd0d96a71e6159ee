"""What users did with the items of a catalog, read from JSON Lines: `{"user_id", "item_id", "time"?, "feedback"?}`.

Invariant: a user's items are in order of time where each has one, else in order of the file. What was disliked or
skipped does not count. A row that cannot be used is left out and counted in the notes. Users are held in memory, as
numbers; their ids are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trsr_lite import feedback
from trsr_lite.errors import DataError
from trsr_lite.io import fields
from trsr_lite.io.documents import documents
from trsr_lite.io.notes import Notes
from trsr_lite.io.values import kind
from trsr_lite.records import Item

Action = tuple[str, float | None, str | None, float | None]  # item, time, feedback, rating


def read(path: str | Path, notes: Notes) -> list[list[str]]:
    """The ids of what each user had and liked, oldest first; raises `DataError` where no row can be used."""
    users: dict[str, list[Action]] = {}
    name, found = documents(path)
    first: DataError | None = None
    for where, data in found:
        try:
            user_id, action = _action(data, where)
        except DataError as error:
            first = first or error
            notes.add(f"interaction left out: {str(error).removeprefix(where).lstrip('.: ')}", where)
        else:
            users.setdefault(user_id, []).append(action)
    if not users:
        raise first or DataError(f"{name}: is empty", hint='one object a line: {"user_id": "u1", "item_id": "n1"}')
    return list(_liked(users.values()))


def _action(data: Any, where: str) -> tuple[str, Action]:
    if not isinstance(data, dict):
        raise DataError(f"{where}: must be an object, not {kind(data)}", hint="one interaction a line, as JSON Lines")
    ids = []
    for name in ("user_id", "item_id"):
        value = data.get(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise DataError(f"{where}.{name}: must be text or a whole number, not {kind(value)}")
        ids.append(str(value))
    time = fields.parse_time(data.get("time"), f"{where}.time")
    said = feedback.word(data.get("feedback"), f"{where}.feedback")
    return ids[0], (ids[1], time, said, feedback.number(data.get("rating"), f"{where}.rating"))


def _liked(users: Any) -> Iterator[list[str]]:
    for actions in users:
        if all(time is not None for _, time, *_ in actions):
            actions.sort(key=lambda action: action[1])
        yield [item.id for item in feedback.liked([_item(action) for action in actions])]


def _item(action: Action) -> Item:
    item_id, time, said, rating = action
    return Item(item_id, {"": ""}, time, said, rating)
