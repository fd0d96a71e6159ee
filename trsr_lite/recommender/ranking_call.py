"""One call that ranks candidates for one user, within its time.

Invariant: the answer is true whenever the time ends. Signals judge before the model is asked. A call whose turn does
not come in time is ranked by them and by the newest stored summary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trsr_lite.cancellation import Cancellation, Deadline
from trsr_lite.models.bundle import Bundle
from trsr_lite.models.session import ModelSession
from trsr_lite.recommender.answer import PartialResult
from trsr_lite.recommender.calls import Calls
from trsr_lite.recommender.candidates import found
from trsr_lite.recommender.queue import QueueTimeout
from trsr_lite.recommender.score import Margins, score
from trsr_lite.recommender.signals import Signals
from trsr_lite.results import OnProgress, Summary
from trsr_lite.signals.signal import MODEL
from trsr_lite.summaries.summarizer import Summarizer

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.catalog.retrieve_options import Retrieval


@dataclass(frozen=True)
class RankingCall:
    """The call, which fills in `answer`; the rest is what it works with.

    Attributes
    ----------
    names: the signals that rank, `model` among them where the model does.
    until: when the call's budget ends.
    catalog, retrieve: where candidates come from, if not given, and how they are found there.
    exact: whether margins are reproducible to the bit.
    own: the summary that the user wrote, which stands for a generated one.
    first: told when the signals have judged and the model has not.
    """

    answer: PartialResult
    bundle: Bundle
    summarizer: Summarizer
    calls: Calls
    signals: Signals
    names: Sequence[str]
    until: Deadline
    catalog: Catalog | None = None
    retrieve: Retrieval | int | None = None
    exact: bool = False
    first: Callable[[], None] | None = None
    own: Summary | None = None

    def run(self, cancel: Cancellation | None, progress: OnProgress | None) -> None:
        """Wait for the call's turn, then fill in the answer; raises what `Recommender.recommend` raises."""
        self.calls.queue.check()
        if cancel:
            cancel.check()
        if self.first is not None and self.catalog is None:  # signals need no turn
            self._ask_signals()
        try:
            with self.calls.run("recommend", cancel, progress, timeout=self.until.left) as session:
                self._run(session)
        except QueueTimeout:  # others had the whole time
            self._run_without_turn()

    def _run(self, session: ModelSession) -> None:
        answer = self.answer
        if MODEL in self.names:
            answer.summary, answer.uncovered = self._summary(session)
        session.ended("summarize")
        if self.catalog is not None:
            settings = answer.plan.settings
            answer.candidates = found(self.catalog, answer.user, answer.summary.text, self.retrieve, settings)
            session.ended("retrieve")
        if answer.fused is None:
            self._ask_signals()
        if MODEL in self.names:
            with session.within(self.until.left) as limited:
                self._ask_model(limited)
            self._load_after()
        session.ended("score")
        answer.seconds = session.seconds

    def _run_without_turn(self) -> None:
        answer = self.answer
        answer.started = False
        if answer.fused is None:
            self._ask_signals()
        if MODEL in self.names:
            newest = (self.own, 0) if self.own else self.summarizer.newest(answer.plan, answer.work)
            answer.summary, answer.uncovered = newest
            answer.margins = Margins(answer.shortlist(answer.plan.settings.rerank))

    def _summary(self, session: ModelSession) -> tuple[Summary, int]:
        """The summary there is time for, and how many complete blocks it does not cover."""
        if self.own is not None:
            return self.own, 0
        answer, pool = self.answer, self.calls.pool
        hurried = self.until.left is not None
        if hurried and not pool.hold_both and self.bundle.summarizer not in pool:
            # Loading it would unload the model that ranks, in every call.
            return self.summarizer.newest(answer.plan, answer.work)
        return self.summarizer.make_in_time(self.until, answer.plan, answer.user.user_id, session, answer.work)

    def _ask_signals(self) -> None:
        """Let all signals but the model judge the candidates, unless it ranks alone or there are none."""
        if tuple(self.names) != (MODEL,) and self.answer.candidates:
            history = self.answer.user.history
            self.answer.fused = self.signals.rank(self.bundle, self.names, history, self.answer.candidates)
            self.answer.because = partial(self.signals.because, self.bundle, self.names, history)
            if self.first is not None and MODEL in self.names:
                self.first()

    def _ask_model(self, session: ModelSession) -> None:
        """Let the model score as many candidates as there is time for, the most promising first."""
        answer = self.answer
        answer.margins = score(
            answer.plan,
            answer.summary.text,
            answer.shortlist(answer.plan.settings.rerank),
            self.bundle,
            session,
            self.summarizer.store,
            answer.user.user_id,
            exact=self.exact,
            leave_out=self.catalog is not None,
            own=self.own is not None,
        )
        if answer.fused is None:
            answer.candidates = answer.margins.candidates

    def _load_after(self) -> None:
        """Load what the call had no time to load, if it had too little; what was stored needs no weights."""
        if not self.answer.uncovered and self.answer.margins.complete:
            return
        needed = [self.bundle.recommender]
        if self.answer.uncovered and self.calls.pool.hold_both:
            needed.insert(0, self.bundle.summarizer)
        self.calls.load_behind(needed)
