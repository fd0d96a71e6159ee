"""What may be said of items in a summary: aspects, each with the items that it is true of.

Invariant: an aspect is a phrase of at least one item. One that stands for several is a value of an attribute that names
a topic, or words that their titles share. Items with the same texts are one item.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from trsr_lite.summaries import phrases
from trsr_lite.summaries.phrases import Phrase
from trsr_lite.summaries.words import MAKERS, TOPIC_ATTRIBUTES, WEAK

Key = tuple[str, ...]
Pairs = tuple[tuple[str, str], ...]
WORKS = frozenset(["item", "book", "film", "music", "podcast", "video", "game"])
"""Domains whose items may be called by a short title as a whole."""
_LISTED = re.compile(r"\s*(?:[,;|/>]|\band\b|&)\s*")


@dataclass(frozen=True)
class Aspect:
    """A phrase, and the places of the items that it is true of; `is_value` where it is a value of an attribute."""

    phrase: Phrase
    items: frozenset[int]
    is_value: bool = False

    @property
    def key(self) -> Key:
        """What makes it the same as another."""
        return self.phrase.key


@dataclass(frozen=True)
class Aspects:
    """`topics` are of two items at least, `details` of one.

    `names` are words that have a capital inside a sentence, `small` words that have none somewhere, `makers` words of
    the names of brands, authors and the like.
    """

    topics: tuple[Aspect, ...]
    details: tuple[Aspect, ...]
    names: frozenset[str]
    small: frozenset[str]
    makers: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What is known of one item's texts alone: its own phrases, its topics, the runs of its title, and its words."""

    own: tuple[Phrase, ...]
    values: tuple[Phrase, ...]
    runs: frozenset[Key]
    names: frozenset[str]
    small: frozenset[str]
    makers: frozenset[str]


def of_texts(texts: Sequence[Pairs], domain: str, said: AbstractSet[Key] | None = None, new: int = 0) -> Aspects:
    """The aspects of items by their shown texts, oldest first.

    With `said`, details of items before the `new` last ones are only those that earlier summaries said.
    """
    fresh = set(texts if said is None else texts[len(texts) - new :])
    texts = list(dict.fromkeys(texts))
    facts, details = [_facts(pairs, str(domain)) for pairs in texts], list[Aspect]()
    makers = frozenset().union(*(one.makers for one in facts))
    for place, (pairs, one) in enumerate(zip(texts, facts, strict=True)):
        kept = [phrase for phrase in one.own if pairs in fresh or phrase.key in (said or ())]
        kept = [phrase for phrase in kept if not makers.issuperset(phrase.words)] or kept
        kept = [phrase for phrase in kept if len(phrase.key) > 1 or phrase.is_name] or kept
        details += [Aspect(phrase, frozenset([place])) for phrase in kept]
    names, small = (frozenset().union(*(getattr(one, kind) for one in facts)) for kind in ("names", "small"))
    return Aspects(tuple(_topics(facts)), tuple(details), names, small, makers)


@functools.lru_cache(maxsize=4096)
def _facts(pairs: Pairs, domain: str) -> Facts:
    every = [text for _, text in pairs]
    return Facts(
        _own(pairs, domain),
        tuple(_values(pairs)),
        phrases.inner_keys(_title(pairs)),
        frozenset(word for text in every for word in phrases.names(text)),
        frozenset(word for text in every for word in phrases.words(text) if word.islower()),
        frozenset(word for text in _named(pairs, MAKERS) for word in phrases.words(text)),
    )


def _topics(facts: Sequence[Facts]) -> list[Aspect]:
    """What several items share, but for what is part of a longer one, or stands before a later value, of just these."""
    values, holding = dict[Key, tuple[Phrase, set[int]]](), dict[Key, set[int]]()
    for place, one in enumerate(facts):
        for run in one.runs:
            holding.setdefault(run, set()).add(place)
        for phrase in one.values:
            values.setdefault(phrase.key, (phrase, set()))[1].add(place)
    words = {phrase.key: phrase for one in facts for phrase in one.own if len(holding.get(phrase.key, ())) > 1}
    shared = [Aspect(phrase, frozenset(holding[key])) for key, phrase in words.items() if key not in values]
    shared += [Aspect(phrase, frozenset(places), True) for phrase, places in values.values() if len(places) > 1]
    last = {one.items: one for one in shared if one.is_value}
    longer: dict[frozenset[int], list[set[str]]] = {}
    for aspect in shared:
        longer.setdefault(aspect.items, []).append(set(aspect.key))
    return [
        one
        for one in shared
        if not set(one.key) <= WEAK
        and not any(set(one.key) < other for other in longer[one.items])
        and (not one.is_value or last[one.items] is one)
    ]


def _own(pairs: Pairs, domain: str) -> tuple[Phrase, ...]:
    """What an item itself is called; of a product, what stands first, as colours and sizes follow."""
    title = _title(pairs)
    if domain in WORKS and (work := phrases.titled(title)):
        return (work,)
    texts = [title, *(text for _, text in pairs if text != title)]
    found = (phrases.phrases(text, first=domain == "product") for text in texts)
    return next((some for some in found if some), ()) or phrases.whole(title)


def _values(pairs: Pairs) -> list[Phrase]:
    """The topics that attributes name, without what another one is only written in front of, as in `newscrime`."""
    texts, found = _named(pairs, TOPIC_ATTRIBUTES), list[Phrase]()
    for text in texts:
        parents = (other for other in texts if text != other and text.startswith(other))
        rest = text.removeprefix(parent := max(parents, key=len, default=""))
        if not parent or not rest[:1].isalnum():
            entries = (entry.strip(" -_:.") for entry in _LISTED.split(rest))
            found += [phrase for entry in entries if (phrase := phrases.value(entry))]
    return found


def _named(pairs: Pairs, names: AbstractSet[str]) -> list[str]:
    return [text for name, text in pairs if name.casefold() in names]


def _title(pairs: Pairs) -> str:
    return next((text for name, text in pairs if name == "title"), pairs[0][1])
