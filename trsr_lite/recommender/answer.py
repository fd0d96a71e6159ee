"""A result in the making: what a call on one user has come to, at whatever moment its time ends.

Invariant: a partial result makes a true result at any moment. What is not there yet counts as skipped, nothing is
guessed, and candidates keep their order until they are ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trsr_lite.models.bundle import Bundle
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.recommender.rank import rank
from trsr_lite.recommender.score import Margins
from trsr_lite.records import Item, User
from trsr_lite.results import Result, Skipped, Stats, Summary
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
    margins: of the first candidates.
    work: what was generated for it.
    seconds: of each stage.
    """

    user: User
    plan: Plan
    candidates: Sequence[Item] = ()
    started: bool = True
    summary: Summary = field(default_factory=Summary)
    uncovered: int = 0
    margins: Margins = field(default_factory=Margins)
    work: Work = field(default_factory=Work)
    seconds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def result(self, bundle: Bundle, *, k: int | None = None, exact: bool = False) -> Result:
        """The best `k` of those that were scored (all without `k`), best first; `exact` as they were scored."""
        count = len(self.margins.margins)
        ranked = rank(
            self.candidates[:count],
            self.margins.margins,
            calibration=bundle.calibration,
            noise_floor=0.0 if exact else bundle.noise_floor,
        )
        left = tuple(self.candidates[count:])
        return Result(
            user_id=self.user.user_id,
            strategy=self.plan.settings.strategy,
            summary=self.summary.text,
            nodes=self.summary.nodes,
            recommendations=tuple(ranked[:k]),
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

    def _stats(self) -> Stats:
        return Stats(
            history_items=len(self.user.history),
            blocks=len(self.plan.blocks.complete),
            summary_calls=self.work.calls,
            summary_cache_hits=self.summary.hits,
            prefix_tokens=self.margins.prefix_tokens,
            candidate_tokens=self.margins.candidate_tokens,
            generated_tokens=self.work.generated_tokens,
            dropped_items=self.margins.dropped,
            seconds=self.seconds,
        )
