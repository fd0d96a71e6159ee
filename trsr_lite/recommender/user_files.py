"""Files of users and candidates: JSON or JSON Lines, a table, or the export of another program.

Invariant: what is no JSON of ours is read by `imports`, which says what it took it for. Every fault names the file, the
line or index, and the field. What was left out is told once for each file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trsr_lite.errors import DataError
from trsr_lite.io import encodings, fields
from trsr_lite.io.documents import LINES_SUFFIXES, documents
from trsr_lite.io.notes import Notes
from trsr_lite.records import Item, User, candidates_from_list, unique, usable

if TYPE_CHECKING:
    from trsr_lite.imports.collect import Collected

HEAD = 1 << 16  # bytes that show whether a file is ours


def read_user(
    path: str | Path,
    *,
    user_id: str | None = None,
    sort_history: bool = False,
    columns: Mapping[str, str] | None = None,
) -> User:
    """The one user of a file (`-` is stdin), or the one called `user_id`.

    The file is JSON or JSON Lines with a `history`, or a table or an export of which each row is an item: CSV, TSV,
    JSON, JSON Lines, Parquet, or a format of `trsr-lite import`. `columns` names columns of a table, such as
    `{"title": "Headline"}`; the others are guessed, and that is said.
    """
    if is_table(path, columns, b'"history"'):
        return _imported(path, columns, user_id=user_id).user()
    found = _users(path, user_id)
    where, data = next(found)
    notes = Notes()
    user = User.from_dict(data, where, sort_history=sort_history, notes=notes)
    notes.tell(path)
    if second := next(found, None):
        hint = "choose with `--user-id`" if user_id is None else "keep one of the two"
        raise DataError(f"{second[0]}: a second user; one is expected", hint=hint)
    return user


def read_users(
    path: str | Path,
    *,
    user_id: str | None = None,
    sort_history: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Iterator[User]:
    """Every user of a JSON or JSON Lines file, or every one called `user_id`, one at a time. There is at least one.

    A table or an export has one user (see `read_user`).
    """
    if is_table(path, columns, b'"history"'):
        yield _imported(path, columns, user_id=user_id).user()
        return
    notes = Notes()
    for where, data in _users(path, user_id):
        yield User.from_dict(data, where, sort_history=sort_history, notes=notes)
    notes.tell(path)


def read_candidates(path: str | Path, columns: Mapping[str, str] | None = None) -> list[Item]:
    """Candidates from a JSON list, an object with `candidates` or `items`, or JSON Lines of items.

    Or from a table or an export, of which each row is a candidate; for `columns` see `read_user`.
    """
    if is_table(path, columns, b'"id"'):
        return _imported(path, columns, wanted=True).items()
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


def is_table(path: str | Path, columns: Mapping[str, str] | None = None, ours: bytes = b'"history"') -> bool:
    """Whether a file is read by `imports`: it is no JSON, or JSON without the name that ours has."""
    if columns or str(path) == "-":
        return bool(columns)
    try:
        with Path(path).open("rb") as file:
            head = encodings.plain(file.read(HEAD)).lstrip()
    except (OSError, ValueError):
        return False  # which is said where it is read
    if head[:1] in (b"[", b"{", b""):
        return ours not in head and head[:1] != b"" and _is_known(path)
    return _suffix(path) not in (".json", *LINES_SUFFIXES)  # else it is broken JSON, and its fault is named


def _is_known(path: str | Path) -> bool:
    """Whether JSON is of a format that `imports` knows."""
    from trsr_lite.imports import registry
    from trsr_lite.imports.source import opened

    with opened(path) as source:
        return registry.likely(source) is not None


def _imported(
    path: str | Path, columns: Mapping[str, str] | None, *, wanted: bool = False, user_id: str | None = None
) -> Collected:
    """What `imports` reads of one file, all of it history or all of it candidates."""
    from trsr_lite.imports import generic
    from trsr_lite.imports.read import ImportOptions, read

    kind = "candidates" if wanted else None
    options = ImportOptions(newest=0, read_as=kind, columns=dict(columns) if columns else None)
    done = read([path], options=options, user_id=user_id)
    if done.files[0].format is not generic.FORMAT:
        done.found.notes.say(f"read as {done.files[0].format.program}")
    for note in done.found.notes.found.values():
        note.places = [place for place in note.places if place != str(path)]  # which begins the line anyway
    done.found.notes.tell(path)
    return done.found


def _suffix(path: str | Path) -> str:
    return Path(path).suffix.lower()


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
