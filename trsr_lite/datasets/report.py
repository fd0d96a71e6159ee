"""What was read, and what is missing from it and why.

Invariant: nothing is skipped silently: whatever a reader or a filter passes over is counted here under a reason. The
first places of each reason are kept. A fault in the data (`drop`) ends a strict run; a choice of the options
(`leave_out`) never does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.io.notes import Notes
from trsr_lite.prompts.templates import fold

EXAMPLES = 3
DETAIL = 80  # characters; an id that is a whole text must not fill a screen


@dataclass
class Gap:
    """How often something was passed over for one reason; `places`: the first few, as `file:line`."""

    kind: str
    reason: str
    count: int = 0
    places: list[str] = field(default_factory=list)

    def line(self, verb: str) -> str:
        """For people, such as `dropped 12 rows: has 3 columns, not 8 (news.tsv:4, …)`."""
        places = [*self.places, "…"] if self.count > len(self.places) else self.places
        where = f" ({', '.join(places)})" if self.places else ""
        return f"{verb} {_counted(self.count, self.kind)}: {self.reason}{where}"


class Report:
    """Counts of one reading of a data set.

    Parameters
    ----------
    folder: where the files named in places lie.
    strict: a dropped row raises `DataError`.
    """

    def __init__(self, folder: str = "", *, strict: bool = False) -> None:
        self.folder = folder
        self.strict = strict
        self.counts: dict[str, int] = {}
        self.dropped: dict[tuple[str, str], Gap] = {}
        self.left_out: dict[tuple[str, str], Gap] = {}
        self.notes = Notes()
        self._first, self._last = math.inf, -math.inf

    def read(self, kind: str, n: int = 1) -> None:
        """Count `n` more of something usable; `kind` is a singular noun."""
        self.counts[kind] = self.counts.get(kind, 0) + n

    def drop(self, kind: str, reason: str, where: str, detail: str = "") -> None:
        """Count a fault; `where` is `file:line`, `detail` what only this place has. Raises `DataError` if strict."""
        detail = detail[:DETAIL]
        if self.strict:
            place = f"{self.folder.rstrip('/')}/{where}" if self.folder else where
            raise DataError(
                f"{place}: {kind} dropped: {reason}" + (f": {detail}" if detail else ""),
                hint=f"run without `--strict` to skip every such {kind}",
            )
        _add(self.dropped, kind, reason, f"{where} {detail}" if detail else where)

    def leave_out(self, kind: str, reason: str, where: str = "") -> None:
        """Count something usable that the options do not want."""
        _add(self.left_out, kind, reason, where)

    def saw(self, time: float) -> None:
        """Widen the span of times to one in seconds since 1970."""
        self._first, self._last = min(self._first, time), max(self._last, time)

    @property
    def span(self) -> tuple[str, str] | None:
        """The first and the last time in ISO 8601, None where there is none."""
        if self._first > self._last:
            return None
        first, last = (datetime.fromtimestamp(time, UTC).isoformat() for time in (self._first, self._last))
        return first, last

    def lines(self) -> list[str]:
        """A line each for people, most frequent reasons first."""
        found = [f"read {_counted(count, kind)}" for kind, count in self.counts.items()]
        found += [f"times from {self.span[0]} to {self.span[1]}"] if self.span else []
        found += [gap.line("dropped") for gap in _sorted(self.dropped)]
        found += [gap.line("left out") for gap in _sorted(self.left_out)]
        return found + [f"noted {line}" for line in self.notes.lines()]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "read": dict(self.counts),
            "dropped": [dict(vars(gap)) for gap in _sorted(self.dropped)],
            "left_out": [dict(vars(gap)) for gap in _sorted(self.left_out)],
            "noted": self.notes.to_dict(),
            "times": self.span,
        }


def _add(gaps: dict[tuple[str, str], Gap], kind: str, reason: str, where: str) -> None:
    where = fold(where)  # it may quote the data, and is printed
    gap = gaps.setdefault((kind, reason), Gap(kind, reason))
    gap.count += 1
    if where and len(gap.places) < EXAMPLES:
        gap.places.append(where)


def _sorted(gaps: dict[tuple[str, str], Gap]) -> list[Gap]:
    return sorted(gaps.values(), key=lambda gap: -gap.count)


def _counted(count: int, kind: str) -> str:
    return f"{count:,} {kind}" + ("s" if count != 1 else "")
