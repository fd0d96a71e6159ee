"""Scoring 21 candidates: against raw prefill, against whole prompts, and against the high-level `Llama` class."""

from __future__ import annotations

import numpy as np

from benchmarks import default
from benchmarks.measure import in_turns, ratio, report
from benchmarks.workload import HighLevel, RawPrefill
from trsr_lite.bench import samples, speeds
from trsr_lite.engine.llama import BATCH, LlamaEngine

ROUNDS = 5


def main() -> None:
    bundle = default.bundle()
    path = bundle.recommender.path
    engine = LlamaEngine(path, identity=bundle.recommender.digest, keep=0)
    prefix, suffixes = speeds.to_score(engine)
    total = len(prefix) + sum(map(len, suffixes))
    answers = bundle.answers or (0, 1)
    raw = RawPrefill(path, samples.tokens(engine, total, 99), engine.threads)
    peer = HighLevel(path, engine.threads)

    def fast() -> None:
        engine.margins(prefix, suffixes, answers)

    def exact() -> None:
        engine.margins(prefix, suffixes, answers, exact=True)

    def whole() -> None:
        for suffix in suffixes:
            engine.margins([*prefix, *suffix[:-1]], [suffix[-1:]], answers)

    quick = in_turns(
        {"raw": raw, "fast": fast, "high_level": lambda: peer.margins(prefix, suffixes, answers), "exact": exact},
        ROUNDS,
    )
    slow = in_turns({"whole": whole, "fast": fast}, 2, warm_up=False)

    batched = engine.margins(prefix, suffixes, answers)
    single = engine.margins(prefix, suffixes, answers, exact=True)
    reference = []
    for suffix in suffixes:
        prompt = [*prefix, *suffix]
        start = (len(prompt) - 1) // BATCH * BATCH  # the same 512-token batches as a plain evaluation
        reference += engine.margins(prompt[:start], [prompt[start:]], answers, exact=True)
    differing = sum(one != other for one, other in zip(single, reference, strict=True))
    moved = [one.margin - other.margin for one, other in zip(batched, single, strict=True)]
    noise = max(moved) - min(moved)
    swapped = sum(
        (batched[i].margin > batched[j].margin) != (single[i].margin > single[j].margin)
        for i in range(speeds.CANDIDATES)
        for j in range(i)
        if abs(batched[i].margin - batched[j].margin) > bundle.noise_floor
    )
    rates = {name: total / float(np.median(values)) for name, values in quick.items()}
    report(
        "scoring",
        [
            ("fast / raw prefill, tokens per second", f"{ratio(quick['raw'], quick['fast']):.2f}", "≥ 0.90"),
            ("fast / whole prompts", f"{ratio(slow['whole'], slow['fast']):.1f}×", "≥ 6×"),
            ("fast / high-level Llama loop", f"{ratio(quick['high_level'], quick['fast']):.2f}×", "≥ 1.4×"),
            ("exact / high-level Llama loop", f"{ratio(quick['high_level'], quick['exact']):.2f}×", ""),
            ("fast, tokens per second", f"{rates['fast']:.0f}", ""),
            ("raw prefill, tokens per second", f"{rates['raw']:.0f}", ""),
            ("exact differs from whole prompts", f"{differing} of {speeds.CANDIDATES}", "0"),
            ("noise of batching, measured here", f"{noise:.4f}", ""),
            ("noise floor in the bundle", f"{bundle.noise_floor:.4f}", f"≥ {noise:.4f}"),
            ("pairs beyond the floor in another order", str(swapped), "0"),
        ],
        {
            "model": f"{bundle.name} {bundle.recommender.type}",
            "threads": engine.threads,
            "tokens": total,
            "seconds": {**quick, "whole": slow["whole"]},
        },
    )


if __name__ == "__main__":
    main()
