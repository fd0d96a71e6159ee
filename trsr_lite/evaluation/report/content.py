"""What a page shows, as typed data: plain text, figures and finished drawings.

Invariant: every `str` here is plain text, which the template folds and escapes. Only a `Drawing` is markup, and only
`plots` makes one. What is not known, such as the interval of too few users, is an empty text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, a smaller line below it, and whether it is long enough to need lines."""

    text: str
    below: str = ""
    long: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first text of each row is the head of that row."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


@dataclass(frozen=True)
class Drawing:
    """A finished SVG, what it shows, and the same as a list of sentences or as a table."""

    svg: str
    caption: str
    id: str
    sentences: Sequence[str] = ()
    table: Table | None = None


@dataclass(frozen=True)
class ShownItem:
    """A candidate among the first of a ranking."""

    rank: int
    title: str
    tied: str
    own: bool


@dataclass(frozen=True)
class Case:
    """One list to look at; only its number says whose it is."""

    heading: str
    history: Sequence[str]
    history_items: int
    system: str
    summary: str
    own: Sequence[str]
    top: Sequence[ShownItem]
    failure: str
    ranks: Table


@dataclass(frozen=True)
class Study:
    """One study: its question, a drawing and how to read its table."""

    name: str
    question: str
    reference: str
    metric: str
    drawing: Drawing


@dataclass(frozen=True)
class Page:
    """The whole page, in the order in which it is read."""

    title: str
    date: str
    notes: Sequence[str]
    in_short: Sequence[str]
    figures: Table
    prepared: str
    drawings: Sequence[Drawing]
    added: Sequence[tuple[str, Table]]
    first: str
    comparisons: Sequence[Table]
    groups: Table | None
    first_stage: str
    studies: Sequence[Study]
    lists: int
    facts: Mapping[str, str]
    cases: Sequence[Case]
    command: str
    versions: Mapping[str, str]
    meanings: Mapping[str, str] = field(default_factory=dict)


def counted(count: int, noun: str) -> str:
    """Such as `1 list` and `1,200 lists`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def figure(found: Mapping[str, Any] | int | None, digits: str = ".3f") -> Cell:
    """A value with its interval below it."""
    if found is None:
        return Cell(NONE)
    if isinstance(found, int):
        return Cell(str(found))
    return Cell(f"{found['value']:{digits}}", interval(found))


def interval(found: Mapping[str, Any]) -> str:
    """The interval; empty where there is none."""
    return "" if found.get("low") is None else f"{found['low']:.3f}–{found['high']:.3f}"


def sentence(found: Mapping[str, Any]) -> str:
    """A figure with its interval, in words."""
    between = interval(found)
    return f"{found['value']:.3f}, " + (f"95 % interval {between}" if between else "too few users for an interval")


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.3f}".replace("-", "−")


def change_interval(found: Mapping[str, Any]) -> str:
    """The interval of a difference, in words."""
    return "too few users" if found["low"] is None else f"{signed(found['low'])} to {signed(found['high'])}"


def probability(p: float) -> str:
    """A p value; below a thousandth its size says nothing more."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
