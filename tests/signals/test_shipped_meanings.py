"""Learned vectors come with the package: for the tokenizer of SmolLM2, the same bits anywhere, worth their size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.metrics import ranking
from trsr_lite.records import Item
from trsr_lite.signals import learned_table, token_vectors
from trsr_lite.signals.fusion import Fusion
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.statistics import NO_BAGS, Statistics, tokenizer_digest
from trsr_lite.signals.statistics_builder import StatisticsBuilder
from trsr_lite.signals.token_table import TokenTable

SHARED = Path(__file__).parents[3] / "shared" / "data" / "acl"
LISTS = 200
GOLDEN = {
    "the president vetoed the budget": [334, 85, 474, -207, -463, 239],
    "hp 74 ink cartridge, black, 2 pack": [-108, 1238, 323, 513, 506, 213],
    "köln: straßenbahn fährt wieder 🙂": [-799, 290, 49, 826, -238, 1036],
}  # first whole numbers of each text's vector


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(smollm2, identity="", vocab_only=True)
    yield engine
    engine.close()


@pytest.mark.real_model
def test_the_table_belongs_to_the_tokenizer_of_smollm2(tokenizer: LlamaEngine) -> None:
    table = learned_table.shipped(tokenizer_digest(tokenizer))
    assert table is not None and table.count == 49_152 and table.dimensions == 96
    assert learned_table.SHIPPED.stat().st_size <= 2_000_000
    assert learned_table.shipped("b2:another") is None


@pytest.mark.real_model
def test_texts_have_the_vectors_that_they_had(tokenizer: LlamaEngine) -> None:
    table = learned_table.shipped(tokenizer_digest(tokenizer))
    assert table is not None
    statistics = Statistics(tokenizer=table.tokenizer, token_sample=NO_BAGS)
    vectors = token_vectors.of_learned(statistics, tokenizer, table, ItemStore())
    for text, golden in GOLDEN.items():
        assert vectors.encoded(text)[:6].tolist() == golden, text


@pytest.mark.real_model
def test_what_belongs_together_is_near(tokenizer: LlamaEngine) -> None:
    """In words that the texts do not share."""
    builder = StatisticsBuilder(tokenizer)
    found = builder.build()
    ranker = SignalRanker(found, Fusion({}), tokenizer=tokenizer)
    history = [Item("h", {"title": "The president vetoed the budget"})]
    titles = ["Senate to vote on tax reform", "Ten garlic soups for autumn", "Striker signs with a rival club"]
    near = ranker.numbers(history, [Item(title, {"title": title}) for title in titles])["meaning"]
    assert near.argmax() == 0 and near[0] > near[1:].max() + 0.1


@pytest.mark.real_model
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the research data in {SHARED}, which are not in the repository")
def test_authors_are_ranked_better_with_learned_vectors_than_without(tokenizer: LlamaEngine, smollm2: Path) -> None:
    options = DataOptions("jsonl", str(SHARED), validation=0.2, test=0.4)
    with dataset.load(options) as data:
        examples = [data.example(number) for number in data.chosen("test", LISTS, 0)]
    rows = Rows(smollm2)
    builder = StatisticsBuilder(tokenizer, rows)
    builder.add({item.id: item for one in examples for item in (*one.history, *one.candidates)}.values())
    statistics = builder.build()
    assert statistics.row_mean is not None and statistics.learned is not None
    ranker = SignalRanker(statistics, Fusion({}), tokenizer=tokenizer, table=TokenTable(rows, statistics.row_mean))
    gains = []
    for example in examples:
        numbers = ranker.numbers(example.history, example.candidates)
        both, raw = numbers["tokens"] + numbers["meaning"], numbers["tokens"]
        gains.append(ranking.auc(both, example.labels) - ranking.auc(raw, example.labels))
    assert np.mean(gains) > 0.01
