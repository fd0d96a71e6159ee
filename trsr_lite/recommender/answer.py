"""A result in the making: what a call on one user has come to, at whatever moment its time ends.

Invariant: a partial result makes a true result at any moment. What is not there yet counts as skipped, nothing is
guessed, and candidates keep their order until they are ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trsr_lite.engine.interface import Margin
from trsr_lite.models.bundle import Bundle
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.recommender.rank import rank, rank_fused
from trsr_lite.recommender.score import Margins
from trsr_lite.recommender.signals import with_model
from trsr_lite.records import Item, User
from trsr_lite.results import Recommendation, Result, Skipped, Stats, Summary
from trsr_lite.signals.ranker import Fused
from trsr_lite.summaries.generate import Work
from trsr_lite.summaries.plan import Plan

STAGES = ("load", "summarize", "score")


@dataclass
class PartialResult:
    """One user, and what is known so far.

    Attributes
    ----------
    plan: how the history is cut and summarized, and with which settings.
    candidates: those to rank, in their given order; none where only a summary is wanted.
    started: whether the call ran; else nothing was looked up in a catalog, and nothing scored.
    uncovered: newest complete blocks of the history that the summary does not cover.
    fused: what the signals say of the candidates, all but the model; None where the model ranks alone.
    because: gives the ids of the nearest history items for each of some candidates.
    margins: the model's, of those that it has scored.
    work: what was generated for it.
    seconds: of each stage.
    """

    user: User
    plan: Plan
    candidates: Sequence[Item] = ()
    started: bool = True
    summary: Summary = field(default_factory=Summary)
    uncovered: int = 0
    fused: Fused | None = None
    because: Callable[[Sequence[Item]], Sequence[tuple[str, ...]]] | None = None
    margins: Margins = field(default_factory=Margins)
    work: Work = field(default_factory=Work)
    seconds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def shortlist(self, most: int) -> list[Item]:
        """The candidates that the model is to score: the best `most` by the other signals, best first; 0 is all."""
        if self.fused is None:
            return list(self.candidates)
        order = (-self.fused.scores).argsort(kind="stable").tolist()
        return [self.candidates[place] for place in (order[:most] if most else order)]

    def first(self, bundle: Bundle, *, k: int | None = None) -> Result:
        """The best `k` by all signals but the model, which has scored nothing yet."""
        waiting = replace(self, margins=Margins(self.shortlist(self.plan.settings.rerank)))
        return waiting.result(bundle, k=k)

    def result(self, bundle: Bundle, *, k: int | None = None, exact: bool = False) -> Result:
        """The best `k` of those that are ranked (all without `k`), best first; `exact` as they were scored."""
        found = self.margins.margins
        ranked = self._ranked(bundle, found, 0.0 if exact else bundle.noise_floor)[:k]
        if self.because is not None:
            near = self.because([entry.item for entry in ranked])
            ranked = [replace(entry, because=ids) for entry, ids in zip(ranked, near, strict=True)]
        listed = {item.id for item in self.margins.candidates}
        left = tuple(item for item in self.candidates if item.id in listed and item.id not in found)
        return Result(
            user_id=self.user.user_id,
            strategy=self.plan.settings.strategy,
            summary=self.summary.text,
            nodes=self.summary.nodes,
            recommendations=tuple(ranked),
            model={
                "name": bundle.name,
                "summarizer": bundle.summarizer.identity,
                "recommender": bundle.recommender.identity,
                "prompt_version": PROMPT_VERSION,
            },
            stats=self._stats(),
            hint=bundle.hint,
            skipped=Skipped(self.uncovered, left) if self.uncovered or left or not self.started else None,
        )

    def _ranked(self, bundle: Bundle, found: Mapping[str, Margin], noise_floor: float) -> list[Recommendation]:
        if self.fused is None or bundle.signals is None:
            scored = [item for item in self.candidates if item.id in found]
            margins = [found[item.id] for item in scored]
            return rank(scored, margins, calibration=bundle.calibration, noise_floor=noise_floor)
        fusion = bundle.signals.fusion
        known = [found.get(item.id) for item in self.candidates]
        fused = with_model(self.fused, fusion, known) if found else self.fused
        return rank_fused(self.candidates, fused, fusion, known, noise_floor=noise_floor)

    def _stats(self) -> Stats:
        return Stats(
            history_items=len(self.user.history),
            blocks=len(self.plan.blocks.complete),
            summary_calls=self.work.calls,
            summary_cache_hits=self.summary.hits,
            prefix_tokens=self.margins.prefix_tokens,
            candidate_tokens=self.margins.candidate_tokens,
            evaluated_tokens=self.margins.evaluated,
            margin_cache_hits=self.margins.hits,
            generated_tokens=self.work.generated_tokens,
            dropped_items=self.margins.dropped,
            seconds=self.seconds,
        )
