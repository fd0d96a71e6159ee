"""How sure a mean over lists is: bootstrap intervals, a paired test of two systems, and what the lists could show.

Invariant: a user is one observation, since the lists of one user are alike. Users are drawn with all their lists, and
the signs of these are flipped together. The same values give the same answer: users are drawn by position, and callers
keep the lists in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

DRAWS = 2000
LEAST = 20  # users; below it an interval would claim more than it knows
SIGNIFICANCE, POWER = 0.05, 0.8  # of a two-sided test, for the smallest difference that lists could show
_EXACT = 1e-12  # a standard error below this is a rounding error of none
_AT_ONCE = 1 << 20  # drawn numbers held in memory
Values = npt.NDArray[np.float64]
Users = Sequence[str]
"""The user of each list; lists without a user id each count as a separate user."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval. `low` and `high` are None where there are too few users for one."""

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
    """How far one system's mean is above another's on the same lists, and how easily chance would give that.

    Attributes
    ----------
    change: the difference of the means with its paired bootstrap interval.
    p: two-sided p value of a sign-flip test; 1 where nothing differs.
    detectable: the smallest true difference that these lists could show; see `detectable`.
    """

    change: Interval
    p: float
    detectable: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Rounded plain JSON values."""
        shown = None if self.detectable is None else round(self.detectable, 5)
        return {**self.change.to_dict(), "p": round(self.p, 4), "detectable": shown}


def count(users: Users) -> int:
    """How many users these are."""
    return len(set(_numbers(users)))


def mean(values: Values, users: Users | None = None, *, least: int = LEAST) -> Interval:
    """(lists,) -> their mean, by the percentile bootstrap over users; without `users`, each list has its own."""
    sums, lists = _of_users(values, users)
    if len(sums) < max(least, 1):
        return Interval(float(np.mean(values)), None, None)
    low, high = np.quantile(_resampled(sums, lists), (0.025, 0.975))
    return Interval(float(np.mean(values)), float(low), float(high))


def difference(values: Values, others: Values, users: Users | None = None, *, least: int = LEAST) -> Difference:
    """(lists,) and (lists,) of the same lists -> how far the first is above the second."""
    changes = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    p = _sign_flip(_of_users(changes, users)[0])
    return Difference(mean(changes, users, least=least), p, detectable(changes, users, least=least))


def detectable(changes: Values, users: Users | None = None, *, least: int = LEAST) -> float | None:
    """(lists,) paired differences -> the smallest true difference that such lists show with 80 % power at p < .05.

    The minimum detectable effect of Bloom ("Minimum Detectable Effects: A Simple Way to Report the Statistical Power
    of Experimental Designs", Evaluation Review 19(5), 1995) for a two-sided test:

        (z(1 - .05 / 2) + z(.8)) * s / sqrt(n) = 2.80 * s / sqrt(n)

    with s the standard deviation of the differences and n the number of users. Where users have several lists, the
    standard error s / sqrt(n) is that of a ratio of sums over users. See Cochran, "Sampling Techniques", 1977, chapter
    6. None for fewer than `least` users, and where all lists differ alike.
    """
    sums, lists = _of_users(changes, users)
    count = len(sums)
    if count < max(least, 2):
        return None
    apart = sums - sums.sum() / lists.sum() * lists
    error = float(np.sqrt(count / (count - 1) * (apart**2).sum()) / lists.sum())
    normal = NormalDist()
    return (normal.inv_cdf(1 - SIGNIFICANCE / 2) + normal.inv_cdf(POWER)) * error if error > _EXACT else None


def _of_users(values: Values, users: Users | None) -> tuple[Values, npt.NDArray[np.int64]]:
    """(users,) the sum over each user's lists, and how many they are, in order of the first list of each."""
    values = np.asarray(values, np.float64)
    if users is None:
        return values, np.ones(len(values), np.int64)
    numbers = _numbers(users)
    return np.asarray(np.bincount(numbers, weights=values), np.float64), np.asarray(np.bincount(numbers), np.int64)


def _numbers(users: Users) -> list[int]:
    """The number of each list's user, by first appearance."""
    known = dict[str | int, int]()
    return [known.setdefault(user or place, len(known)) for place, user in enumerate(users)]


def _resampled(sums: Values, lists: npt.NDArray[np.int64]) -> Values:
    """(draws,) means over the lists of users drawn with replacement."""
    rng, count = np.random.default_rng(0), len(sums)
    drawn = (rng.integers(0, count, (rows, count)) for rows in _parts(count))
    return np.concatenate([sums[users].sum(axis=1) / lists[users].sum(axis=1) for users in drawn])


def _sign_flip(changes: Values) -> float:
    """Share of random sign patterns of users whose sum is at least as far from 0, the observed one counted."""
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
