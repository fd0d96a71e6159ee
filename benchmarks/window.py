"""How long the desktop reader's event loop ever waits while a first, cold ranking runs: `python -m benchmarks.window`.

A timer that asks for every millisecond notes how late it comes: what it misses, a key press would miss too. The same is
noted while nothing runs, which is what Tk and the machine cost. Needs Xvfb and a Python with Tk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from trsr_lite import EngineOptions, Recommender, read_user

EXAMPLES = Path(__file__).parent.parent / "examples"
AIM = 50.0  # milliseconds
IDLE = 3.0  # seconds

sys.path[:0] = [str(EXAMPLES / "desktop_reader"), str(EXAMPLES.parent / "tests")]
import screens  # noqa: E402

from window import Window  # noqa: E402


class Delays:
    """Milliseconds by which a timer of one millisecond came late, each time."""

    def __init__(self, window: Window) -> None:
        self._window, self._root, self._last = window, window.root, time.perf_counter()
        self.found: list[tuple[float, str]] = []
        self._tick()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.found.append(((now - self._last) * 1000 - 1, self._window.status.cget("text")))
        self._last = now
        self.timer = self._root.after(1, self._tick)

    def until(self, done: Callable[[], bool]) -> dict[str, Any]:
        """Live until `done()`, and tell of the delays meanwhile."""
        self.found.clear()
        start = time.perf_counter()
        while not done():
            self._root.update()
            time.sleep(0.0005)
        delays = np.array([delay for delay, _ in self.found])
        return {
            "seconds": time.perf_counter() - start,
            "max": float(delays.max()),
            "p99": float(np.percentile(delays, 99)),
            "longest": [(round(delay, 1), shown) for delay, shown in sorted(self.found, reverse=True)[:5]],
            "over_aim": int((delays > AIM).sum()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", default="smollm2")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache, screens.screen() as screen:
        window = Window(
            read_user(EXAMPLES / "news_reader.json"),
            lambda progress: Recommender.load(
                options.model,
                options=EngineOptions(threads=options.threads),
                cache_dir=cache,
                offline=True,
                domain="news",
                progress=progress,
            ),
            screen=screen.name,
        )
        delays = Delays(window)
        cold = delays.until(lambda: window.result is not None)
        end = time.perf_counter() + IDLE
        idle = delays.until(lambda: time.perf_counter() > end)
        window.root.after_cancel(delays.timer)
        window.close()
        while not window.ended:
            window.root.update()
    rows = [
        (
            "longest wait of the event loop, cold ranking with imports and loading",
            f"{cold['max']:.1f} ms",
            "≤ 50 ms",
        ),
        ("… while it said", cold["longest"][0][1], ""),
        ("… 99 of 100 waits are shorter than", f"{cold['p99']:.1f} ms", ""),
        ("… how long the ranking took", f"{cold['seconds']:.1f} s", ""),
        ("longest wait while nothing runs", f"{idle['max']:.1f} ms", ""),
    ]
    measure.report("window", rows, {"cold": cold, "idle": idle}, whole=options == parser.parse_args([]))


if __name__ == "__main__":
    main()
