"""Small bodies of items for tests of signals: random words, a table of random rows, and a tokenizer without a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trsr_lite import FakeEngine, Item
from trsr_lite.signals.fusion import NAMES, Fusion, Weight
from trsr_lite.signals.learned_table import LearnedTable
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.statistics import Statistics, tokenizer_digest
from trsr_lite.signals.statistics_builder import StatisticsBuilder
from trsr_lite.signals.token_table import TokenTable

TOPICS = {
    "sports": "goal keeper striker league derby penalty coach stadium match cup",
    "food": "soup bread oven butter garlic recipe pasta roast sauce bake",
    "space": "orbit rocket moon probe launch telescope comet planet crater mars",
    "money": "tax budget bond interest bank loan stock market rate fund",
}
EVEN = Fusion({name: Weight(1.0) for name in NAMES})


class Table:
    """Random rows: 2,048 tokens of 48 values, for a tokenizer of one token a word."""

    count, width = 2048, 48

    def __init__(self, seed: int = 0) -> None:
        self.values = np.random.default_rng(seed).normal(size=(self.count, self.width)).astype(np.float32)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        return self.values[np.asarray(numbers, np.int64)]


class WordTokenizer(FakeEngine):
    """Each word is one token, by a checksum; a byte of anything else is one too."""

    def encode(self, text: str) -> list[int]:
        return [sum(word.encode()) * 31 % 2000 for word in text.split()]


def item(number: int, topic: str, rng: np.random.Generator, *, words: int = 6) -> Item:
    chosen = " ".join(rng.choice(TOPICS[topic].split(), words))
    return Item(
        f"i{number}", {"title": chosen, "category": topic, "abstract": f"the {chosen} of it"}, 86_400.0 * number
    )


def items(count: int = 80, seed: int = 0) -> list[Item]:
    rng = np.random.default_rng(seed)
    return [item(number, list(TOPICS)[number % 4], rng) for number in range(count)]


def statistics(known: list[Item] | None = None, *, tokens: bool = True, users: bool = True) -> Statistics:
    builder = StatisticsBuilder(WordTokenizer(), Table()) if tokens else StatisticsBuilder()
    known = items() if known is None else known
    builder.add(known)
    if users:
        ids = [one.id for one in known]
        builder.add_users([ids[start::4][:8] for start in range(4)] + [ids[:5]])
    found = builder.build()
    return replace(found, learned=learned()) if tokens else found


def learned(dimensions: int = 8, seed: int = 1) -> LearnedTable:
    """Vectors of the words' tokens: near for words of one topic."""
    rng, tokenizer = np.random.default_rng(seed), WordTokenizer()
    vectors = np.zeros((Table.count, dimensions), np.float32)
    for words in TOPICS.values():
        centre = rng.normal(size=dimensions)
        for token in tokenizer.encode(words):
            vectors[token] = centre + 0.2 * rng.normal(size=dimensions)
    return LearnedTable.of(vectors, np.flatnonzero(vectors.any(axis=1)), tokenizer_digest(tokenizer))


def ranker(found: Statistics | None = None, *, fusion: Fusion = EVEN, tokens: bool = True) -> SignalRanker:
    found = statistics() if found is None else found
    if not tokens or found.row_mean is None:
        return SignalRanker(found, fusion)
    return SignalRanker(found, fusion, tokenizer=WordTokenizer(), table=TokenTable(Table(), found.row_mean))
