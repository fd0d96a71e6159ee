"""Files of users and candidates, in JSON or JSON Lines.

Invariant: every fault names the file, the line or index, and the field. What was left out is told once for each file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.io import fields
from trsr_lite.io.documents import documents
from trsr_lite.io.notes import Notes
from trsr_lite.records import Item, User, candidates_from_list, unique, usable


def read_user(path: str | Path, *, user_id: str | None = None, sort_history: bool = False) -> User:
    """The one user of a JSON or JSON Lines file (`-` is stdin), or the one called `user_id`."""
    found = _users(path, user_id)
    where, data = next(found)
    notes = Notes()
    user = User.from_dict(data, where, sort_history=sort_history, notes=notes)
    notes.tell(path)
    if second := next(found, None):
        hint = "choose with `--user-id`" if user_id is None else "keep one of the two"
        raise DataError(f"{second[0]}: a second user; one is expected", hint=hint)
    return user


def read_users(path: str | Path, *, user_id: str | None = None, sort_history: bool = False) -> Iterator[User]:
    """Every user of a JSON or JSON Lines file, or every one called `user_id`, one at a time. There is at least one."""
    notes = Notes()
    for where, data in _users(path, user_id):
        yield User.from_dict(data, where, sort_history=sort_history, notes=notes)
    notes.tell(path)


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
        items = unique(usable(entries, notes, candidates=True), name, notes)
    notes.tell(path)
    return items


def _users(path: str | Path, user_id: str | None) -> Iterator[tuple[str, Any]]:
    """The (place, value) pairs of users. If the wanted one is not there, what is no user comes instead."""
    name, found = documents(path)
    there, no_user = False, None
    for where, data in found:
        if user_id is not None and not isinstance(data, Mapping):
            no_user = no_user or (where, data)
        elif user_id is None or str(fields.user_id(data)) == user_id:
            there = True
            yield where, data
    if there:
        return
    if no_user is None:
        raise DataError(f"{name}: is empty" if user_id is None else f"{name}: no user called {user_id!r}")
    yield no_user
