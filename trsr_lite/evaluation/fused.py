"""The signals fused without a model, and what a model's margin adds to them.

Weights are learned on the lists at hand, cross-fitted: those that rank a user's lists come from other users' lists.

Invariant: no list is ranked by weights that saw its labels. The weights come from all lists, whichever answers were
kept from an earlier evaluation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.baselines.materials import Materials
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.outcomes import ListOutcome
from trsr_lite.evaluation.systems import Answer
from trsr_lite.evaluation.token_source import TokenSource
from trsr_lite.metrics import intervals, ranking
from trsr_lite.results import OnProgress
from trsr_lite.signals import fitting
from trsr_lite.signals.fitting import JudgedList
from trsr_lite.signals.signal import MODEL, Numbers

NAME = "fused"
VERSION = 1  # raise when the same lists would be given other scores
ADDED = ("auc", "recall@3", "ndcg@10")  # what a model adds is said in these
CROSS_FITTED, OF_BUNDLE = "cross-fitted by user on these lists", "those of the bundle"
Figures = Mapping[str, intervals.Values]
"""Metric -> (lists,) values."""
Key = tuple[str, tuple[str, ...], tuple[str, ...]]


class ListSignals:
    """Signals of every list, without the model's margin; computed once, when they are first needed."""

    def __init__(self, lists: EvalLists, materials: Materials) -> None:
        self.lists, self.materials = lists, materials
        self._numbers: dict[int, dict[str, Numbers]] = {}

    @classmethod
    def of(cls, lists: EvalLists, *, seed: int = 0, tokens: TokenSource | None = None) -> ListSignals:
        """Signals with statistics of all items of the lists."""
        return cls(lists, Materials(lists.items, lists.counts, seed, tokens))

    @property
    def names(self) -> list[str]:
        """The signals that there are for these lists."""
        return self.materials.signals.names

    def judged(self, margins: Mapping[int, Sequence[float] | None] | None = None) -> list[JudgedList]:
        """Every list in order of the numbers, with a model's `margins` by number as one more signal if given."""
        return [
            JudgedList(self._of(number, (margins or {}).get(number)), example.labels, example.user_id)
            for number, example in sorted(self.lists.examples.items())
        ]

    def _of(self, number: int, margins: Sequence[float] | None) -> dict[str, Numbers]:
        if number not in self._numbers:
            example = self.lists.examples[number]
            self._numbers[number] = self.materials.signals.numbers(example.history, example.candidates)
        known = self._numbers[number]
        return known if margins is None else {**known, MODEL: np.asarray(margins, np.float32)}


class FusedSystem:
    """The baseline `fused`: all signals but the model's margin. It ranks the lists that it was made with, no others."""

    name = NAME

    def __init__(self, signals: ListSignals) -> None:
        tokens = signals.materials.tokens
        self._signals = signals
        self._scores: dict[Key, Numbers] = {}
        self.identity: dict[str, Any] = {
            "baseline": NAME,
            "version": VERSION,
            "lists": signals.lists.digest(),
            "tokens": tokens.identity if tokens else None,
        }

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        """Learn the weights, on all lists; returns the seconds it took."""
        start = time.perf_counter()
        if not self._scores:
            scores = fitting.fit(self._signals.judged(), self._signals.names).scores
            ordered = (example for _, example in sorted(self._signals.lists.examples.items()))
            self._scores = {_key(example): found for example, found in zip(ordered, scores, strict=True)}
        return time.perf_counter() - start

    def answer(self, example: Example) -> Answer:
        """The cross-fitted scores of this list."""
        return Answer(self._scores[_key(example)].astype(np.float64))

    def release(self) -> None:
        """Nothing."""


def model_adds(signals: ListSignals, model: str, outcomes: Sequence[ListOutcome]) -> dict[str, Any]:
    """How far the fusion with a model's margin is above the fusion without it, as plain JSON values.

    A bundle that fuses signals is taken at its word: its scores, and the same without the model's part. For any other
    model both fusions are cross-fitted on the same folds. A list that the model could not rank is ranked by the other
    signals. Where the bundle has the weights, nothing ranks it. Raises `DataError` for too few lists.
    """
    if any(outcome.model_parts is not None for outcome in outcomes):
        judged, after, before = _of_bundle(outcomes)
        facts: dict[str, Any] = {"fusion": OF_BUNDLE, "signals": None, "weights": None}
    else:
        judged = signals.judged({outcome.number: outcome.scores for outcome in outcomes})
        without, fused = (fitting.fit(judged, names) for names in (signals.names, [*signals.names, MODEL]))
        weights = {name: round(weight.weight, 4) for name, weight in fused.fusion.weights.items()}
        facts = {"fusion": CROSS_FITTED, "signals": signals.names, "weights": weights}
        after, before = fused.scores, without.scores
    metrics = _compared(_figures(judged, after), _figures(judged, before), signals.lists.users())
    return {"system": model, **facts, "metrics": metrics}


def _of_bundle(outcomes: Sequence[ListOutcome]) -> tuple[list[JudgedList], list[Numbers], list[Numbers]]:
    """The lists, and their scores with the model's part and without it."""
    judged = [JudgedList({}, outcome.labels, outcome.user_id) for outcome in outcomes]
    fused = [np.asarray(one.scores or np.zeros(len(one.labels)), np.float32) for one in outcomes]
    parts = [np.asarray(one.model_parts or np.zeros(len(one.labels)), np.float32) for one in outcomes]
    return judged, fused, [score - part for score, part in zip(fused, parts, strict=True)]


def _compared(after: Figures, before: Figures, users: intervals.Users) -> dict[str, Any]:
    return {
        name: {
            "with": round(float(after[name].mean()), 5),
            "without": round(float(before[name].mean()), 5),
            **intervals.difference(after[name], before[name], users).to_dict(),
        }
        for name in ADDED
    }


def _figures(judged: Sequence[JudgedList], scores: Sequence[Numbers]) -> Figures:
    each = [ranking.summary([(found, one.labels)], (3, 10)) for one, found in zip(judged, scores, strict=True)]
    return {name: np.array([values[name] for values in each]) for name in ADDED}


def _key(example: Example) -> Key:
    """What tells a list from every other one."""
    history, candidates = (tuple(item.id for item in items) for items in (example.history, example.candidates))
    return example.user_id, history, candidates
