"""What signals need to know of a body of items: how frequent words, tokens and values are, and who had what.

Invariant: statistics never change once made; the same items and users give the same ones in any order. Texts are not
in them: words, values and ids are hashes, and a sample of items is kept as bags of such.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.errors import ModelError
from trsr_lite.signals.counts import Counts
from trsr_lite.signals.learned_table import LearnedTable
from trsr_lite.signals.neighbour_table import NeighbourTable

# A tokenizer is known by what it makes of these: other vocabularies differ on nearly every one.
PROBES = (
    " the quick brown fox: 3.14 (2,048) don't — naïve café",
    "\n\tunder_score CamelCase https://example.org/?q=1&r=%20",
    "Übergrößenträger, wêreld, świat, dünya, čeština",
    "мир и книга, ελληνικά, עברית, العربية, हिन्दी",
    "日本語の文章 中文测试 한국어 🙂🙃",
)


@dataclass(frozen=True)
class Bags:
    """Bags of numbers, one after another: bag `i` is `keys[starts[i]:starts[i + 1]]`, each met `counts` times."""

    starts: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint16]

    @classmethod
    def of(cls, bags: list[dict[int, int]]) -> Bags:
        """Of (key -> how often) each; more than 65,535 times is so many."""
        starts = np.cumsum([0, *map(len, bags)], dtype=np.int64)
        keys = np.array([key for bag in bags for key in bag], np.uint32)
        counts = np.array([min(count, 65_535) for bag in bags for count in bag.values()], np.uint16)
        return cls(starts, keys, counts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
        part = slice(self.starts[number], self.starts[number + 1])
        return self.keys[part], self.counts[part]


NO_COUNTS = Counts.of({})
NO_BAGS = Bags.of([])


@dataclass(frozen=True)
class Statistics:
    """Statistics of a body of items.

    Attributes
    ----------
    documents: items.
    words: hash of a word -> items that have it.
    values: hash of an attribute's name and value -> items that have it.
    tokens: (vocabulary,) items that have each token; None where no tokenizer was at hand.
    tokenizer: digest of that tokenizer, empty where there was none.
    sample: words of some items, which stand for what is not of a user's taste.
    token_sample: tokens of the same items.
    row_mean: (width,) mean of the table's rows; None where no embedding table was at hand.
    direction: (dimensions,) first principal direction of the sample's token vectors; None likewise.
    learned: vectors of this tokenizer's tokens that were learned from texts; None where there are none.
    popularity: hash of an item's id -> users who had it; None where no users were counted.
    neighbours: items that the same users had; None likewise.
    newest: seconds since the epoch of the newest item; None where no item has a time.
    """

    documents: int = 0
    words: Counts = NO_COUNTS
    values: Counts = NO_COUNTS
    tokens: npt.NDArray[np.int64] | None = None
    tokenizer: str = ""
    sample: Bags = field(default=NO_BAGS)
    token_sample: Bags = field(default=NO_BAGS)
    row_mean: npt.NDArray[np.float32] | None = None
    direction: npt.NDArray[np.float32] | None = None
    learned: LearnedTable | None = None
    popularity: Counts | None = None
    neighbours: NeighbourTable | None = None
    newest: float | None = None

    def check(self, tokenizer: Tokenizer, vocabulary: int) -> None:
        """Raise `ModelError` unless these were made with this tokenizer and a table of so many rows."""
        self.check_tokenizer(tokenizer)
        if self.tokens is not None and len(self.tokens) != vocabulary:
            raise _another()

    def check_tokenizer(self, tokenizer: Tokenizer | None) -> None:
        """Raise `ModelError` where tokens were counted with another tokenizer than this one."""
        if self.tokens is not None and (tokenizer is None or self.tokenizer != tokenizer_digest(tokenizer)):
            raise _another()


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """What a tokenizer makes of some texts, as `b2:…`."""
    found = hashlib.blake2b(digest_size=20)
    for probe in PROBES:
        found.update(np.array(tokenizer.encode(probe), np.int64).tobytes() + b"\n")
    return f"b2:{found.hexdigest()}"


def _another() -> ModelError:
    return ModelError(
        "the statistics were made with another tokenizer than this model's",
        hint="make them again with this model, or use the bundle that they came with",
    )
