"""An hour of a news app: what ranking costs a reader who stays, in tokens and in seconds of CPU.

    python -m benchmarks.app_hour [--tokens] [--server DIR]

One reader of 25 articles; a list of the 60 newest articles; every five minutes 4 new ones take the place of the
4 oldest, and the list is ranked again; 3 articles are read in that hour. The model ranks alone. Counts of tokens are
exact on any machine. Seconds need a quiet one: with `--tokens` they are left out. With `--server`, llama.cpp's own
server with its prompt cache ranks the same lists with the same prompts (see `benchmarks.llama_server`); summaries are
made here alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks import default
from benchmarks.llama_server import Server, build
from benchmarks.measure import report
from trsr_lite import Item, Recommender, User
from trsr_lite.bench import samples
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.prompts import templates

HISTORY, LIST, NEW, POLLS = 25, 60, 4, 12
READ_BEFORE = (4, 7, 10)  # polls
AGAIN, FRESH = 50, 5  # a list, and how many of it are new


@dataclass(frozen=True)
class Poll:
    """One ranking of the hour: who asks, for what, and whether something was read since the last one."""

    user: User
    candidates: tuple[Item, ...]
    read: bool


def hour() -> Iterator[Poll]:
    """The polls, the first one at the beginning of the hour."""
    read = samples.items(HISTORY + len(READ_BEFORE), 1, words=12)
    articles = samples.items(LIST + NEW * (POLLS - 1), 2, words=12)
    for number in range(POLLS):
        seen = sum(number >= when for when in READ_BEFORE)
        newest = articles[NEW * number : NEW * number + LIST]
        yield Poll(User("reader", tuple(read[: HISTORY + seen]), ()), tuple(newest), number in READ_BEFORE)


def main() -> None:
    """Run the hour; the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", action="store_true", help="count tokens alone: the machine is busy")
    parser.add_argument("--server", type=Path, metavar="DIR", help="where llama-server is, or is built")
    options = parser.parse_args()
    default.bundle()
    load = partial(Recommender.load, domain="news", signals=("model",))
    with tempfile.TemporaryDirectory() as folder, load(cache_dir=folder) as recommender:
        again = repeated(recommender)
        rows, seconds, summaries = [], 0.0, list[str | None]()
        for poll in hour():
            start = time.process_time()
            result = recommender.recommend(poll.user, poll.candidates)
            seconds += time.process_time() - start
            summaries.append(result.summary)
            rows.append(
                {
                    "read": poll.read,
                    "evaluated": result.stats.evaluated_tokens,
                    "whole": result.stats.prefix_tokens + result.stats.candidate_tokens,
                    "candidates": result.stats.candidate_tokens,
                    "generated": result.stats.generated_tokens,
                }
            )
    peer = None if options.server is None else on_server(options.server.resolve(), summaries)
    tell(rows, again, None if options.tokens else seconds, None if options.tokens else peer)


def repeated(recommender: Recommender) -> dict[str, int]:
    """Tokens of a whole call, of the same again, and of a list that has a few new candidates."""
    user = User("other", tuple(samples.items(HISTORY, 5, words=12)), ())
    articles = samples.items(AGAIN + FRESH, 6, words=12)
    whole, same, fresh = (recommender.recommend(user, articles[start : start + AGAIN]).stats for start in (0, 0, FRESH))
    return {
        "whole": whole.prefix_tokens + whole.candidate_tokens,
        "first": whole.evaluated_tokens,
        "same": same.evaluated_tokens,
        "fresh": fresh.evaluated_tokens,
    }


def on_server(place: Path, summaries: list[str | None]) -> float:
    """Seconds of CPU that llama.cpp's server needs for the same lists, its start left out."""
    bundle = default.bundle()
    with ExitStack() as opened:
        engine = LlamaEngine(bundle.recommender.path, identity="", vocab_only=True)
        opened.callback(engine.close)
        settings = bundle.settings.updated(domain="news")
        server = opened.enter_context(Server(build(place), bundle.recommender.path, threads=2, slots=1, cells=2048))
        process = psutil.Process(server.pid)
        before = sum(process.cpu_times()[:2])
        for poll, summary in zip(hour(), summaries, strict=True):
            recent = poll.user.history[-settings.recent_items :]
            asked = templates.scoring(summary, recent, poll.candidates, settings, engine)
            answers = templates.answer_ids(asked.suffixes[0], engine)
            server.margins(engine.tokenize(asked.prefix), asked.tokens, answers)
        return sum(process.cpu_times()[:2]) - before


def tell(rows: list[dict[str, int]], again: dict[str, int], seconds: float | None, peer: float | None) -> None:
    """The table; what a peer that keeps the prefix has to read is every candidate, each time."""
    evaluated, whole = (sum(row[name] for row in rows) for name in ("evaluated", "whole"))
    candidates = sum(row["candidates"] for row in rows)
    quiet = [row["evaluated"] / row["whole"] for row in rows[1:] if not row["read"]]
    after = [row["evaluated"] / row["whole"] for row in rows[1:] if row["read"]]
    lines = [
        ("the same candidates again, tokens", f"{again['same']}", "0"),
        (f"{FRESH} new among {AGAIN}, of a whole call", f"{again['fresh'] / again['whole']:.1%}", "≤ 12 %"),
        ("a first call, of prefix and candidates", f"{again['first'] / again['whole']:.1%}", ""),
        (f"a poll with {NEW} new among {LIST}, of a whole call", f"{max(quiet):.1%}", ""),
        ("… after an article was read", f"{max(after):.1%}", ""),
        ("the hour, tokens read", f"{evaluated:,} of {whole:,}", ""),
        ("fewer than with the prefix kept alone", f"{candidates / evaluated:.1f}×", ""),
    ]
    if seconds is not None:
        lines.append(("the hour, seconds of CPU, summaries included", f"{seconds:.1f} s", ""))
    if seconds is not None and peer is not None:
        lines.append(("llama.cpp's server with its cache, without summaries", f"{peer / seconds:.1f}×", "≥ 5×"))
    data = {"polls": rows, "again": again, "cpu_seconds": seconds, "server_cpu_seconds": peer}
    report("app_hour", lines, data, whole=seconds is not None and peer is not None)


if __name__ == "__main__":
    main()
