"""The grammar of a true summary: `The reader likes a topic (a detail, another) and a detail.`

Invariant: what it says is made of aspects of its items. A topic stands before details of its own items alone, no item is
spoken of twice, no phrase is said twice, and what more items share is said first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trsr_lite.engine.masks import Choice
from trsr_lite.summaries import phrases
from trsr_lite.summaries.aspects import Aspect, Aspects, Key

MOST_HEADS = 4
MOST_DETAILS = 2
RESERVE = 12  # tokens that the end of a sentence may take
Tokens = Callable[[str, bool], tuple[int, ...]]
"""The tokens of a text after a word, or (False) after an opening bracket."""


@dataclass(frozen=True)
class Frame:
    """What is the same at every place of a sentence."""

    aspects: Aspects
    tokens: Tokens
    plain: bool = False
    most_heads: int = MOST_HEADS

    def is_common(self, word: str, before: Sequence[str] = ()) -> bool:
        """Whether a word needs no capital after the word before: a tokenizer learned what is usual."""
        aspects = self.aspects
        if word in aspects.makers or (before and before[0][:1].isupper() and not self.plain):
            return False
        if word.lower() in aspects.small or (before and before[0].islower() and self.plain):
            return True
        forms = [[self.tokens(way(form), True) for way in (str.lower, str)] for form in (word, phrases.singular(word))]
        if any(len(small) == 1 and (len(large) > 1 or small < large) for small, large in forms):
            return True
        if word in aspects.names:
            return False
        return any(len(small) < len(large) or (self.plain and len(small) == len(large)) for small, large in forms)


@dataclass(frozen=True)
class Place:
    """A place in a sentence: what comes next is a head (`head`), a detail (`detail`), or what follows one (`after`)."""

    frame: Frame
    next: str = "head"
    covered: frozenset[int] = frozenset()
    said: tuple[Key, ...] = ()
    heads: int = 0
    last: bool = False
    topic: Aspect | None = None
    detailed: frozenset[int] = frozenset()
    details: int = 0

    def choices(self, room: int) -> Iterator[Choice]:
        if self.next == "head":
            yield from self._heads(room)
        elif self.next == "detail":
            yield from self._details(room)
        else:
            yield from self._signs(room)

    def _heads(self, room: int) -> Iterator[Choice]:
        for aspect, is_topic in self._free():
            then = replace(
                self,
                next="after",
                covered=self.covered | aspect.items,
                said=(*self.said, aspect.key),
                heads=self.heads + 1,
                topic=aspect if is_topic else None,
                details=0,
                detailed=frozenset(),
            )
            yield from self._spelled(aspect, then, room, True)

    def _details(self, room: int) -> Iterator[Choice]:
        for aspect in self._own():
            then = replace(
                self,
                next="after",
                said=(*self.said, aspect.key),
                details=self.details + 1,
                detailed=self.detailed | aspect.items,
            )
            yield from self._spelled(aspect, then, room, self.details > 0)

    def _spelled(self, aspect: Aspect, then: Place, room: int, spaced: bool) -> Iterator[Choice]:
        for spelling in aspect.phrase.spellings(self.frame.is_common, plurals=not aspect.is_value):
            tokens = self.frame.tokens(spelling, spaced)
            if len(tokens) + RESERVE <= room:
                yield Choice(tokens, then)

    def _signs(self, room: int) -> Iterator[Choice]:
        inside, details = self.details > 0, self._own() if self.topic and self.details < MOST_DETAILS else ()
        if details and (room > 2 * RESERVE or not inside):
            yield self._sign("," if inside else " (", next="detail")
            if not inside and self.topic and self.topic.is_value:
                return
        close = ")" if inside else ""
        heads = self.frame.most_heads - self.heads if room > 2 * RESERVE and not self.last else 0
        free = self._free() if heads else []
        left = {place for aspect, _ in free for place in aspect.items - self.covered}
        if not free:
            yield Choice(self.frame.tokens(f"{close}.", None), None)
        elif heads == 1 or room < 3 * RESERVE or any(left <= aspect.items for aspect, _ in free):
            yield self._sign(f"{close} and", next="head", last=True, details=0)
        else:
            yield self._sign(f"{close},", next="head", details=0)

    def _sign(self, text: str, **changes: Any) -> Choice:
        return Choice(self.frame.tokens(text, None), replace(self, **changes))

    def _free(self) -> list[tuple[Aspect, bool]]:
        """Heads that may come next: topics of the most items that were not spoken of, else details of any."""
        open_topics = [(len(aspect.items - self.covered), aspect) for aspect in self.frame.aspects.topics]
        open_topics = [(count, aspect) for count, aspect in open_topics if not self._is_said(aspect.key)]
        open_topics = [(count, aspect) for count, aspect in open_topics if not aspect.is_value or self._details_of(aspect)]
        most = max((count for count, _ in open_topics), default=0)
        if most > 1:
            return [(aspect, True) for count, aspect in open_topics if count == most]
        return [
            (aspect, False)
            for aspect in self.frame.aspects.details
            if not aspect.items & self.covered and not self._is_said(aspect.key)
        ]

    def _own(self) -> list[Aspect]:
        return self._details_of(self.topic, self.detailed) if self.topic else []

    def _details_of(self, topic: Aspect, without: frozenset[int] = frozenset()) -> list[Aspect]:
        return [
            aspect
            for aspect in self.frame.aspects.details
            if aspect.items <= topic.items - without
            and aspect.key[: len(topic.key)] != topic.key
            and not self._is_said(aspect.key)
        ]

    def _is_said(self, key: Key) -> bool:
        return any(set(key) <= set(said) for said in self.said)


def said(summary: str, opening: str) -> frozenset[Key]:
    """The keys of what a summary of this grammar says."""
    parts = re.split(r"[(),]|\band\b", summary.removeprefix(opening).removesuffix("."))
    return frozenset(phrases.key(phrases.words(part)) for part in parts if part.strip())
