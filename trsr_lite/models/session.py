"""One running call: how far it is, what it took, and whether it was stopped.

Invariant: every report of progress first looks for a cancellation, so whoever reports also stops. Loading models counts
as `load`, whichever stage it happened in.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from trsr_lite.cancellation import Cancellation
from trsr_lite.engine.interface import Engine
from trsr_lite.engine.interface import OnProgress as EngineProgress
from trsr_lite.models.bundle import ModelFile
from trsr_lite.models.pool import ModelPool, OpenEngine
from trsr_lite.results import OnProgress, OnTokens, Progress


class ModelSession:
    """What a call hands to everything it runs. `seconds` holds the stages that have ended."""

    def __init__(self, stop: Cancellation, progress: OnProgress | None, pool: ModelPool) -> None:
        self.stop = self.whole = stop  # `whole` stops the call, `stop` perhaps a part of it
        self._progress, self._pool = progress, pool
        self._loaded, self._last = pool.seconds, self._clock()
        self.seconds: dict[str, float] = {"load": 0.0}

    def stage(self, name: str) -> OnTokens:
        """Begin one: a callback for (done, total) in tokens, which raises `Cancelled` where the call was stopped."""
        report = self._reporter(name)
        report(0, 1)
        return report

    def use(self, file: ModelFile) -> Engine:
        """The model of a file, to work with; loaded first where it is not in memory."""
        self.stop.check()
        return self._pool.use(file, self._reporter("load", rated=False))

    def reader(self, file: ModelFile) -> Engine:
        """To read and write tokens of a file: its model where that is in memory, else its vocabulary alone."""
        self.stop.check()
        return self._pool.reader(file, self._reporter("load", rated=False))

    def vocabulary(self, file: ModelFile) -> closing[Engine]:
        """For a block: the vocabulary of a file, without its weights."""
        return closing(self._pool.vocabulary(file, self._reporter("load", rated=False)))

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[ModelSession]:
        """The same call with a limit: what runs in it is also stopped after so many seconds."""
        part = copy.copy(self)
        with self.stop.limited(seconds) as part.stop:
            yield part

    def ended(self, stage: str) -> None:
        """A stage is over: note its seconds, without what was spent on loading."""
        now, loaded = self._clock(), self._pool.seconds
        self.seconds["load"] += loaded - self._loaded
        self.seconds[stage] = now - self._last
        self._last, self._loaded = now, loaded

    def _reporter(self, name: str, *, rated: bool = True) -> OnTokens:
        start = self._clock()

        def report(done: int, total: float) -> None:
            self.stop.check()
            if self._progress:
                spent = self._clock() - start
                rate = done / spent if rated and done and spent > 0 else None
                self._progress(Progress(name, min(1.0, done / max(total, 1)), rate))

        return report

    def _clock(self) -> float:
        """Seconds of a clock that stands still while models are loaded."""
        return time.perf_counter() - self._pool.seconds


def announced(open_engine: OpenEngine) -> OpenEngine:
    """Opens engines the same way, and says so first: an engine tells only what it has read of its file."""

    def open_announced(file: ModelFile, vocab_only: bool, on_load: EngineProgress | None) -> Engine:
        if on_load:
            on_load(0, 1)
        return open_engine(file, vocab_only, on_load)

    return open_announced
