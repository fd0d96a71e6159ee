"""A bundle's summarizer at work: preference summaries of users, from the store or made now.

Invariant: the model is asked for only where a summary is missing. What a user's summary rests on is linked to the user
before any of it is made, so that one who was interrupted can be forgotten too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trsr_lite.cancellation import Deadline
from trsr_lite.errors import Cancelled
from trsr_lite.models.bundle import ModelFile
from trsr_lite.models.session import ModelSession
from trsr_lite.records import Item, User
from trsr_lite.results import OnTokens, Summary
from trsr_lite.settings import Settings
from trsr_lite.summaries import generate
from trsr_lite.summaries import plan as nodes
from trsr_lite.summaries.generate import Work
from trsr_lite.summaries.store import SummaryStore


@dataclass(frozen=True)
class Summarizer:
    """The model of `file`, the `store` of what it wrote, and how it is asked; `work` counts what a call generates."""

    file: ModelFile
    store: SummaryStore
    settings: Settings

    def of(self, user: User, call: ModelSession, work: Work) -> Summary:
        """The summary of one user."""
        self._link(user.user_id, user.history)
        return self.together([user.history], call, work, on_progress=call.stage("summarize"))[0]

    def in_time(self, until: Deadline, user: User, call: ModelSession, work: Work) -> tuple[Summary, int]:
        """The summary that half of the time until then allows, else the newest; as `newest` returns it."""
        left = until.left
        try:
            with call.within(None if left is None else left / 2) as limited:
                return self.of(user, limited, work), 0
        except Cancelled:
            call.stop.check()  # not the time, but the caller
            return self.newest(user, work)

    def newest(self, user: User, work: Work) -> tuple[Summary, int]:
        """The newest stored summary, and how many complete blocks it does not cover; generates nothing."""
        return generate.newest(user.history, self.settings, self.store, self.file.identity, work.made)

    def together(
        self,
        histories: Sequence[Sequence[Item]],
        call: ModelSession,
        work: Work,
        *,
        user_ids: Sequence[str | None] | None = None,
        on_progress: OnTokens | None = None,
        deterministic: bool = False,
    ) -> list[Summary]:
        """Summaries of several histories, generated in the same batches (see `summarize.summarize`).

        `user_ids` say whose each history is; those without one are nobody's, and no user's to forget.
        """
        for user_id, history in zip(user_ids or (), histories, strict=user_ids is not None):
            self._link(user_id, history)
        return generate.summarize(
            histories,
            self.settings,
            self.store,
            self.file.identity,
            lambda: call.use(self.file),
            on_progress=on_progress,
            cancel=call.stop,
            work=work,
            deterministic=deterministic,
        )

    def _link(self, user_id: str | None, history: Sequence[Item]) -> None:
        if user_id:
            plan = nodes.plan(history, self.settings, self.file.identity)
            self.store.link(user_id, [node.key for node in nodes.ordered(plan)])
