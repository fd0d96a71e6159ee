"""Which items of a history speak for a candidate like them, and which against.

Idea: what was disliked or skipped takes a part of its likeness away from what the liked items give. Source: Rocchio,
1971, with the usual weights of 0.75 for and 0.15 against (Manning, Raghavan and Schütze, 2008, 9.1.1): a fifth. No
data at hand have dislikes to fit it on. Invariant: a history without feedback has no masks, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trsr_lite import feedback
from trsr_lite.records import Item

AGAINST = 0.2  # what likeness to a disliked item takes away, of what likeness to a liked one gives


@dataclass(frozen=True)
class Evidence:
    """Masks over a history.

    Attributes
    ----------
    liked: (history,) whether an item speaks for what is like it.
    against: (history,) what one takes away, 0 for a liked item.
    """

    liked: npt.NDArray[np.bool_]
    against: npt.NDArray[np.float64]


def of(history: Sequence[Item]) -> Evidence | None:
    """The masks of a history; None where nothing speaks against anything."""
    opinions = feedback.opinions(history)
    weights = np.array([feedback.WEIGHTS.get(said or "", 1.0) for said in opinions])
    liked = weights > 0
    return None if liked.all() else Evidence(liked, np.where(liked, 0.0, -AGAINST * weights))
