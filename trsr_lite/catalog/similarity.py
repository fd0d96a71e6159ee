"""Which items are the same thing twice, and which are merely alike.

Two items are near-duplicates if their titles have the same words, whatever the order, case, accents and punctuation,
and one has at least half of the other's words: a reprint with another teaser is folded, two different "Daily briefing"
are not. Invariant: of near-duplicates the first that is asked for stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from trsr_lite.catalog.terms import spaced
from trsr_lite.records import Item

SHARED = 0.5  # of the words of the shorter one
LOOKED_AT = 20_000  # characters of a text that are compared: a longer one is not worth what it costs
_WORDS = re.compile(r"\w+")
Words = frozenset[str]


class Folding:
    """Remembers items; `seen` are there from the beginning."""

    def __init__(self, seen: Iterable[Item] = ()) -> None:
        self._by_title: dict[Words, list[Words]] = {}
        for item in seen:
            self.is_new(item)

    def is_new(self, item: Item) -> bool:
        """Whether no near-duplicate has come before; the item is remembered then."""
        everything = words("\n".join(item.attributes.values()))
        title = words(item.attributes["title"]) if "title" in item.attributes else everything
        before = self._by_title.setdefault(title, [])
        if any(len(everything & other) >= SHARED * min(len(everything), len(other)) for other in before):
            return False
        before.append(everything)
        return True


def words(text: str) -> Words:
    """The different words, without case and accents; signs that are no words stand for themselves."""
    plain = spaced(text[:LOOKED_AT]).casefold()
    if not plain.isascii():
        parts = unicodedata.normalize("NFKD", plain)
        plain = "".join(character for character in parts if not unicodedata.combining(character))
    return frozenset(_WORDS.findall(plain)) or frozenset(plain.split())


def diverse(items: Sequence[Item], diversity: float, count: int) -> list[Item]:
    """The best `count` of the items, which come best first, by maximal marginal relevance.

    Each next item has the largest (1 − diversity) · relevance − diversity · likeness. Relevance falls evenly from 1 to
    0 along the list. Likeness is the largest Jaccard index of its words with those of a chosen item (Carbonell and
    Goldstein, SIGIR 1998). 0 keeps the order.
    """
    if not diversity or len(items) < 2:
        return list(items[:count])
    bits = _as_bits([words("\n".join(item.attributes.values())) for item in items])
    left = {place: (1 - diversity) * (1 - place / (len(items) - 1)) for place in range(len(items))}
    nearest, chosen = [0.0] * len(items), list[int]()
    while left and len(chosen) < count:
        best = max(left, key=lambda place: left[place] - diversity * nearest[place])
        del left[best]
        chosen.append(best)
        for place in left:
            nearest[place] = max(nearest[place], _jaccard(bits[best], bits[place]))
    return [items[place] for place in chosen]


def _as_bits(sets: Sequence[Words]) -> list[int]:
    """Each set as a number with a bit for each word: two of them are compared in a fraction of a microsecond."""
    places: dict[str, int] = {}
    return [sum(1 << places.setdefault(word, len(places)) for word in one) for one in sets]


def _jaccard(one: int, other: int) -> float:
    """The words that two have in common, as a part of those that either has."""
    return (one & other).bit_count() / max(1, (one | other).bit_count())
