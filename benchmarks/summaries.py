"""Generating summaries together instead of one after another, and what the cache saves."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks import default
from benchmarks.measure import in_turns, ratio, report
from trsr_lite.bench import samples
from trsr_lite.bench.speeds import Endless
from trsr_lite.engine.interface import Engine
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.summaries import generate as summarize
from trsr_lite.summaries.generate import Work, framed
from trsr_lite.summaries.plan import plan
from trsr_lite.summaries.store import SummaryStore

ROUNDS = 2
TEXTS = {"titles": 8, "titles and abstracts": 40}  # words beside a title of six
REQUIRED = {5: "≥ 1.6×", 16: "≥ 2.5×"}


def main() -> None:
    bundle = default.bundle()
    engine = Endless(bundle.summarizer.path, identity=bundle.summarizer.digest)
    settings = Settings()
    rows, data = [], {}
    for kind, words in TEXTS.items():
        blocks = [samples.items(settings.block_size, seed, words) for seed in range(16)]
        asked = [engine.tokenize(framed(*templates.block(block, settings, engine), engine)) for block in blocks]
        seconds = _together_and_in_turn(engine, asked, settings.summary_tokens)
        length = sum(map(len, asked)) // len(asked)
        for count, required in REQUIRED.items():
            gain = ratio(seconds[f"{count} in turn"], seconds[f"{count} together"])
            rows.append((f"{count} summaries together, {kind} (prompts of {length} tokens)", f"{gain:.2f}×", required))
        data[kind] = {"prompt_tokens": [len(prompt) for prompt in asked], "seconds": seconds}
    rows += [(name, str(value), required) for name, value, required in _calls(engine, settings)]
    report(
        "summaries",
        rows,
        {
            "model": f"{bundle.name} {bundle.summarizer.type}",
            "threads": engine.threads,
            "generated_tokens": settings.summary_tokens,
            "texts": data,
        },
    )


def _together_and_in_turn(engine: Engine, asked: list[list[int]], tokens: int) -> dict[str, list[float]]:
    def together(count: int) -> None:
        engine.generate(asked[:count], max_tokens=tokens, stop="")

    def in_turn(count: int) -> None:
        for prompt in asked[:count]:
            engine.generate([prompt], max_tokens=tokens, stop="")

    work = {}
    for count in REQUIRED:
        work[f"{count} together"] = partial(together, count)
        work[f"{count} in turn"] = partial(in_turn, count)
    return in_turns(work, ROUNDS, warm_up=False)


def _calls(engine: Engine, settings: Settings) -> list[tuple[str, int, str]]:
    """Model calls for a user of 1,000 items: first run, second run, and each appended item."""
    longest = 0

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

        def generate(self, asked: list[list[int]], **options: object) -> list[str]:
            nonlocal longest
            longest = max(longest, *map(len, asked))
            options["max_tokens"] = 8  # how often matters here, not how long
            return engine.generate(asked, **options)  # type: ignore[arg-type]

    with tempfile.TemporaryDirectory() as folder:
        store = SummaryStore(Path(folder))

        def run(history: list[Item]) -> int:
            work = Work()
            counting: Engine = Counting()  # type: ignore[assignment]
            summarize.summarize([plan(history, settings, "benchmark")], store, lambda: counting, work=work)
            return work.calls

        history = samples.items(1000, 7, words=12)
        more = samples.items(6, 8, words=12)
        first, second = run(history), run(history)
        appended = [run([*history, *more[: count + 1]]) for count in range(5)]
        hundred = longest
        store.close()
    return [
        ("1,000 items: first run, calls", first, ""),
        ("second run, calls", second, "0"),
        ("an appended item, most calls while its block is open", max(appended[:4]), "0"),
        ("an appended item that completes a block, calls", appended[4], "1 + merges on its path"),
        ("longest prompt, tokens", hundred, "bounded"),
    ]


if __name__ == "__main__":
    main()
