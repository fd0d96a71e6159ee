"""The models that requests name: one `Recommender` for each reference, and the summaries they share.

Invariant: at most `OPEN` are open; the one that was unused for longest is closed first. One thread uses, forgets
and closes; any may look.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trsr_lite.errors import ModelError, StoreError
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.results import OnProgress
from trsr_lite.summaries.store import SummaryStore

OPEN = 2
"""Recommenders kept open. Two of one file share its weights in memory, which are mapped."""

OpenRecommender = Callable[[str | None, OnProgress | None], Recommender]
"""Opens a reference (None: the default)."""


class Recommenders:
    """Recommenders by what was asked for; `store` is where all of them keep summaries."""

    def __init__(self, open_recommender: OpenRecommender, store: SummaryStore) -> None:
        self._open_recommender, self.store = open_recommender, store
        self._open: OrderedDict[str | None, Recommender] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def using(self, model: str | None, progress: OnProgress | None = None) -> Iterator[Recommender]:
        """The recommender for a reference, opened now if it is not; raises what opening it raises.

        After a `ModelError` in the block it is closed: a model file may have been replaced, and the next request gets
        the new one.
        """
        found = self._open.get(model) or self._open_recommender(model, progress)
        with self._lock:
            self._open[model] = found
            self._open.move_to_end(model)
            unused = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - OPEN)]
        for recommender in unused:
            recommender.close()
        try:
            yield found
        except ModelError:
            with self._lock:
                self._open.pop(model, None)
            found.close()
            raise

    def forget(self, user_id: str) -> int:
        """Delete every summary that only this user's history rests on, on disk and in memory; returns how many.

        Where the cache folder cannot be written, each recommender holds summaries of its own. What can be deleted is
        deleted; then raises the first `StoreError`.
        """
        with self._lock:
            recommenders = list(self._open.values())
        ways: list[Callable[[str], int]] = [self.store.clear, *(recommender.forget for recommender in recommenders)]
        forgotten, errors = 0, list[StoreError]()
        for forget in ways:
            try:
                forgotten += forget(user_id)
            except StoreError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return forgotten

    def describe(self) -> list[dict[str, Any]]:
        """What is open, the last used one last."""
        with self._lock:
            recommenders = list(self._open.values())
        return [
            {
                "model": recommender.bundle.name,
                "trained": recommender.bundle.trained,
                "hint": recommender.bundle.hint,
                "settings": recommender.settings.to_dict(),
            }
            for recommender in recommenders
        ]

    def close(self) -> None:
        """Close all, and the store."""
        with self._lock:
            recommenders = [self._open.popitem()[1] for _ in range(len(self._open))]
        for recommender in recommenders:
            recommender.close()
        self.store.close()
