"""What the engine does a second: loading, prefill, decoding and scoring of one model file.

Invariant: the same tokens are computed for every model; a text that would end early goes on, and nothing is kept.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

from trsr_lite.bench import samples
from trsr_lite.bench.stopwatch import Stopwatch, rates, ratio, times
from trsr_lite.engine.interface import EngineOptions, Tokenizer
from trsr_lite.engine.library import library
from trsr_lite.engine.llama import CELLS, PARALLEL, STATEFUL_PARALLEL, LlamaEngine
from trsr_lite.engine.model import AbortFlag, NativeModel
from trsr_lite.engine.threads import default_threads
from trsr_lite.models.bundle import Bundle, ModelFile

BATCHES = {1: 16, 8: 8, 32: 4, 128: 2, 512: 1}  # tokens of a batch, and batches in a round: enough for a clock
THREAD_STEPS = 4
TEXTS = (1, 5, 16)  # decoded together: alone, a user's blocks, a full batch
TEXT, DECODED = 32, 24  # tokens of each prompt, and those decoded after it
PREFIX, CANDIDATES, CANDIDATE = 600, 21, 60  # tokens of a user, candidates, and tokens of each


def loading(bundle: Bundle, options: EngineOptions, watch: Stopwatch) -> list[dict[str, Any]]:
    """Seconds from nothing to the logits of a first token, for each distinct model; the file was read before."""

    def work(file: ModelFile) -> None:
        with closing(_open(file, options)) as engine:
            engine.margins([], [samples.tokens(engine, 1, 0)], (0, 1))

    distinct = files(bundle)
    spent = watch.in_turns({roles: partial(work, file) for roles, file in distinct.items()})
    return [{"file": distinct[roles].path.name, "roles": list(roles), **times(spent[roles])} for roles in distinct]


def prefill(file: ModelFile, options: EngineOptions, watch: Stopwatch) -> list[dict[str, Any]]:
    """Tokens a second of prompts that are one batch, by its size and by threads."""
    with ExitStack() as opened:
        engines: dict[int, LlamaEngine] = {}
        for threads in thread_steps(options.threads or default_threads()):
            beside = next(iter(engines.values()), None)
            engines[threads] = opened.enter_context(closing(_open(file, replace(options, threads=threads), beside)))
        first = next(iter(engines.values()))
        prompt = samples.tokens(first, min(max(BATCHES), first.context_size), 0)

        def work(threads: int, batch: int) -> None:
            for _ in range(BATCHES[batch]):
                engines[threads].margins([], [prompt[:batch]], (0, 1))

        cells = [(threads, batch) for threads in engines for batch in BATCHES if batch <= len(prompt)]
        spent = watch.in_turns({cell: partial(work, *cell) for cell in cells})
    return [
        {"threads": threads, "batch": batch, **rates(batch * BATCHES[batch], spent[threads, batch])}
        for threads, batch in cells
    ]


def decode(file: ModelFile, options: EngineOptions, watch: Stopwatch) -> list[dict[str, Any]]:
    """Tokens a second of all texts together, by how many are decoded at once; their prompts are not timed."""
    with closing(_open(file, options)) as engine:
        prompts = [samples.tokens(engine, TEXT, seed) for seed in range(max(TEXTS))]
        most = PARALLEL if engine.can_rewind else STATEFUL_PARALLEL
        most = max(1, min(most, (options.ctx_size or CELLS) // (TEXT + DECODED + 1)))

        def work(texts: int) -> float:
            steps: list[float] = []
            engine.generate(
                prompts[:texts],
                max_tokens=DECODED + 1,  # the prompts give the first
                stop="",
                on_progress=lambda _done, _total: steps.append(time.perf_counter()),
            )
            return steps[-1] - steps[0]

        together = sorted({min(texts, most) for texts in TEXTS})
        spent = watch.in_turns({texts: partial(work, texts) for texts in together})
    return [{"sequences": texts, **rates(texts * DECODED, spent[texts])} for texts in together]


def scoring(file: ModelFile, options: EngineOptions, watch: Stopwatch) -> tuple[dict[str, Any], bool]:
    """Tokens a second of ranking, the prefix counted once; of raw prefill of as many; and whether it can rewind."""
    with closing(_open(file, options)) as engine:
        prefix, candidates = to_score(engine)
        total = PREFIX + sum(map(len, candidates))
        raw = samples.tokens(engine, total, 99)
        size = engine.context_size
        parts = [raw[start : start + size] for start in range(0, total, size)]  # one, unless the context is small
        spent = watch.in_turns(
            {
                "raw": lambda: engine.margins([], parts, (0, 1)),
                "scoring": lambda: engine.margins(prefix, candidates, (0, 1)),
            }
        )
        can_rewind = engine.can_rewind
    return {
        "prefix_tokens": PREFIX,
        "candidates": CANDIDATES,
        "candidate_tokens": total - PREFIX,
        **rates(total, spent["scoring"]),
        "raw": rates(total, spent["raw"]),
        "ratio": ratio(spent["raw"], spent["scoring"]),
    }, can_rewind


def to_score(tokenizer: Tokenizer) -> tuple[list[int], list[list[int]]]:
    """A prefix of PREFIX tokens, and CANDIDATES candidates of CANDIDATE tokens, three more or less."""
    candidates = [samples.tokens(tokenizer, CANDIDATE + index % 7 - 3, index + 1) for index in range(CANDIDATES)]
    return samples.tokens(tokenizer, PREFIX, 0), candidates


def thread_steps(most: int) -> list[int]:
    """1, the largest powers of two, and `most`: four steps at most, because fewer threads say little of many."""
    powers = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    return [*powers[:1], *powers[1:][-(THREAD_STEPS - 2) :], most]


def kv_bytes(file: ModelFile, options: EngineOptions) -> int:
    """Bytes of KV cache that one more token takes, its position included; about 0 where a recurrent state is kept."""
    model = NativeModel(file.path, gpu_layers=options.gpu_layers)
    with closing(model):
        abort = AbortFlag(library())
        shape: dict[str, Any] = {"cells": 256, "sequences": 1, "batch": TEXT, "threads": 1, "flash": True}
        with closing(model.context(**shape, abort=abort)) as context:
            sizes = []
            for start in (0, TEXT):
                context.decode([0] * TEXT, range(start, start + TEXT), 0)
                sizes.append(context.stored_bytes(0))
    return round((sizes[1] - sizes[0]) / TEXT)


def files(bundle: Bundle) -> dict[tuple[str, ...], ModelFile]:
    """Each distinct model, by the roles it has."""
    recommender, summarizer = bundle.recommender, bundle.summarizer
    if recommender.identity == summarizer.identity:
        return {("recommender", "summarizer"): recommender}
    return {("recommender",): recommender, ("summarizer",): summarizer}


class Endless(LlamaEngine):
    """Every text runs to its full length, so that the same work is timed on every model."""

    def ends(self, token: int) -> bool:
        """No token ends a text."""
        return False


def _open(file: ModelFile, options: EngineOptions, beside: LlamaEngine | None = None) -> LlamaEngine:
    adapter = file.adapter.path if file.adapter else None
    return Endless(file.path, identity=file.identity, options=options, adapter=adapter, beside=beside, keep=0)
