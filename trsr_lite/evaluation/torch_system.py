"""A training run as a system: torch ranks, and the summarizer that will serve writes the summaries."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import SettingsError
from trsr_lite.evaluation.systems import Answer, summarize
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.results import OnProgress
from trsr_lite.settings import Settings
from trsr_lite.training.torch_scorer import Scorer


class TorchSystem:
    """A run, or its base as it was before training; `recommender` only writes summaries: None where there are none.

    Attributes
    ----------
    trained: `LoRA` or `all weights`; None for the base.
    """

    def __init__(self, name: str, scorer: Scorer, recommender: Recommender | None, *, base_model: bool = False) -> None:
        self.name = f"{name} (untrained)" if base_model else name
        self.settings = scorer.settings
        self.trained = None if base_model else "all weights" if scorer.options.full else "LoRA"
        self._scorer, self._recommender = scorer, recommender
        self.identity: dict[str, Any] = {
            "run": scorer.record["config"],
            "base": scorer.record["base"],
            "data": scorer.record["data"]["files"],
            "steps": scorer.record["steps"],
            "best": scorer.record["best"],
            "untrained": base_model,
            "summarizer": self._summarizer(),
        }

    def with_settings(self, settings: Settings) -> TorchSystem:
        """The same model, given other summaries and prompts than it was trained with."""
        if settings.strategy != "none" and self._recommender is None:
            raise SettingsError(f"{self.name}: strategy {settings.strategy} needs a summarizer, and none was opened")
        other = copy.copy(self)
        other.settings = settings
        other.identity = {**self.identity, "settings": settings.to_dict(), "summarizer": other._summarizer()}
        return other

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        """Summaries of all histories, generated together."""
        return summarize(self._recommender, self.settings, examples, progress) if self._recommender else 0.0

    def answer(self, example: Example) -> Answer:
        """Margins; torch computes them as in validation."""
        summary, settings = None, self.settings.updated(domain=example.domain)
        if self._recommender:
            summary = self._recommender.with_settings(settings).summaries([example.history])[0].text
        row = self._scorer.row(example.history, summary, example.candidates, settings=settings)
        return Answer(np.asarray(self._scorer.margins([row])[0], np.float64), summary=summary)

    def release(self) -> None:
        """Forget its weights, and the summarizer's."""
        self._scorer.forget()
        if self._recommender:
            self._recommender.unload()

    def _summarizer(self) -> str | None:
        """What its answers depend on beside the run: nothing where there are no summaries."""
        if self._recommender is None or self.settings.strategy == "none":
            return None
        return self._recommender.bundle.summarizer.identity
