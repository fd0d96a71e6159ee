"""What an export says of one thing that a person read, watched, bought or means to.

Invariant: an entry is plain data of one row. Which entries are one item, in what order they came, and what a date means
whose day and month look alike, is decided when all are known (`collect`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rating:
    """What a person gave: `value` of at most `most`, which is None where only the whole column can tell."""

    value: float
    most: float | None = None


@dataclass(frozen=True)
class Entry:
    """One row of an export.

    Attributes
    ----------
    title: what a person reads in a list.
    where: `file:line`, or what else finds the row.
    time: seconds since 1970; or a date as it was written, where its day and month may be changed about; or None.
    id: identifies the thing at its program, or its address; empty where the title has to.
    attributes: further texts, in the order that a model should see them.
    rating: what the person gave it.
    feedback: `like`, `dislike` or `skip`, where the person said so without a number.
    wanted: whether it is still to be read, watched or bought: a candidate, not history.
    """

    title: str
    where: str
    time: float | str | None = None
    id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    rating: Rating | None = None
    feedback: str = ""
    wanted: bool = False
