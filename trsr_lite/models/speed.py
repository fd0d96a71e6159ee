"""How fast a model file computes on this machine.

Invariant: the work is the same for every file, so rates of one machine can be compared. The best of several rounds
counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.prompts import templates

ROUNDS = 3
PREFILL, TEXTS, DECODE = 512, 5, 24  # tokens of a prompt; texts generated together, and the tokens of each


def measure(path: Path, *, decode: bool = True) -> dict[str, float]:
    """Tokens per second: `prefill` of one batch, and `decode` of five texts together."""
    engine = LlamaEngine(path, identity="", keep=0)
    try:
        words = engine.encode(" ".join(templates.NO_SUMMARY for _ in range(200)))
        prompt, texts = words[:PREFILL], [words[start : start + 16] for start in range(TEXTS)]
        rates = {"prefill": _rate(len(prompt), lambda: engine.margins(prompt[:-1], [prompt[-1:]], (0, 1)))}
        if decode:
            rates["decode"] = _rate(TEXTS * DECODE, lambda: engine.generate(texts, max_tokens=DECODE, stop=""))
        return rates
    finally:
        engine.close()


def _rate(tokens: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(tokens / min(seconds), 1)
