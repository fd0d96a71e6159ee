"""Places of candidates in a ranking, and lists that show a ranking at its best, at its worst and between.

Invariant: lists are chosen by rank alone, from the best to the worst; a tie is a range of places, never one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from trsr_lite.evaluation.outcomes import ListOutcome

MOST = 10
Place = tuple[int, int]
"""First and last place, from 1, that an item can have; they are the same where it is not tied."""


def places(outcome: ListOutcome) -> list[Place]:
    """(candidates,) the place of each; none where the list was not ranked."""
    return _places(outcome, range(len(outcome.labels)))


def own_places(outcome: ListOutcome) -> list[Place]:
    """The places of the user's items, best first; none where the list was not ranked."""
    return sorted(_places(outcome, [index for index, own in enumerate(outcome.labels) if own]))


def top(outcome: ListOutcome, count: int) -> list[int]:
    """The first candidates by score, in their given order where scores are equal."""
    scores = outcome.scores or ()
    return sorted(range(len(scores)), key=lambda index: -scores[index])[:count]


def recalls(outcome: ListOutcome, most: int) -> npt.NDArray[np.float64]:
    """(most,) Recall@1 and so on: the same as `metrics.recall_at`, all at once."""
    ks = np.arange(1, most + 1)
    found = [np.clip((ks - first + 1) / (last - first + 1), 0, 1) for first, last in own_places(outcome)]
    return np.mean(found, axis=0, dtype=np.float64) if found else np.zeros(most)


def choose(outcomes: Sequence[ListOutcome], most: int = MOST) -> list[int]:
    """Lists of as many ranks as there are, from the best to the worst: of each rank one, then of each a second.

    The rank of a list is that of the best of its own items; lists that were not ranked come last. Of one rank, lists
    are taken in order of their numbers.
    """
    middles = [sum(own_places(outcome)[0]) if outcome.scores is not None else np.inf for outcome in outcomes]
    order = sorted(range(len(outcomes)), key=lambda index: (middles[index], outcomes[index].number))
    rounds: list[list[int]] = []
    for _, same in groupby(order, key=lambda index: middles[index]):
        for which, index in enumerate(same):
            if which == len(rounds):
                rounds.append([])
            rounds[which].append(index)
    chosen: list[int] = []
    for found in rounds:
        chosen += _spread(found, most - len(chosen))
    return sorted(chosen, key=order.index)


def _places(outcome: ListOutcome, which: Sequence[int]) -> list[Place]:
    if outcome.scores is None:
        return []
    scores = np.array(outcome.scores)
    asked = scores[which, None]
    before, upto = (scores > asked).sum(axis=1), (scores >= asked).sum(axis=1)
    return [(above + 1, last) for above, last in zip(before.tolist(), upto.tolist(), strict=True)]


def _spread(found: Sequence[int], most: int) -> list[int]:
    """At most so many, at even distances; the last is one of them."""
    if len(found) <= most:
        return list(found)
    return [found[place] for place in np.linspace(len(found) - 1, 0, most).round().astype(int)]
