"""One running call: how far it is, what it took, and whether it was stopped.

Invariant: every report of progress first looks for a cancellation, so that whoever reports also stops; time spent
loading models counts as `load`, whichever stage it happened in.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from trsr_lite.bundle import ModelFile
from trsr_lite.cancellation import Cancellation
from trsr_lite.engine.base import Engine
from trsr_lite.engine.base import OnProgress as EngineProgress
from trsr_lite.models import Models
from trsr_lite.result import OnProgress, Progress


class Call:
    """What a call hands to everything it runs. `seconds` holds the stages that have ended."""

    def __init__(self, stop: Cancellation, progress: OnProgress | None, models: Models) -> None:
        self.stop = self.whole = stop  # `whole` stops the call, `stop` perhaps a part of it
        self._progress, self._models = progress, models
        self._loaded, self._last = models.seconds, time.perf_counter()
        self.seconds: dict[str, float] = {"load": 0.0}

    def stage(self, name: str, *, rated: bool = True) -> EngineProgress:
        """A callback for (done, total) in tokens, which raises `Cancelled` where the call was stopped."""
        start = time.perf_counter()

        def report(done: int, total: int) -> None:
            self.stop.check()
            if self._progress:
                spent = time.perf_counter() - start
                rate = done / spent if rated and done and spent > 0 else None
                self._progress(Progress(name, min(1.0, done / max(total, 1)), rate))

        report(0, 1)
        return report

    def use(self, file: ModelFile) -> Engine:
        """The model of a file, to work with; loaded first where it is not in memory."""
        return self._models.use(file, self.stage("load", rated=False))

    def vocabulary(self, file: ModelFile) -> closing[Engine]:
        """For a block: the vocabulary of a file, without its weights."""
        return closing(self._models.vocabulary(file, self.stage("load", rated=False)))

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[Call]:
        """The same call with a limit: what runs in it is also stopped after so many seconds."""
        part = copy.copy(self)
        with self.stop.limited(seconds) as part.stop:
            yield part

    def ended(self, stage: str) -> None:
        """A stage is over: note its seconds, without what was spent on loading."""
        now, loaded = time.perf_counter(), self._models.seconds
        self.seconds["load"] += loaded - self._loaded
        self.seconds[stage] = now - self._last - (loaded - self._loaded)
        self._last, self._loaded = now, loaded
