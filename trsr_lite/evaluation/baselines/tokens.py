"""A baseline over token vectors: the mean of a candidate's best cosines to the history, from a model's own embeddings.

Invariant: this is the signal `tokens`, untuned, with statistics of all known items. A candidate of which nothing is
known counts as one that is like nothing.
"""

from __future__ import annotations

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.baselines.ranker import Scores
from trsr_lite.signals.ranker import SignalRanker


class Tokens:
    """How near a candidate's tokens are to those of the three nearest items of the history."""

    def __init__(self, signals: SignalRanker) -> None:
        self._signals = signals

    def score(self, example: Example) -> Scores:
        """(candidates,) mean of the three highest cosines to the history."""
        numbers = self._signals.numbers(example.history, example.candidates)["tokens"]
        return np.nan_to_num(numbers.astype(np.float64), nan=0.0)
