"""What was passed over while something was read: counted under a reason, with the first places of each.

Invariant: nothing is passed over in silence, and no input can make this large.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

PLACES = 3
REASONS = 100  # beyond so many different ones, further ones count together
OTHER = "something else"
TOLD = 1000  # reasons that are remembered, so that a program that asks again and again is told once
_told: set[tuple[str, str]] = set()
logger = logging.getLogger(__name__)


@dataclass
class Note:
    """One reason: how often, and where first."""

    count: int = 0
    places: list[str] = field(default_factory=list)


class Notes:
    """Counts of one reading."""

    def __init__(self) -> None:
        self.found: dict[str, Note] = {}

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, reason: str, where: str = "", count: int = 1) -> None:
        """Count something under a reason, such as `attribute 'images' left out: an object`."""
        if reason not in self.found and len(self.found) >= REASONS:
            reason = OTHER
        note = self.found.setdefault(reason, Note())
        note.count += count
        if where and len(note.places) < PLACES:
            note.places.append(where)

    def say(self, remark: str, where: str = "") -> None:
        """Note something of a whole file, which is not counted, such as `columns are separated by tabs`."""
        self.add(remark, where, 0)

    def reasons(self) -> list[str]:
        """The reasons, most frequent first."""
        return sorted(self.found, key=lambda reason: -self.found[reason].count)

    def lines(self) -> list[str]:
        """A line each for people, most frequent first."""
        return [_line(reason, self.found[reason]) for reason in self.reasons()]

    def tell(self, source: str | Path) -> None:
        """Log what was passed over, each reason once for a source."""
        name = "stdin" if str(source) == "-" else str(source)
        for reason, line in zip(self.reasons(), self.lines(), strict=True):
            if (name, reason) not in _told:
                if len(_told) >= TOLD:
                    _told.clear()
                _told.add((name, reason))
                logger.warning("%s: %s", name, line)

    def to_dict(self) -> list[dict[str, object]]:
        """Plain JSON values."""
        return [{"reason": reason, "count": note.count, "places": note.places} for reason, note in self.found.items()]


def _line(reason: str, note: Note) -> str:
    places = [*note.places, "…"] if note.count > len(note.places) and note.places else note.places
    counted = f"{note.count:,} × " if note.count else ""
    return f"{counted}{reason}" + (f" ({', '.join(places)})" if places else "")
