"""What the recommender learns from: users of a data set, their summaries, and lists of candidates.

Invariant: summaries are made by the model that will serve, with the plan and the cache of inference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trsr_lite.datasets.dataset import Dataset, Example
from trsr_lite.engine.base import Tokenizer
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.training import validation
from trsr_lite.training.rows import Row, build

Summarizer = Callable[[Sequence[Sequence[Item]]], Sequence["str | None"]]
"""Histories to summaries, in order."""


class Lists:
    """Rows of a data set's training users, and of at most `validation_users` held-out ones."""

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        tokenizer: Tokenizer,
        summarizer: Summarizer | None,
        validation_users: int,
    ) -> None:
        self.dataset, self.settings, self.tokenizer = dataset, settings, tokenizer
        self.train = list(dataset.numbers("train"))
        held_out = list(dataset.numbers("validation"))[:validation_users]
        numbers = [*self.train, *held_out]
        self._summaries: dict[int, str | None] = dict.fromkeys(numbers)
        if summarizer:
            histories = list(dataset.histories(numbers))
            self._summaries.update(zip(numbers, summarizer(histories), strict=True))
        self.validation = [self._row(number, dataset.example(number)) for number in held_out]

    def row(self, number: int, epoch: int) -> Row:
        """The row of a training case; its negatives and their order change with the epoch."""
        return self._row(number, self.dataset.example(number, epoch=epoch))

    def metrics(self, scores: Sequence[np.ndarray[Any, Any]]) -> dict[str, float]:
        """Validation metrics of the scores of `validation`."""
        return validation.ranking(scores, self.validation)

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the data."""
        counts = {name: len(self.dataset.numbers(name)) for name in ("train", "validation", "test")}
        return {"files": self.dataset.digests, "cases": counts, "report": self.dataset.report.to_dict()}

    def _row(self, number: int, example: Example) -> Row:
        summary = self._summaries[number]
        return build(example.history, summary, example.candidates, example.labels, self.settings, self.tokenizer)
