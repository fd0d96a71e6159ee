"""Memory of a process that uses both roles of a bundle, and nothing else; run by `benchmarks.conversion`."""

from __future__ import annotations

import sys
from pathlib import Path

from trsr_lite.bench import machine, samples
from trsr_lite.recommender.recommender import Recommender


def main() -> None:
    """Evaluate prompts with both roles; print the peak of resident memory in bytes, and what it was before."""
    with Recommender.load(Path(sys.argv[1]), offline=True) as recommender:
        before = machine.peak_memory()
        for file in (recommender.bundle.summarizer, recommender.bundle.recommender):
            engine = recommender._models.use(file)
            words = samples.tokens(engine, 400, 0)
            engine.margins(words[:300], [words[300:350], words[350:]], (0, 1))
        print(machine.peak_memory(), before)


if __name__ == "__main__":
    main()
