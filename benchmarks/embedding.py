"""What a host application feels: cancelling, an event loop's longest wait, memory over many cycles, threads.

`python -m benchmarks.embedding [--model M] [--threads N] [--cancels N] [--loads N] [--cycles N]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import report
from trsr_lite import Cancellation, Cancelled, EngineOptions, Recommender, run_async
from trsr_lite.bench import samples

TICK = 0.005
HISTORY, CANDIDATES = 30, 21
SEEDS = count(1)


def resident() -> int:
    """Resident bytes of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def native_threads() -> int:
    """Threads of this process, those of C libraries included (Linux)."""
    return len(list(Path("/proc/self/task").iterdir()))


def cold_user() -> Any:
    """A user that no summary is known of."""
    return samples.user(HISTORY, CANDIDATES, next(SEEDS))


def cancels(recommender: Recommender, trials: int, *, waiting: bool) -> list[float]:
    """Seconds from `cancel()` to the call's end, at random moments of a cold recommendation, or of its wait."""
    start = time.perf_counter()
    recommender.recommend(cold_user())
    whole, dice, seconds = time.perf_counter() - start, random.Random(0), []
    while len(seconds) < trials:
        stop, ahead, ended = Cancellation(), Cancellation(), []

        def call(stop: Cancellation, ended: list[float]) -> None:
            with suppress(Cancelled):  # whether it heard or not: a call that goes on to its end counts as it is
                recommender.recommend(cold_user(), cancel=stop)
            ended.append(time.perf_counter())

        first = threading.Thread(target=call, args=(ahead, []))
        thread = threading.Thread(target=call, args=(stop, ended))
        if waiting:
            first.start()
            time.sleep(0.01)
        thread.start()
        time.sleep(dice.random() * (0.2 if waiting else 0.9) * whole)
        told = time.perf_counter()
        stop.cancel()
        thread.join()
        ahead.cancel()
        if waiting:
            first.join()
        if ended[0] > told:
            seconds.append(ended[0] - told)
    return seconds


async def longest_wait(work: Any) -> float:
    """Seconds that a loop which ticks every 5 ms was at most kept from ticking while `work` was awaited."""
    longest, over = 0.0, False

    async def tick() -> None:
        nonlocal longest
        while not over:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            longest = max(longest, time.perf_counter() - due)

    ticking = asyncio.create_task(tick())
    await work
    over = True
    await ticking
    return longest


def cold_wait(options: dict[str, Any]) -> float:
    """The same while a recommender is loaded, its libraries and weights too, and ranks for an unknown user."""

    def cold(cancel: Cancellation) -> None:
        with Recommender.load(**options) as recommender:
            recommender.recommend(cold_user(), cancel=cancel)

    async def main() -> float:
        return await longest_wait(run_async(cold))

    return asyncio.run(main())


def cycles(options: dict[str, Any], times: int) -> dict[str, float]:
    """Bytes and threads after the third and after the last of so many load/recommend/close cycles."""
    user, found = samples.user(10, 5, 0), {}
    for cycle in range(times):
        with Recommender.load(**options) as recommender:
            recommender.recommend(user)
        if cycle == 2:
            found = {"bytes": resident(), "threads": native_threads()}
    return {"growth": resident() - found["bytes"], "more_threads": native_threads() - found["threads"]}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cancels", type=int, default=50)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        machine = EngineOptions(threads=options.threads)
        loading = {"model": options.model, "options": machine, "cache_dir": name, "cache_size": 0, "offline": True}
        loading["signals"] = ("model",)  # else the default ranks without its model
        first = cold_wait(loading)  # before anything was imported: a process has only one such start
        waits = [cold_wait(loading) for _ in range(options.loads)]
        quiet = [asyncio.run(longest_wait(asyncio.sleep(1.0))) for _ in range(options.loads)]
        with Recommender.load(**loading) as recommender:
            running = cancels(recommender, options.cancels, waiting=False)
            queued = cancels(recommender, max(2, options.cancels // 2), waiting=True)
        kept = cycles(loading, options.cycles)
        left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    rows = [
        ("cancel to idle, 50th percentile", f"{statistics.median(running) * 1e3:.0f} ms", ""),
        ("cancel to idle, 95th percentile", f"{statistics.quantiles(running, n=20)[-1] * 1e3:.0f} ms", "< 200 ms"),
        ("the same of a call that waits, 95th", f"{statistics.quantiles(queued, n=20)[-1] * 1e3:.0f} ms", "< 200 ms"),
        ("longest wait of an event loop, first cold call", f"{first * 1e3:.0f} ms", "< 50 ms"),
        ("the same, later cold calls (longest)", f"{max(waits) * 1e3:.0f} ms", "< 50 ms"),
        ("the same, while nothing runs (longest)", f"{max(quiet) * 1e3:.0f} ms", ""),
        (f"memory growth over {options.cycles} cycles", f"{kept['growth'] / 1e6:.1f} MB", "< 5 MB"),
        ("threads more after the third cycle", str(kept["more_threads"]), "0"),
        ("Python threads left", str(len(left)), "0"),
    ]
    data = {"running": running, "queued": queued, "first": first, "waits": waits, "quiet": quiet, **kept, "left": left}
    whole = options == parser.parse_args([])
    report("embedding", rows, {"options": vars(options), "seconds": data}, whole=whole)


if __name__ == "__main__":
    main()
