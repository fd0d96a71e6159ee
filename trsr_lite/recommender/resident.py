"""A bundle in use: its queue of calls, the models in memory, and the end of both.

Invariant: one call runs at a time and the others wait their turn. Nothing is loaded before a call needs it, and nothing
stays open after `close`.
"""

from __future__ import annotations

import copy
import math
from types import TracebackType
from typing import Any, Self

from trsr_lite.cancellation import limit
from trsr_lite.errors import SettingsError
from trsr_lite.models.bundle import Bundle
from trsr_lite.models.pool import ModelPool, OpenEngine
from trsr_lite.models.session import announced
from trsr_lite.recommender.calls import Calls
from trsr_lite.recommender.queue import Call, CallQueue
from trsr_lite.recommender.signals import Signals
from trsr_lite.settings import Settings
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.summaries.summarizer import Summarizer


class Resident:
    """One bundle, the store of its summaries, and the calls on both."""

    def __init__(
        self,
        bundle: Bundle,
        store: SummaryStore,
        open_engine: OpenEngine,
        *,
        settings: Settings | None = None,
        unload_after: float | None = None,
        max_memory: int | None = None,
    ) -> None:
        for name, value in (("unload_after", unload_after), ("max_memory", max_memory)):
            if value is not None and not value > 0:  # nor NaN
                raise SettingsError(f"{name} is {value}; it must be above 0")
        self.bundle, self.store = bundle, store
        self.settings = settings or bundle.settings
        pool = ModelPool(bundle, announced(open_engine), None if max_memory == math.inf else max_memory)
        self._signals = Signals(open_engine)
        self._calls = Calls(pool, limit(unload_after), self._release)

    def with_settings(self, settings: Settings) -> Self:
        """The same with other settings on the same models: it shares their queue of calls and the store.

        So it shares their end: closing either closes both.
        """
        other = copy.copy(self)
        other.settings = settings
        return other

    @property
    def queue(self) -> CallQueue[Call]:
        """Which calls run and wait: `queue.state()`."""
        return self._calls.queue

    @property
    def loaded(self) -> tuple[str, ...]:
        """Identities of the models in memory."""
        return self._calls.pool.loaded

    def describe(self) -> dict[str, dict[str, Any]]:
        """What `inspect` shows of each model: architecture, parameters, context length."""
        files = {"summarizer": self.bundle.summarizer, "recommender": self.bundle.recommender}
        with self._calls.run("describe") as session:
            return {role: dict(session.use(file).describe()) for role, file in files.items()}

    def forget(self, user_id: str | int) -> int:
        """Delete every stored summary that only this user's history rests on; returns how many.

        Raises `SettingsError` for what is no user's id, and `StoreError` where something could not be deleted from the
        disk.
        """
        if isinstance(user_id, bool) or not isinstance(user_id, (str, int)) or user_id == "":
            raise SettingsError(
                f"user_id is {user_id!r}; it must be text that is not empty, or a whole number",
                hint="`trsr-lite cache clear` deletes the summaries of all users",
            )
        user_id = str(user_id)
        self._calls.forget(user_id)
        with self._calls.run("forget"):
            return self.store.clear(user_id)

    def cancel(self) -> None:
        """Stop every call that runs or waits now, from any thread; each raises `Cancelled`."""
        self._calls.cancel()

    def unload(self) -> None:
        """Free the models' memory, after the calls that stand before; the next call that needs one loads it again."""
        with self._calls.run("unload"):
            self._calls.pool.close()

    def close(self) -> None:
        """Stop the running call, refuse the waiting ones with `Closed`, free models, and close the store.

        At any time, from any thread, and as often as one likes. Summaries that were finished are kept.
        """
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _summarizer(self) -> Summarizer:
        return Summarizer(self.bundle.summarizer, self.store)

    def _release(self) -> None:
        self._calls.pool.close()
        self._signals.close()
        self.store.close()
