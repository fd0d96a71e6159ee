"""Energy that the processor packages have used, where Linux shows it (powercap, `intel-rapl`; also on AMD).

Invariant: a figure covers every package, or there is none: counters are often readable by root alone, and a part of
the packages would pass for the whole. Everything that runs on the machine is in it, not this process alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """A package's counter: `energy` since some start and the value `range` at which it wraps to 0, in microjoules."""

    energy: int
    range: int


class Meter:
    """Adds up joules from one sample to the next; a counter may wrap once between two samples (minutes)."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._root, self._last, self._microjoules = root, counters(root), 0

    def sample(self) -> float | None:
        """Joules since this meter was made, or None where they are not exposed."""
        now = counters(self._root)
        if not now or now.keys() != self._last.keys():
            self._last = {}  # what was missed meanwhile is not known: no figure from here on
            return None
        self._microjoules += sum(used(self._last[name], now[name]) for name in now)
        self._last = now
        return self._microjoules / 1e6


def counters(root: Path = POWERCAP) -> dict[str, Counter]:
    """The counter of each processor package; empty where one of them cannot be read."""
    found = {}
    try:
        for zone in sorted(root.glob("intel-rapl:*")):
            if (zone / "name").read_text().startswith("package"):  # not its parts, which are counted in it
                found[zone.name] = Counter(_integer(zone / "energy_uj"), _integer(zone / "max_energy_range_uj"))
    except (OSError, ValueError):
        return {}
    return found


def used(before: Counter, after: Counter) -> int:
    """Microjoules between two readings of one counter, which may have wrapped once."""
    difference = after.energy - before.energy
    return difference if difference >= 0 else difference + after.range


def _integer(path: Path) -> int:
    return int(path.read_text())
