"""Time against the length of a history, and against the number of candidates.

    python -m benchmarks.length [--quick]

A history is read three times: nothing is cached (cold), then with one more item that completes a block, then again
(warm). Warm must not depend on the length, one more item must stay bounded, and cold may grow in proportion. Candidates
behind a prefix of 600 tokens must cost what as many tokens of plain prefill cost.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import default, workload
from benchmarks.measure import in_turns, report, results
from trsr_lite import Recommender
from trsr_lite.bench import samples
from trsr_lite.bench.speeds import CANDIDATE, CANDIDATES, PREFIX
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.records import User

LENGTHS, QUICK_LENGTHS = (5, 10, 25, 50, 100, 250, 500, 1000), (5, 25, 50)
COUNTS, QUICK_COUNTS = (1, 2, 5, 10, 21, 50, 100, 200), (1, 10, 21)
STATES = ("cold", "one more item", "warm")
ROUNDS = 3
RAW = 1800  # tokens of plain prefill


def main() -> None:
    """Measure, draw and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short histories and few candidates: a minute")
    quick = parser.parse_args().quick
    histories = [history(length) for length in (QUICK_LENGTHS if quick else LENGTHS)]
    scoring = candidates(QUICK_COUNTS if quick else COUNTS)
    draw(histories, scoring, results(whole=not quick) / "length.svg")
    cold, warm = ([(one["items"], one["seconds"][state]) for one in histories] for state in ("cold", "warm"))
    long = [one for one in histories if one["items"] >= 25]  # shorter ones have less to read
    lengths = [one["items"] for one in long]
    flat = [one["seconds"]["warm"] for one in long]
    slope, deviation = line(*zip(*cold, strict=True))
    report(
        "length",
        [
            ("warm, longest history / 25 items", f"{flat[-1] / flat[0]:.2f}×", "flat: ≤ 1.1×"),
            ("one more item, most calls", str(max(one["calls"]["one more item"] for one in histories)), "bounded"),
            ("one more item, slowest", f"{max(one['seconds']['one more item'] for one in long):.2f} s", ""),
            ("… above warm, longest history", f"{extra(long[-1]):.2f} s", ""),
            ("cold, seconds for each item", f"{slope:.3f} s", ""),
            ("cold, largest distance from a line", f"{deviation:.0%} of the longest", "linear"),
            ("a candidate token / a token of raw prefill", f"{scoring['slope'] * scoring['rate']:.2f}", "0.85 to 1.15"),
            ("candidates, largest distance from a line", f"{scoring['deviation']:.0%} of the most", "linear"),
            ("raw prefill, tokens per second", f"{scoring['rate']:.0f}", ""),
        ],
        {"histories": histories, "candidates": scoring, "warm": warm, "lengths": lengths},
        whole=not quick,
    )


def history(length: int) -> dict[str, Any]:
    """Seconds and summary calls of one history in each state."""
    user = samples.user(length, CANDIDATES, seed=length)
    states = (user.history[:-1], user.history, user.history)
    seconds, calls = {}, {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Recommender.load(cache_dir=folder, signals=("model",), cache_size=0) as recommender,
    ):
        recommender.recommend(samples.user(5, 1, seed=0))  # models are loaded
        for state, items in zip(STATES, states, strict=True):
            spent = []
            for _ in range(ROUNDS if state == "warm" else 1):  # the others happen once
                start = time.perf_counter()
                result = recommender.recommend(User("", items, user.candidates))
                spent.append(time.perf_counter() - start)
            seconds[state], calls[state] = float(np.median(spent)), result.stats.summary_calls
    print(length, {state: round(value, 2) for state, value in seconds.items()}, calls, flush=True)
    return {"items": length, "seconds": seconds, "calls": calls}


def extra(one: dict[str, Any]) -> float:
    seconds: dict[str, float] = one["seconds"]
    return seconds["one more item"] - seconds["warm"]


def candidates(counts: Sequence[int]) -> dict[str, Any]:
    """Seconds by number of candidates, and the slope against the time of plain prefill."""
    bundle = default.bundle()
    engine = LlamaEngine(bundle.recommender.path, identity=bundle.recommender.digest, keep=0)
    prefix = samples.tokens(engine, PREFIX, 0)
    suffixes = [samples.tokens(engine, CANDIDATE, number + 1) for number in range(max(counts))]
    raw = workload.RawPrefill(bundle.recommender.path, samples.tokens(engine, RAW, 99), engine.threads)
    answers = bundle.answers or (0, 1)
    work: dict[Any, Any] = {"raw": raw}
    for count in counts:
        work[count] = lambda count=count: engine.margins(prefix, suffixes[:count], answers)
    spent = in_turns(work, ROUNDS)
    seconds = [float(np.median(spent[count])) for count in counts]
    slope, deviation = line([count * CANDIDATE for count in counts], seconds)
    rate = RAW / float(np.median(spent["raw"]))
    return {"counts": list(counts), "seconds": seconds, "slope": slope, "deviation": deviation, "rate": rate}


def line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Slope of the best line, and how far a value lies from it, as a share of the largest."""
    slope, start = np.polyfit(xs, ys, 1)
    return float(slope), float(np.abs(np.subtract(ys, np.multiply(slope, xs) + start)).max() / max(ys))


def draw(histories: Sequence[dict[str, Any]], scoring: dict[str, Any], path: Path) -> None:
    """Both curves as one SVG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for state, marker in zip(STATES, "os^", strict=True):
        seconds = [one["seconds"][state] for one in histories]
        left.plot([one["items"] for one in histories], seconds, marker=marker, label=state)
    left.set(xscale="log", yscale="log", xlabel="items of the history", ylabel="seconds of one recommend")
    counts = np.array(scoring["counts"])
    right.plot(counts, scoring["seconds"], marker="o", label="measured")
    start = scoring["seconds"][0] - counts[0] * CANDIDATE / scoring["rate"]
    right.plot(counts, start + counts * CANDIDATE / scoring["rate"], linestyle="--", label="at raw prefill")
    right.set(xlabel=f"candidates of {CANDIDATE} tokens behind {PREFIX}", ylabel="seconds")
    for axes in (left, right):
        axes.grid(alpha=0.4)
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
