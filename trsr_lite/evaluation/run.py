"""A training run as a system: torch ranks, and the summarizer that will serve writes the summaries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.systems import Answer, summarize
from trsr_lite.recommender import Recommender
from trsr_lite.result import OnProgress
from trsr_lite.training.scorer import Scorer


class Run:
    """A run, or its base as it was before training; `recommender` only writes summaries: None where there are none."""

    def __init__(self, name: str, scorer: Scorer, recommender: Recommender | None, *, base_model: bool = False) -> None:
        self.name = f"{name} (untrained)" if base_model else name
        self._scorer, self._recommender = scorer, recommender
        self.identity = {
            "run": scorer.record["config"],
            "base": scorer.record["base"],
            "data": scorer.record["data"]["files"],
            "steps": scorer.record["steps"],
            "best": scorer.record["best"],
            "untrained": base_model,
            "summarizer": recommender.bundle.summarizer.identity if recommender else None,
        }

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        """Summaries of all histories, generated together."""
        return summarize(self._recommender, examples, progress) if self._recommender else 0.0

    def answer(self, example: Example) -> Answer:
        """Margins; torch computes them as in validation."""
        summary = self._recommender.summaries([example.history])[0].text if self._recommender else None
        row = self._scorer.row(example.history, summary, example.candidates)
        return Answer(np.asarray(self._scorer.margins([row])[0], np.float64), summary=summary)
