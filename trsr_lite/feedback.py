"""What a user thought of an item: liked, disliked or skipped, said in words or by a rating.

Idea: a rating is read once, here. Where its scale is known, one below the middle of the scale is a dislike, and any
other a like. Where it is not, one that lies more than a standard deviation below the user's own mean is a dislike.
Invariant: an item without feedback counts as liked, because the user chose it; of several items with one id, the newest
that says something speaks for all of them. A history without feedback is used as it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trsr_lite.errors import DataError
from trsr_lite.io import values

if TYPE_CHECKING:
    from trsr_lite.records import Item

LIKE, DISLIKE, SKIP = "like", "dislike", "skip"
FEEDBACK = (LIKE, DISLIKE, SKIP)
AGAINST = frozenset({DISLIKE, SKIP})
WEIGHTS = {DISLIKE: -1.0, SKIP: -0.5}
"""What an item counts that is evidence against; any other counts 1."""
DEVIATIONS = 1.0  # below the user's own mean, of a rating that is a dislike
ROUNDING = 1e-9  # of the largest rating: one that lies right on the border is no dislike

Scale = tuple[float, float]
"""The worst and the best rating that can be given."""


def word(value: Any, where: str) -> str | None:
    """Feedback of parsed JSON: one of `FEEDBACK`, or None for nothing; raises `DataError`."""
    if value is None or value != value:  # NaN is what pandas has for nothing
        return None
    found = value.strip().lower() if isinstance(value, str) else value
    if found == "" or (isinstance(value, str) and value.strip() in values.MISSING):
        return None
    if not isinstance(found, str) or found not in FEEDBACK:
        raise DataError(f"{where}: {shown(value)} is not known; it must be {_listed(FEEDBACK)}")
    return found


def number(value: Any, where: str) -> float | None:
    """A rating of parsed JSON, None for nothing; raises `DataError` for what is no finite number."""
    if value is None or (isinstance(value, str) and (not value.strip() or value.strip() in values.MISSING)):
        return None
    try:
        found = math.inf if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.inf
    if math.isnan(found):
        return None
    if math.isfinite(found):
        return found
    raise DataError(f"{where}: {shown(value)} is no rating; it must be a finite number")


def scale(value: Any, where: str) -> Scale | None:
    """A scale of parsed JSON, None for nothing; raises `DataError` unless it has the worst and the best rating."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and len(value) == 2:
        try:
            least, most = (number(one, where) for one in value)
        except DataError:
            least = most = None
        if least is not None and most is not None and least < most:
            return least, most
    raise DataError(f"{where}: {shown(value)} is no scale; it must be the worst and the best rating, such as [1, 5]")


def of_rating(rating: float, limits: Scale, where: str = "rating") -> str:
    """What a rating on a known scale says; raises `DataError` for one outside."""
    least, most = limits
    if not least <= rating <= most:
        raise DataError(f"{where}: {rating:g} is outside the scale; it must be from {least:g} to {most:g}")
    return DISLIKE if rating < least + (most - least) / 2 else LIKE


def opinions(history: Sequence[Item]) -> list[str | None]:
    """What the user thought of each item of a history; None where nothing is said."""
    if all(item.feedback is None and item.rating is None for item in history):
        return [None] * len(history)
    lowest = _lowest([item.rating for item in history if item.rating is not None])
    said: dict[str, str] = {}
    for item in history:
        if item.feedback is not None:
            said[item.id] = item.feedback
        elif item.rating is not None:
            said[item.id] = DISLIKE if item.rating < lowest else LIKE
    return [said.get(item.id) for item in history]


def parted(history: Sequence[Item]) -> tuple[Sequence[Item], tuple[Item, ...]]:
    """What speaks for a user's taste, and what speaks against it with its `feedback`, each in the given order.

    The first is the history itself where nothing speaks against.
    """
    found = opinions(history)
    against = tuple(
        dataclasses.replace(item, feedback=said) for item, said in zip(history, found, strict=True) if said in AGAINST
    )
    if not against:
        return history, ()
    return [item for item, said in zip(history, found, strict=True) if said not in AGAINST], against


def liked(history: Sequence[Item]) -> Sequence[Item]:
    """What speaks for a user's taste: all but what was disliked or skipped."""
    return parted(history)[0]


def _lowest(ratings: Sequence[float]) -> float:
    """The least rating that is no dislike, on a scale that nobody stated."""
    if not ratings:
        return -math.inf
    largest = max(map(abs, ratings)) or 1.0  # squares of large numbers have no sum
    scaled = [rating / largest for rating in ratings]
    mean = math.fsum(scaled) / len(scaled)
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in scaled) / len(scaled))
    return (mean - DEVIATIONS * deviation - ROUNDING) * largest


def shown(value: Any) -> str:
    """A value for a message."""
    try:
        return repr(value)[:40]
    except (ValueError, RecursionError):  # an integer of too many digits, or too deep
        return values.kind(value)


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
