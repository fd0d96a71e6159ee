"""How many threads compute, by what other programs leave of the processor.

Invariant: never more than `most`, never fewer than one, and a number of threads that was asked for stays. A number
changes how fast a margin comes, never the margin.

One thread that must share its core is waited for by all others at every barrier, so that two threads on one and a half
cores are slower than one. What is available is what nobody used, and what this process itself used, in the same time.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from pathlib import Path

WINDOW = 0.25  # seconds of computing that one judgement rests on; the system counts in hundredths
STALE = 0.5  # seconds: after a longer pause the load may be another
GAP = 0.4  # of a core that may be missing: waiting for a thread that has 0.6 of one is better than one thread fewer
STAT, AVERAGE = Path("/proc/stat"), Path("/proc/loadavg")


class Load:
    """The threads of one engine: `now` of them, at most `most`; `fixed` ones are never changed."""

    def __init__(self, most: int, *, fixed: bool = False) -> None:
        self.most = self.now = most
        self._fixed = fixed or most == 1
        self._rising = False  # whether the last judgement was for more threads already
        self._restart()

    def begin(self) -> None:
        """A call begins: after a pause, as many threads as cores have nothing to do at this moment."""
        if not self._fixed and time.monotonic() - self._start > STALE:
            others = runnable()
            if others is not None:
                self.now = min(self.most, max(1, (os.cpu_count() or 1) - others))
        self._restart()

    def waited(self) -> None:
        """Forget the time so far: this process did nothing, which says nothing about others."""
        self._restart()

    def look(self) -> bool:
        """A batch was computed; whether `now` has changed by what was available meanwhile."""
        spent = time.monotonic() - self._start
        if self._fixed or spent < WINDOW:
            return False
        idle, own = idle_seconds(), time.process_time()
        before = self.now
        if idle is not None and self._idle is not None:
            self._judge((idle - self._idle + own - self._own) / spent)
        self._restart()
        return self.now != before

    def _judge(self, available: float) -> None:
        """Fewer threads at once, more only when they would do twice in a row."""
        wanted = min(self.most, max(1, math.floor(available + GAP)))
        if wanted < self.now or (wanted > self.now and self._rising):
            self.now = wanted
            self._rising = False
        else:
            self._rising = wanted > self.now

    def _restart(self) -> None:
        self._start, self._idle, self._own = time.monotonic(), idle_seconds(), time.process_time()


def idle_seconds(stat: Path = STAT) -> float | None:
    """Seconds that the processors of this process had nothing to do, all together; None where nobody says."""
    if sys.platform != "linux":
        return _idle_elsewhere()
    with contextlib.suppress(OSError, ValueError, IndexError):
        mine = {f"cpu{cpu}" for cpu in os.sched_getaffinity(0)}
        lines = (line.split() for line in stat.read_text().splitlines() if line.startswith("cpu"))
        ticks = sum(int(fields[4]) + int(fields[5]) for fields in lines if fields[0] in mine)
        return ticks / os.sysconf("SC_CLK_TCK")
    return None


def _idle_elsewhere() -> float | None:
    import psutil

    with contextlib.suppress(OSError):
        return float(psutil.cpu_times().idle)
    return None


def runnable(average: Path = AVERAGE) -> int | None:
    """How many threads of others want to compute at this moment, at least; None where nobody says.

    The least of three looks: what is there for a millisecond takes no core away. A process that may not use every
    processor learns nothing from it.
    """
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) != os.cpu_count():
        return None
    counts = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for _ in range(3):
            counts.append(int(average.read_text().split()[3].partition("/")[0]))
            time.sleep(0.001)
    return max(0, min(counts) - 1) if counts else None
