"""A bundle's summarizer at work: preference summaries of users, from the store or made now.

Invariant: a history is planned once, and the model is loaded only where a summary is missing. What a summary rests on
is linked to the user before any of it is made, so an interrupted user can be forgotten too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trsr_lite.cancellation import Deadline
from trsr_lite.errors import Cancelled
from trsr_lite.models.bundle import ModelFile
from trsr_lite.models.session import ModelSession
from trsr_lite.records import Item
from trsr_lite.results import OnTokens, Summary
from trsr_lite.settings import Settings
from trsr_lite.summaries import generate
from trsr_lite.summaries.generate import Work
from trsr_lite.summaries.plan import Plan, plan
from trsr_lite.summaries.store import SummaryStore


@dataclass(frozen=True)
class Summarizer:
    """The model of `file`, and the `store` of what it wrote; `work` counts what a call generates."""

    file: ModelFile
    store: SummaryStore

    def plan(self, history: Sequence[Item], settings: Settings) -> Plan:
        """What the summary of a history is made from."""
        return plan(history, settings, self.file.identity)

    def make(self, plan: Plan, user_id: str | None, session: ModelSession, work: Work) -> Summary:
        """The summary of one history, which is `user_id`'s; without an id it is nobody's."""
        return self.make_all([plan], [user_id], session, work, on_progress=session.stage("summarize"))[0]

    def make_in_time(
        self, until: Deadline, plan: Plan, user_id: str | None, session: ModelSession, work: Work
    ) -> tuple[Summary, int]:
        """The summary that half of the time until then allows, else the newest; as `newest` returns it."""
        left = until.left
        try:
            with session.within(None if left is None else left / 2) as limited:
                return self.make(plan, user_id, limited, work), 0
        except Cancelled:
            session.stop.check()  # not the time, but the caller
            return self.newest(plan, work)

    def newest(self, plan: Plan, work: Work) -> tuple[Summary, int]:
        """The newest stored summary, and how many complete blocks it does not cover; generates nothing."""
        return generate.newest(plan, self.store, work.made)

    def make_all(
        self,
        plans: Sequence[Plan],
        user_ids: Sequence[str | None],
        session: ModelSession,
        work: Work,
        *,
        on_progress: OnTokens | None = None,
        deterministic: bool = False,
    ) -> list[Summary]:
        """Summaries of several histories, generated in the same batches (see `generate.summarize`)."""
        for user_id, each in zip(user_ids, plans, strict=True):
            if user_id:
                self.store.link(user_id, [node.key for node in each.nodes])
        return generate.summarize(
            plans,
            self.store,
            lambda: session.use(self.file),
            on_progress=on_progress,
            cancel=session.stop,
            work=work,
            deterministic=deterministic,
        )
