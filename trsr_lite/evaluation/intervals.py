"""How sure a mean over users is: bootstrap intervals, and a paired test between two systems.

Invariant: the same values give the same answer, in whatever order a caller computed them: values are drawn by position,
and callers keep positions in the order of the lists' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 2000
LEAST = 20  # lists; below it an interval would claim more than it knows
_AT_ONCE = 1 << 20  # drawn numbers held in memory
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval; `low` and `high` are None where there are too few lists for one."""

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Rounded plain JSON values."""
        return {
            name: None if value is None else round(value, 5)
            for name, value in (("value", self.value), ("low", self.low), ("high", self.high))
        }


@dataclass(frozen=True)
class Difference:
    """How much one system's mean is above another's on the same lists, and how easily chance would give that.

    Attributes
    ----------
    change: the difference of the means with its paired bootstrap interval.
    p: two-sided p value of a sign-flip test; 1 where nothing differs.
    """

    change: Interval
    p: float

    def to_dict(self) -> dict[str, float | None]:
        """Rounded plain JSON values."""
        return {**self.change.to_dict(), "p": round(self.p, 4)}


def mean(values: Values, *, least: int = LEAST) -> Interval:
    """(lists,) -> their mean, by the percentile bootstrap over lists."""
    if len(values) < max(least, 1):
        return Interval(float(np.mean(values)), None, None)
    low, high = np.quantile(_resampled(values), (0.025, 0.975))
    return Interval(float(np.mean(values)), float(low), float(high))


def difference(values: Values, others: Values, *, least: int = LEAST) -> Difference:
    """(lists,) and (lists,) of the same lists -> how far the first is above the second."""
    changes = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    return Difference(mean(changes, least=least), _sign_flip(changes))


def _resampled(values: Values) -> Values:
    """(draws,) means of lists drawn with replacement."""
    rng, count = np.random.default_rng(0), len(values)
    return np.concatenate([values[rng.integers(0, count, (rows, count))].mean(axis=1) for rows in _parts(count)])


def _sign_flip(changes: Values) -> float:
    """Share of random sign patterns whose mean is at least as far from 0, the observed one counted."""
    moved = changes[changes != 0]
    if not len(moved):
        return 1.0
    rng, count = np.random.default_rng(1), len(moved)
    sums = np.concatenate([rng.choice((-1.0, 1.0), (rows, count)) @ moved for rows in _parts(count)])
    beyond = np.abs(sums) >= abs(moved.sum()) - 1e-9
    return float((beyond.sum() + 1) / (DRAWS + 1))


def _parts(count: int) -> Iterator[int]:
    """How many draws of `count` numbers each are made at once, until all are made."""
    most = max(1, _AT_ONCE // count)
    return (min(most, DRAWS - start) for start in range(0, DRAWS, most))
