"""The door of this package: histories and candidates in, fused scores, their parts, and reasons out.

Invariant: a candidate's score, parts and reasons depend on the history, on itself and on its own margin. They also
depend on what the ranker was made with. This holds to the last bit. A machine without the model's table ranks by the
other signals, which is the fusion with those numbers missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.errors import SettingsError
from trsr_lite.records import Item
from trsr_lite.signals import evidence, nearest, token_vectors
from trsr_lite.signals.attributes import Attributes
from trsr_lite.signals.freshness import Freshness
from trsr_lite.signals.fusion import NAMES, Fusion, total
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.neighbours import Neighbours
from trsr_lite.signals.popularity import Popularity
from trsr_lite.signals.signal import MODEL, Numbers, Signal
from trsr_lite.signals.statistics import Statistics
from trsr_lite.signals.taste import Taste
from trsr_lite.signals.token_table import TokenTable
from trsr_lite.signals.token_vectors import TokenVectors
from trsr_lite.signals.tokens import Recent, Tokens
from trsr_lite.signals.word_vectors import WordVectors
from trsr_lite.signals.words import Specific, Words

REASONS = 3  # history items named for a candidate
AT_ONCE = 4_000_000  # products of a history's and a candidate's vectors that are in memory together

Items = tuple[Item, ...]


@dataclass(frozen=True)
class Fused:
    """What signals say of candidates, in their order.

    Attributes
    ----------
    scores: (candidates,) float32; more is better.
    parts: signal -> (candidates,) what it adds; they add up to the scores exactly.
    """

    scores: Numbers
    parts: Mapping[str, Numbers]


class SignalRanker:
    """Ranks by statistics and a fusion; with a tokenizer by learned vectors, with its model's table by its own too.

    `names` are the signals that may count, None all of the fusion's. One thread at a time may use it. Raises
    `ModelError` where the statistics were made with another tokenizer.
    """

    def __init__(
        self,
        statistics: Statistics,
        fusion: Fusion,
        *,
        tokenizer: Tokenizer | None = None,
        table: TokenTable | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if names is not None and (strange := sorted(set(names) - set(NAMES))):
            raise SettingsError(f"there is no signal {strange[0]!r}", hint=f"choose from {', '.join(NAMES)}")
        self.fusion = fusion
        self._store = ItemStore()
        self._words = WordVectors(statistics, self._store)
        self._tokens = (
            token_vectors.of_model(statistics, tokenizer, table, self._store)
            if tokenizer is not None and table is not None and statistics.tokens is not None
            else None
        )
        meanings = (
            token_vectors.of_learned(statistics, tokenizer, statistics.learned, self._store)
            if tokenizer is not None and statistics.learned is not None
            else None
        )
        found = _signals(statistics, self._store, self._words, self._tokens, meanings)
        self._allowed = [name for name in NAMES if names is None or name in names]
        self._signals = [signal for signal in found if signal.name in self._allowed]

    @property
    def names(self) -> list[str]:
        """The signals that can be computed here, in the order of parts; the model's margin is not among them."""
        return [signal.name for signal in self._signals]

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> dict[str, Numbers]:
        """Signal -> (candidates,) its numbers, `NaN` where nothing is known, whether the fusion counts it or not."""
        return self._numbers(tuple(history), tuple(candidates), self._signals)

    def rank(self, history: Sequence[Item], candidates: Sequence[Item], margins: Numbers | None = None) -> Fused:
        """Fused scores of the candidates; `margins` (candidates,) are the model's, `NaN` where it was not asked."""
        had, asked = tuple(history), tuple(candidates)
        counting = set(self.fusion.names)
        numbers = self._numbers(had, asked, [signal for signal in self._signals if signal.name in counting])
        if margins is not None and MODEL in self._allowed:
            numbers[MODEL] = np.asarray(margins, np.float32)
        parts = self.fusion.parts(numbers)
        return Fused(total(parts, len(asked)), parts)

    def because(
        self, history: Sequence[Item], candidates: Sequence[Item], most: int = REASONS
    ) -> list[tuple[str, ...]]:
        """For each candidate the ids of the `most` liked items nearest to it, by token vectors, else by words.

        None where none is near. Worth asking for the few that are shown; `rank` does not need it.
        """
        had, asked = tuple(history), tuple(candidates)
        if not had or not asked or most < 1:
            return [()] * len(asked)
        return [found for part in _parts(had, asked) for found in self._nearest(had, part, most)]

    def _numbers(self, had: Items, asked: Items, signals: Sequence[Signal]) -> dict[str, Numbers]:
        parts = list(_parts(had, asked))  # of no consequence for a number, which depends on its own candidate
        found = [{signal.name: signal.numbers(had, part) for signal in signals} for part in parts]
        if len(found) == 1:
            return found[0]
        return {signal.name: np.concatenate([one[signal.name] for one in found]) for signal in signals}

    def _nearest(self, had: Items, asked: Items, most: int) -> list[tuple[str, ...]]:
        first, second = self._store.numbers(had, asked)
        if self._tokens is not None:
            products = self._tokens.products(first, second)
        else:
            products = nearest.of_words(*self._words.of(first, second), self._words.size)
        # An item that was had twice is one reason; the newest come first, so that they win where two are as near.
        newest = {had[place].id: place for place in _liked(had)}
        if not newest:
            return [()] * len(asked)
        places = np.array(sorted(newest.values(), reverse=True), np.int64)
        columns, values = nearest.highest(products[:, places], min(most, len(places)))
        ids = [had[place].id for place in places.tolist()]
        return [
            tuple(ids[column] for column, value in zip(own, near, strict=True) if value > 0)
            for own, near in zip(columns.tolist(), values.tolist(), strict=True)
        ]


def _liked(had: Items) -> list[int]:
    """Places of what was liked: what was disliked is a reason for nothing."""
    judged = evidence.of(had)
    return list(range(len(had))) if judged is None else np.flatnonzero(judged.liked).tolist()


def _parts(had: Items, asked: Items) -> Iterator[Items]:
    """The candidates, so many at once that memory does not grow with the length of both."""
    most = max(1, AT_ONCE // max(1, len(had)))
    if len(asked) <= most:
        yield asked
        return
    for start in range(0, len(asked), most):
        yield asked[start : start + most]


def _signals(
    statistics: Statistics,
    store: ItemStore,
    words: WordVectors,
    tokens: TokenVectors | None,
    meanings: TokenVectors | None,
) -> list[Signal]:
    found: list[Signal] = [Tokens(tokens, store)] if tokens is not None else []
    found += [Tokens(meanings, store, "meaning")] if meanings is not None else []
    found += [Recent(tokens, store)] if tokens is not None else []
    found += [Words(words, store), Taste(words, store), Specific(words, store), Attributes(statistics, store)]
    if statistics.popularity is not None:
        found.append(Popularity(statistics))
    if statistics.neighbours is not None:
        found.append(Neighbours(statistics))
    return [*found, Freshness(statistics)]
