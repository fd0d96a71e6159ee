"""What may be said of items in a summary: aspects, each with the items that it is true of.

Invariant: an aspect is a phrase of at least one item. One that stands for several is a value of an attribute that names
a topic, or words that their titles share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set as AbstractSet
from dataclasses import dataclass

from trsr_lite.prompts.templates import shown
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.summaries import phrases
from trsr_lite.summaries.phrases import Phrase
from trsr_lite.summaries.words import MAKERS, TOPIC_ATTRIBUTES, WEAK

Key = tuple[str, ...]
Pairs = Sequence[tuple[str, str]]
_LISTED = re.compile(r"\s*(?:[,;|/>]|\band\b|&)\s*")


@dataclass(frozen=True)
class Aspect:
    """A phrase and the places of the items that it is true of; `names` where it is a topic, not a detail."""

    phrase: Phrase
    items: frozenset[int]
    is_value: bool = False

    @property
    def key(self) -> Key:
        """What makes it the same as another."""
        return self.phrase.key


@dataclass(frozen=True)
class Aspects:
    """`topics` are of two items at least, `details` of one: each item's own phrases, by its place.

    `names` are words that have a capital inside a sentence, `small` words without one,
    `makers` words of the names of brands, authors and the like.
    """

    topics: tuple[Aspect, ...]
    details: tuple[Aspect, ...]
    names: frozenset[str]
    small: frozenset[str]
    makers: frozenset[str]


def of_items(items: Sequence[Item], settings: Settings, said: AbstractSet[Key] | None = None, new: int = 0) -> Aspects:
    """The aspects of items, oldest first, of which the same counts once.

    With `said`, phrases of items before the `new` last ones are only those that earlier summaries said.
    """
    texts = {tuple(shown(item, settings)): item for item in items}
    fresh = {tuple(shown(item, settings)) for item in items[len(items) - new :]} if said is not None else set(texts)
    details: list[Aspect] = []
    names = frozenset(name for pairs in texts for _, text in pairs for name in phrases.names(text))
    makers = frozenset(word for pairs in texts for name, text in pairs if name.casefold() in MAKERS for word in phrases.words(text))
    small = frozenset(word for pairs in texts for _, text in pairs for word in phrases.words(text) if word.islower())
    values: dict[Key, Aspect] = {}
    shared: dict[Key, Aspect] = {}
    holding: dict[Key, set[int]] = {}
    for place, pairs in enumerate(texts):
        title = _title(pairs)
        for inner in phrases.inner_keys(title):
            holding.setdefault(inner, set()).add(place)
        for phrase in _values(pairs):
            known = values.setdefault(phrase.key, Aspect(phrase, frozenset(), True))
            values[phrase.key] = Aspect(known.phrase, known.items | {place}, True)
    for place, pairs in enumerate(texts):
        found = _own(pairs, settings)
        for phrase in found:
            if len(holding.get(phrase.key, ())) > 1:
                shared.setdefault(phrase.key, Aspect(phrase, frozenset(holding[phrase.key])))
        kept = [phrase for phrase in found if pairs in fresh or phrase.key in (said or ())]
        kept = [phrase for phrase in kept if not makers.issuperset(phrase.words)] or kept
        longer = [phrase for phrase in kept if len(phrase.key) > 1 or phrase.is_name]
        details += [Aspect(phrase, frozenset([place])) for phrase in longer or kept]
    topics = [aspect for aspect in ({**shared, **values}).values() if len(aspect.items) > 1]
    topics = [aspect for aspect in topics if not set(aspect.key) <= WEAK]
    return Aspects(tuple(_telling(topics)), tuple(details), names, small, makers)


def _title(pairs: Pairs) -> str:
    return next((text for name, text in pairs if name == "title"), pairs[0][1])


def _own(pairs: Pairs, settings: Settings) -> tuple[Phrase, ...]:
    """What an item itself is called; of a product, what stands first, as colours and sizes follow."""
    title = _title(pairs)
    if settings.domain == "item" and (work := phrases.titled(title)):
        return (work,)
    texts = [title, *(text for name, text in pairs if text != title)]
    found = (phrases.phrases(text, first=settings.domain == "product") for text in texts)
    return next((some for some in found if some), ()) or phrases.whole(title)


def _telling(shared: Sequence[Aspect]) -> Iterable[Aspect]:
    """Without what is part of a longer one of the same items, or stands before a later value of just these items."""
    for place, aspect in enumerate(shared):
        same = [other for other in shared if other.items == aspect.items and set(aspect.key) < set(other.key)]
        if not same and not (aspect.is_value and any(o.is_value and o.items == aspect.items for o in shared[place + 1 :])):
            yield aspect


def _values(pairs: Pairs) -> list[Phrase]:
    """The topics that attributes name, without what another one is only written in front of, as in `newscrime`."""
    texts = [text for name, text in pairs if name.casefold() in TOPIC_ATTRIBUTES]
    found = []
    for text in texts:
        longest = max((other for other in texts if text != other and text.startswith(other)), key=len, default="")
        rest = text[len(longest) :]
        if longest and rest[:1].isalnum():
            continue
        found += [phrase for entry in _LISTED.split(rest) if (phrase := phrases.value(entry.strip(" -_:.")))]
    return found
