"""Ranks of candidates, and the lists that show a ranking at its best, at its worst and between.

Invariant: lists are chosen by rank alone, from the best to the worst. A tie is a range of ranks, never one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trsr_lite.evaluation.outcomes import ListOutcome

CHOSEN = 10  # lists that a page shows


class RankRange(NamedTuple):
    """First and last rank, from 1, that an item can have; they are the same where it is not tied."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def of_candidates(outcome: ListOutcome) -> list[RankRange]:
    """(candidates,) the ranks of each; empty where the list was not ranked."""
    return _ranks(outcome, range(len(outcome.labels)))


def of_own_items(outcome: ListOutcome) -> list[RankRange]:
    """The ranks of the user's items, best first; empty where the list was not ranked."""
    return sorted(_ranks(outcome, [index for index, own in enumerate(outcome.labels) if own]))


def top(outcome: ListOutcome, count: int) -> list[int]:
    """The indices of the best candidates by score; equal scores keep the given order."""
    scores = outcome.scores or ()
    return sorted(range(len(scores)), key=lambda index: -scores[index])[:count]


def recalls(outcome: ListOutcome, most: int) -> npt.NDArray[np.float64]:
    """(most,) Recall@1, Recall@2 and so on: the same as `metrics.ranking.recall_at`, all at once."""
    ks = np.arange(1, most + 1)
    found = [np.clip((ks - first + 1) / (last - first + 1), 0, 1) for first, last in of_own_items(outcome)]
    return np.mean(found, axis=0, dtype=np.float64) if found else np.zeros(most)


def choose(outcomes: Sequence[ListOutcome], most: int = CHOSEN) -> list[int]:
    """The indices of lists with as many different ranks as there are, from the best to the worst.

    Each rank gives one list before any gives a second. The rank of a list is that of its best own item; lists that
    were not ranked come last. Lists of the same rank are taken in order of their numbers.
    """
    middles = [sum(of_own_items(outcome)[0]) if outcome.scores is not None else np.inf for outcome in outcomes]
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


def _ranks(outcome: ListOutcome, which: Sequence[int]) -> list[RankRange]:
    if outcome.scores is None:
        return []
    scores = np.array(outcome.scores)
    wanted = scores[which, None]
    before, upto = (scores > wanted).sum(axis=1), (scores >= wanted).sum(axis=1)
    return [RankRange(above + 1, last) for above, last in zip(before.tolist(), upto.tolist(), strict=True)]


def _spread(found: Sequence[int], most: int) -> list[int]:
    """At most so many, at even distances; the last is one of them."""
    if len(found) <= most:
        return list(found)
    return [found[index] for index in np.linspace(len(found) - 1, 0, most).round().astype(int)]
