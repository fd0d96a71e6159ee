"""`trsr-lite serve`: what a warm `recommend` costs beside the library's own, and whether a kill loses anything.

The model's own time varies more from call to call than a server could add, so the two are compared by what they spend
outside of it: seconds of the call, less those that its own `stats` give to loading, summarizing and scoring.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from types import TracebackType
from typing import Any

from benchmarks import default
from benchmarks.measure import in_turns, report
from trsr_lite.models.resolve import DEFAULT_MODEL
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.summaries.store import FILE_NAME, SummaryStore

USER = json.loads((Path(__file__).parent.parent / "examples" / "news_reader.json").read_text(encoding="utf-8"))
ROUNDS, KILLS = 30, 50


class Client:
    """A server of its own process that is asked one thing at a time."""

    def __init__(self, model: str, cache: Path) -> None:
        options = ["-m", model, "--domain", "news", "--cache-dir", str(cache)]
        command = [*default.PROGRAM, "serve", *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=default.environment()
        )

    def send(self, method: str, **params: Any) -> None:
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> Any:
        self.send(method, **params)
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            if "method" not in message:
                return message["result"]
        raise RuntimeError("the server ended without an answer")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()


def main(model: str, rounds: int, kills: int) -> None:
    seconds, outside, status = _warm(model, rounds)
    added = median(outside["serve"]) - median(outside["library"])
    lost, finished, damaged, cold = _killed(model, kills)
    report(
        "serve",
        [
            ("warm recommend through serve, outside model work", f"{1000 * median(outside['serve']):.1f} ms", ""),
            ("… of the library call", f"{1000 * median(outside['library']):.1f} ms", ""),
            ("… what serve adds", f"{1000 * added:.1f} ms", "≤ 10 ms"),
            ("status, median / 95th percentile", f"{_middle_and_high(status)} ms", ""),
            (f"killed at random points of {cold:.1f} s", f"{kills} times", "50 times"),
            ("… stores that did not open, or were damaged", f"{damaged}", "0"),
            ("… finished summaries lost", f"{lost} of {finished}", "0"),
        ],
        {
            "model": model,
            "seconds": seconds,
            "outside": outside,
            "status": status,
            "kills": kills,
            "finished": finished,
        },
        whole=(model, rounds, kills) == (DEFAULT_MODEL, ROUNDS, KILLS),
    )


def _warm(model: str, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]], list[float]]:
    """Seconds of each call in turns, those outside the model's work, and those of `status`."""
    outside: dict[str, list[float]] = {"library": [], "serve": []}

    def measured(name: str, call: Callable[[], dict[str, Any]]) -> float:
        start = time.perf_counter()
        stats = call()["stats"]
        spent = time.perf_counter() - start
        outside[name].append(spent - sum(stats["seconds"].values()))
        return spent

    with (
        tempfile.TemporaryDirectory() as cache,
        Recommender.load(model, domain="news", signals=("model",), cache_dir=cache) as recommender,
        Client(model, Path(cache)) as client,
    ):
        work: dict[str, Callable[[], object]] = {
            "library": lambda: measured("library", lambda: recommender.recommend(USER, k=10).to_dict()),
            "serve": lambda: measured("serve", lambda: client.ask("recommend", user=USER, signals=["model"])),
        }
        seconds = in_turns(work, rounds)
        status = in_turns({"status": lambda: client.ask("status")}, 10 * rounds)["status"]
    return seconds, {name: values[1:] for name, values in outside.items()}, status


def _killed(model: str, kills: int) -> tuple[int, int, int, float]:
    """Finished summaries lost, all that were finished, stores that were damaged, and the seconds of a cold request."""
    dice, damaged, finished, missing = random.Random(7), 0, set[str](), set[str]()
    with tempfile.TemporaryDirectory() as folder:
        with Client(model, Path(folder) / "first") as client:
            start = time.perf_counter()
            client.ask("summarize", user=_reader(0))
            cold = time.perf_counter() - start
        cache = Path(folder) / "cache"
        for number in range(1, kills + 1):
            with Client(model, cache) as client:
                client.send("summarize", user=_reader(number))
                time.sleep(dice.uniform(0, 1.2 * cold))
                finished |= _stored(cache)
            try:
                with closing(SummaryStore(cache)) as store:
                    store.info()
                left = _stored(cache)
            except Exception as error:  # noqa: BLE001 - counted
                print(error, file=sys.stderr)
                left = set()
            aside = [path for path in cache.iterdir() if "corrupt" in path.name]
            damaged += (not left and bool(finished)) or bool(aside)
            for path in aside:
                path.unlink()  # counted
            missing |= finished - left
    return len(missing), len(finished), damaged, cold


def _reader(number: int) -> dict[str, Any]:
    """The reader of the example, of whom nothing is summarized yet."""
    history = [{**item, "title": f"{number}: {item['title']}"} for item in USER["history"]]
    return {**USER, "user_id": f"reader {number}", "history": history}


def _stored(cache: Path) -> set[str]:
    """Keys of the summaries in a store that is whole; empty where it is not made yet."""
    if not (cache / FILE_NAME).exists():
        return set()
    with closing(sqlite3.connect(cache / FILE_NAME)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise RuntimeError(f"{cache}: damaged")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'summaries'").fetchone():
            return set()
        return {key for (key,) in connection.execute("SELECT key FROM summaries")}


def _middle_and_high(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.1f} / {1000 * quantiles(seconds, n=20)[-1]:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--kills", type=int, default=KILLS)
    asked = parser.parse_args()
    main(asked.model, asked.rounds, asked.kills)
