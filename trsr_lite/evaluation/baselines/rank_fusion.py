"""Reciprocal-rank fusion: the ranks of several baselines, put together without any weight.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
SIGIR 2009, with their k = 60.

Invariant: only ranks count. Tied candidates share their mean rank, so that no order of the candidates decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.baselines.ranker import Ranker, Scores

SMOOTHING = 60  # k of the paper: how little the first ranks stand out


class RankFusion:
    """The sum of 1 / (k + rank) over its members."""

    def __init__(self, members: Sequence[Ranker]) -> None:
        self._members = members

    def score(self, example: Example) -> Scores:
        """(candidates,) sums of reciprocal ranks."""
        ranks = np.stack([mean_ranks(member.score(example)) for member in self._members])
        return np.asarray((1 / (SMOOTHING + ranks)).sum(axis=0), np.float64)


def mean_ranks(scores: Scores) -> Scores:
    """(candidates,) ranks from 1, best first; ties share their mean."""
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group], np.float64)
