"""What baselines are made of: items, counts of training users, a seed, and a model's tokens.

Invariant: what several baselines need of the same items, such as their word vectors, is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from trsr_lite.evaluation.token_source import TokenSource
from trsr_lite.records import Item
from trsr_lite.signals.counts import Counts, id_key
from trsr_lite.signals.fusion import NAMES, Fusion, Weight
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.statistics import Statistics
from trsr_lite.signals.statistics_builder import StatisticsBuilder
from trsr_lite.signals.token_table import TokenTable


@dataclass(frozen=True)
class Materials:
    """What baselines are made of.

    Attributes
    ----------
    items: all items that are known.
    counts: item id -> training users who have it; None where nobody counted.
    seed: decides what is drawn.
    tokens: a model's tokenizer and embedding table; None where no model is at hand.
    """

    items: Sequence[Item]
    counts: Mapping[str, int] | None = None
    seed: int = 0
    tokens: TokenSource | None = None

    @cached_property
    def statistics(self) -> Statistics:
        """What signals need of these items."""
        builder = StatisticsBuilder(self.tokens.tokenizer, self.tokens.table) if self.tokens else StatisticsBuilder()
        builder.add(self.items)
        found = builder.build()
        if self.counts is None:
            return found
        return replace(found, popularity=Counts.of({id_key(name): count for name, count in self.counts.items()}))

    @cached_property
    def signals(self) -> SignalRanker:
        """All signals that can be computed here; the model's margin is none of them."""
        even, statistics = Fusion({name: Weight(1.0) for name in NAMES}), self.statistics
        if self.tokens is None or statistics.row_mean is None:
            return SignalRanker(statistics, even)
        table = TokenTable(self.tokens.table, statistics.row_mean)
        return SignalRanker(statistics, even, tokenizer=self.tokens.tokenizer, table=table)
