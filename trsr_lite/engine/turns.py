"""Turns between processes: of those that would need the same cores, one computes at a time.

Invariant: a turn is a lock of the operating system, so that it ends with its process, however that ends. Nobody waits
for ever: who has waited `PATIENCE` seconds goes on without, and where nothing can be locked nobody waits at all. Work
in the background goes behind all other, but never rests for longer than `REST`.

llama.cpp's threads meet at a barrier several hundred times a token, and spin there. Two processes that share their
cores wait for each other's threads, and become up to ten times slower.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from trsr_lite.io import folders
from trsr_lite.io.lock import Lock

logger = logging.getLogger(__name__)

SLICE = 0.1  # seconds: who has computed for less keeps the turn for the next batch
PATIENCE = 60.0  # seconds: a holder that takes longer was stopped, or is no process of ours
WITHOUT = 600.0  # seconds without turns once patience was lost
REST = 10.0  # most seconds between two turns of work in the background
LOOK = 0.002  # seconds between two looks at a lock, the same for all: who has waited for long looks as often


class Turns:
    """The turns of one engine: `take` before each batch, `done` behind it, `end` when a call has ended.

    One lock is the turn; who waits for it holds the other one, so that nobody who comes later is faster. `urgent` is
    held by some process that is not in the background, as long as one has a call.
    """

    def __init__(self, folder: Path | None = None, *, background: bool = False) -> None:
        self._folder, self._background, self._process = folder, background, os.getpid()
        self._locks: dict[str, Lock] | None = None
        self._since: float | None = None  # when the turn began
        self._last = time.monotonic()  # when the last one ended
        self._without_until = 0.0

    def take(self, stopped: Callable[[], bool]) -> bool:
        """Wait for a turn, until `stopped`; whether there was a wait. A turn that goes on is not waited for."""
        start = time.monotonic()
        if os.getpid() != self._process:  # a forked child holds nothing, and makes locks of its own
            self._locks, self._since, self._process = None, None, os.getpid()
        if self._since is not None or start < self._without_until or not self._opened():
            return False
        waited = self._give_way(stopped) if self._background else self._hurry()
        until = start + PATIENCE
        if self._get("next", until, stopped):
            try:
                got = self._get("turn", until, stopped)
            finally:
                self._release("next")
            if got:
                self._since = time.monotonic()
        if self._since is None and not stopped():
            logger.info("no turn within %d seconds: computing beside another process", PATIENCE)
            self._without_until = time.monotonic() + WITHOUT
        return waited or time.monotonic() - start >= LOOK

    def done(self) -> None:
        """A batch was computed; a turn that was long enough ends."""
        if self._since is not None and time.monotonic() - self._since >= SLICE:
            self._end_turn()

    def end(self) -> None:
        """The call has ended: nothing is held any more."""
        self._end_turn()
        self._release("urgent")

    # Inside

    def _end_turn(self) -> None:
        if self._since is not None:
            self._since, self._last = None, time.monotonic()
            self._release("turn")

    def _hurry(self) -> bool:
        """Tell work in the background to wait; that another process tells it already is as good."""
        self._try("urgent")
        return False

    def _give_way(self, stopped: Callable[[], bool]) -> bool:
        """Let all calls of others go first, for as long as work in the background may rest."""
        start = time.monotonic()
        if self._get("urgent", self._last + REST, stopped):
            self._release("urgent")
        return time.monotonic() - start >= LOOK

    def _get(self, name: str, until: float, stopped: Callable[[], bool]) -> bool:
        while not self._try(name):
            if self._locks is None or stopped() or time.monotonic() >= until:
                return False
            time.sleep(LOOK)
        return True

    def _try(self, name: str) -> bool:
        """Whether the lock is ours now, or was; without locks there are no turns."""
        if self._locks is None:
            return False
        try:
            return self._locks[name].take()
        except OSError as error:
            self._give_up(error)
            return False

    def _release(self, name: str) -> None:
        if self._locks is not None and os.getpid() == self._process:
            try:
                self._locks[name].give_back()
            except OSError as error:
                self._give_up(error)

    def _opened(self) -> bool:
        """Whether there are locks; made when they are first needed, in a folder that is this user's alone."""
        if self._locks is not None:
            return True
        try:
            folder = self._folder or folders.runtime()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if hasattr(os, "getuid") and {place.stat().st_uid for place in (folder, folder.parent)} != {os.getuid()}:
                raise PermissionError(1, "another user's folder")
        except OSError as error:
            self._give_up(error)
            return False
        self._locks = {name: Lock(folder / f"{name}.lock") for name in ("urgent", "next", "turn")}
        return True

    def _give_up(self, error: Exception) -> None:
        logger.info("processes cannot take turns: %s", error)
        self._locks, self._since, self._without_until = None, None, float("inf")
