"""Every error that a user can meet, and the exit code each one ends the command line with.

    TrsrError            1  failure
    ├── Closed           1  used after close(), or in a process that was forked meanwhile
    ├── StoreError       1  the summary store or a catalog cannot be used as it is
    ├── SettingsError    2  a setting, option or config value that cannot be
    ├── ModelError       3  model or bundle missing, broken or incompatible
    ├── DataError        4  a user, item or candidate that cannot be used
    ├── VerificationError 5  a converted model ranks otherwise than the one that was trained
    └── Cancelled      130  stopped on request

Invariant: a message is one line that names the thing, the value and, in `hint`, the next step. Foreign exceptions
are mapped where they enter; anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TrsrError(Exception):
    """Base of all errors of this package; `str(error)` is one line, `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(_line(message))
        self.hint = _line(hint) if hint else None


LONGEST = 1500  # characters of a message: a name in somebody's file may have thousands


def _line(text: str) -> str:
    """On one line, in what any terminal and any JSON can hold."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))


class Closed(TrsrError):
    """An engine, recommender, store or catalog was used after `close()`, or in a process that was forked meanwhile."""


class StoreError(TrsrError):
    """The summary store or a catalog cannot be used as it is."""


class SettingsError(TrsrError):
    """A setting has a value that cannot work."""

    exit_code = 2


class ModelError(TrsrError):
    """A model or bundle is missing, broken or incompatible."""

    exit_code = 3


class DataError(TrsrError):
    """A user, item or candidate cannot be used; the message names the place and the field."""

    exit_code = 4


class VerificationError(TrsrError):
    """A converted model does not rank as the one it was made from; `report` holds every comparison that was made."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str | None = None, report: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class Cancelled(TrsrError):
    """The work was stopped by `cancel()`; everything finished before is kept."""

    exit_code = 130
