"""Rounds of work, in seconds and joules.

Invariant: things that are compared are measured in turns (A B C, A B C, …): a machine whose speed drifts favours none
of them. The first round only warms up.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from trsr_lite.bench.energy import Meter

K = TypeVar("K")


class Spent(NamedTuple):
    """What one piece of work took; `joules` of the whole machine, or None where they are not exposed."""

    seconds: float
    joules: float | None


class Stopwatch:
    """Times work over `rounds`, and lets the energy meter see every piece."""

    def __init__(self, rounds: int, meter: Meter) -> None:
        self.rounds, self._meter = rounds, meter

    def once(self, work: Callable[[], object]) -> Spent:
        """One piece of work; one that returns a float has measured its own seconds."""
        before, start = self._meter.sample(), time.perf_counter()
        own = work()
        seconds = own if isinstance(own, float) else time.perf_counter() - start
        after = self._meter.sample()
        return Spent(seconds, None if before is None or after is None else after - before)

    def in_turns(self, work: Mapping[K, Callable[[], object]], *, warm_up: bool = True) -> dict[K, list[float]]:
        """Seconds of each piece of work in each round."""
        seconds: dict[K, list[float]] = {name: [] for name in work}
        for turn in range(-1 if warm_up else 0, self.rounds):
            for name, call in work.items():
                spent = self.once(call).seconds
                if turn >= 0:
                    seconds[name].append(spent)
        return seconds


def times(seconds: Sequence[float]) -> dict[str, float]:
    """The `best` (shortest) and the `median` round, in seconds."""
    return {"best": _digits(min(seconds)), "median": _digits(statistics.median(seconds))}


def rates(amount: float, seconds: Sequence[float]) -> dict[str, float]:
    """The `best` (fastest) and the `median` round, as `amount` per second."""
    return {name: _digits(amount / value) for name, value in times(seconds).items()}


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios, turn by turn."""
    return _digits(statistics.median(one / other for one, other in zip(above, below, strict=True)))


def _digits(value: float) -> float:
    """Four digits that count: more would claim more than a clock knows."""
    return float(f"{value:.4g}")
