"""Generating summaries together instead of one after another, and what the cache saves."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import text
from benchmarks.measure import in_turns, ratio, report
from trsr_lite import prompts, summarize
from trsr_lite.cache import SummaryStore
from trsr_lite.engine.base import Engine
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.summarize import Work, framed

ROUNDS = 5


def main() -> None:
    bundle = text.bundle()
    engine = LlamaEngine(bundle.summarizer.path, identity=bundle.summarizer.digest)
    settings = Settings()
    blocks = [text.items(settings.block_size, seed) for seed in range(16)]
    asked = [engine.tokenize(framed(*prompts.block(block, settings, engine), engine)) for block in blocks]

    def together(count: int) -> None:
        engine.generate(asked[:count], max_tokens=settings.summary_tokens, stop="")

    def one_after_another(count: int) -> None:
        for prompt in asked[:count]:
            engine.generate([prompt], max_tokens=settings.summary_tokens, stop="")

    seconds = in_turns(
        {
            "five together": lambda: together(5),
            "five in turn": lambda: one_after_another(5),
            "sixteen together": lambda: together(16),
            "sixteen in turn": lambda: one_after_another(16),
        },
        ROUNDS,
    )
    calls = _calls(engine, settings)
    report(
        "summaries",
        [
            ("5 blocks together", f"{ratio(seconds['five in turn'], seconds['five together']):.2f}×", "≥ 1.6×"),
            (
                "16 users' blocks together",
                f"{ratio(seconds['sixteen in turn'], seconds['sixteen together']):.2f}×",
                "≥ 2.5×",
            ),
            *((name, str(value), required) for name, value, required in calls),
        ],
        {
            "model": f"{bundle.name} {bundle.summarizer.type}",
            "threads": engine.threads,
            "prompt_tokens": [len(prompt) for prompt in asked],
            "generated_tokens": settings.summary_tokens,
            "seconds": seconds,
        },
    )


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
            summarize.summarize([history], settings, store, "benchmark", lambda: counting, work=work)
            return work.calls

        history = text.items(1000, 7, words=12)
        more = text.items(6, 8, words=12)
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
