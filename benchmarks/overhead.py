"""What `evaluate` costs beside scoring: the whole evaluation against the seconds that the engine was at work.

python -m benchmarks.overhead [--users 100]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import report
from trsr_lite import Recommender
from trsr_lite.bench import samples
from trsr_lite.bench.speeds import CANDIDATES
from trsr_lite.datasets.dataset import Example
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.evaluation.evaluate import rank_lists
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.systems import BundleSystem

HISTORY = 12  # items; those that are shown are the recent ones


USERS = 100


def main() -> None:
    """Evaluate once, with answers on disk as a person would keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=USERS)
    users = parser.parse_args().users
    lists, scoring = made(users), Timed()
    with (
        tempfile.TemporaryDirectory() as folder,
        Recommender.load(strategy="none", signals=("model",), cache_size=0) as recommender,
        scoring,
    ):
        model = BundleSystem("smollm2", recommender)
        recommender.recommend(samples.user(5, 1, seed=0))  # the model is loaded
        scoring.seconds = 0.0
        start = time.perf_counter()
        rank_lists(lists, [model], output=Path(folder) / "kept")
        whole = time.perf_counter() - start
    report(
        "overhead",
        [
            (f"{users} lists of {CANDIDATES}, whole / scoring", f"{whole / scoring.seconds:.3f}×", "≤ 1.1×"),
            ("beside scoring, for a list", f"{(whole - scoring.seconds) / users * 1000:.1f} ms", ""),
        ],
        {"users": users, "seconds": {"whole": whole, "scoring": scoring.seconds}},
        whole=users == USERS,
    )


class Timed:
    """Seconds that engines spend in `margins`, while it is open."""

    def __init__(self) -> None:
        self.seconds, self._margins = 0.0, LlamaEngine.margins

    def __enter__(self) -> Timed:
        margins = self._margins

        def timed(*arguments: Any, **more: Any) -> Any:
            start = time.perf_counter()
            try:
                return margins(*arguments, **more)
            finally:
                self.seconds += time.perf_counter() - start

        LlamaEngine.margins = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        LlamaEngine.margins = self._margins  # type: ignore[method-assign]


def made(users: int) -> EvalLists:
    """Lists of made-up items; the first candidate is the user's."""
    examples = {}
    for number in range(users):
        user = samples.user(HISTORY, CANDIDATES, seed=number + 1)
        labels = (1, *[0] * (CANDIDATES - 1))
        examples[number] = Example(f"u{number}", user.history, user.candidates, labels)
    return EvalLists(examples, [], None, {"made": "by benchmarks.overhead"})


if __name__ == "__main__":
    main()
