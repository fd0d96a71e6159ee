"""The file in which an assistant remembers what a person read: an ordinary user file.

Invariant: the file is whole at any moment, and readable by its owner alone where this program made it. Members and
attributes that are not known here stay as they are. Two servers with one file lose nothing of each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.errors import DataError, TrsrError
from trsr_lite.io import files, json_text, lock
from trsr_lite.io.values import is_visible

MOST = 10_000
"""Most items that are kept; the oldest go first."""


class HistoryFile:
    """The history of one person, in a file that need not exist yet."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self) -> dict[str, Any]:
        """The user as parsed JSON; one without history where there is no file. Raises `DataError`."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {"user_id": "me", "history": []}
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        try:
            user = json_text.loads(content) if content.strip() else {"user_id": "me", "history": []}
        except orjson.JSONDecodeError as error:
            raise DataError(f"{self.path}: line {error.lineno}: not valid JSON: {error.msg}") from error
        if not isinstance(user, dict) or not isinstance(user.get("history"), list):
            raise DataError(f"{self.path}: is no user file", hint='it must be an object with a "history"')
        return user

    def append(self, item: Mapping[str, Any]) -> int:
        """Add the newest item; returns how many there are now."""

        def changed(history: list[Any]) -> list[Any]:
            return [*history, {"id": _free(history), **item}][-MOST:]

        return len(self._change(changed))

    def remove(self, title: str) -> int:
        """Take out every item with this title, whatever its case; returns how many went."""
        removed = 0
        wanted = title.strip().casefold()

        def changed(history: list[Any]) -> list[Any]:
            nonlocal removed
            left = [item for item in history if _title(item).strip().casefold() != wanted]
            removed = len(history) - len(left)
            return left

        if not is_visible(title):
            raise DataError("title is empty")
        self._change(changed)
        return removed

    def clear(self) -> int:
        """Take out everything; returns how many items there were."""
        count = 0

        def changed(history: list[Any]) -> list[Any]:
            nonlocal count
            count = len(history)
            return []

        self._change(changed)
        return count

    def _change(self, change: Callable[[list[Any]], list[Any]]) -> list[Any]:
        with self._alone():
            user = self.read()
            user["history"] = change(user["history"])
            mode = self.path.stat().st_mode if self.path.exists() else 0o600
            part = files.beside(self.path)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
                file.write(orjson.dumps(user, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            part.chmod(mode)
            part.replace(self.path)
            history: list[Any] = user["history"]
            return history

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self.path.parent.is_dir():  # a lock would make it
            raise TrsrError(f"{self.path}: cannot be written: there is no such folder")
        try:
            with lock.waiting(self.path.with_name(f".{self.path.name}.lock"), lambda: None):
                yield
        except OSError as error:
            raise TrsrError(f"{self.path}: cannot be written: {error.strerror}") from error


def _title(item: Any) -> str:
    if not isinstance(item, Mapping):
        return ""
    return str(item.get("title") or next((value for name, value in item.items() if name not in ("id", "time")), ""))


def _free(history: list[Any]) -> str:
    """An id that no item has."""
    taken = {str(item.get("id")) for item in history if isinstance(item, Mapping)}
    number = len(history) + 1
    while f"i{number}" in taken:
        number += 1
    return f"i{number}"
