"""The grammar of a true summary: `The reader likes a topic (a detail, another), a detail and a detail.`

Invariant: it says nothing but aspects of its items, each once. A topic stands before details of its own items alone,
what most items share is said first, and no item is spoken of twice but where it shares a later topic with others. It is
complete: where tokens run out, fewer aspects are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from trsr_lite.engine.masks import Choice
from trsr_lite.summaries import phrases
from trsr_lite.summaries.aspects import Aspect, Aspects, Key

HEADS = {"block": 4, "update": 5, "merge": 5}
"""Most topics, and details that stand alone, by the kind of summary."""
MOST_DETAILS = 2
RESERVE = 12  # tokens that one more aspect may take, with what ends the sentence
END = 2  # tokens that end a sentence
Tokens = Callable[[str, str], tuple[int, ...]]
"""The tokens of a text after another one."""
WORD, BRACKET = "x", "x ("  # what stands before a text that is to be made tokens


@dataclass(frozen=True)
class Frame:
    """What is the same at every place of a sentence; `plain` where most words with a capital are no names."""

    aspects: Aspects
    tokens: Tokens
    most_heads: int
    plain: bool

    def spelled(self, aspect: Aspect, before: str) -> Iterator[tuple[int, ...]]:
        """Tokens of each way to write an aspect."""
        for spelling in aspect.phrase.spellings(self.is_common, plurals=not aspect.is_value):
            first, *others = spelling.split(" ")
            tokens = list(self.tokens(first if before == BRACKET else f" {first}", before))
            for word in others:
                tokens += self.tokens(f" {word}", WORD)
            yield tuple(tokens)

    def is_common(self, word: str, before: Sequence[str] = ()) -> bool:
        """Whether a word needs no capital after the word before it: a tokenizer has learned what is usual."""
        aspects = self.aspects
        if word in aspects.makers or (before and before[0][:1].isupper() and not self.plain):
            return False
        if word.lower() in aspects.small or (before and before[0].islower() and self.plain):
            return True
        forms = [
            [self.tokens(f" {way(form)}", WORD) for way in (str.lower, str)] for form in (word, phrases.singular(word))
        ]
        if any(len(small) == 1 and (len(large) > 1 or small < large) for small, large in forms):
            return True
        if word in aspects.names:
            return False
        return any(len(small) < len(large) or (self.plain and len(small) == len(large)) for small, large in forms)


@dataclass(frozen=True)
class Place:
    """A place in a sentence, of which `next` is what comes: a `head`, a `detail` of `topic`, or the `sign` after one.

    `covered` are the items that heads spoke of, and `detailed` those that details of the topic did.
    """

    frame: Frame
    next: str = "head"
    covered: frozenset[int] = frozenset()
    said: tuple[Key, ...] = ()
    heads: int = 0
    is_last: bool = False
    topic: Aspect | None = None
    detailed: frozenset[int] = frozenset()

    def choices(self, room: int) -> Iterator[Choice]:
        """What may come next; see `Grammar`."""
        if self.next == "head":
            return self._heads(room)
        return self._details(room) if self.next == "detail" else self._signs(room)

    def _heads(self, room: int) -> Iterator[Choice]:
        topics, details = self._topics(), self._alone()
        spelled = [
            (tokens, replace(self._after(aspect), heads=self.heads + 1, topic=aspect if topics else None))
            for aspect in topics or details
            for tokens in self.frame.spelled(aspect, WORD)
        ]
        fitting = [Choice(tokens, then) for tokens, then in spelled if len(tokens) + END <= room]
        if spelled and not fitting:  # a beginning is better than nothing
            tokens, then = min(spelled, key=lambda way: len(way[0]))
            fitting = [Choice(tokens[: max(1, room - END)], replace(then, is_last=True))]
        yield from fitting

    def _details(self, room: int) -> Iterator[Choice]:
        for aspect in self._own():
            after = replace(self._after(aspect), detailed=self.detailed | aspect.items)
            for tokens in self.frame.spelled(aspect, WORD if self.detailed else BRACKET):
                if len(tokens) + RESERVE <= room:
                    yield Choice(tokens, after)

    def _signs(self, room: int) -> Iterator[Choice]:
        inside, close = bool(self.detailed), ")" if self.detailed else ""
        if room > 2 * RESERVE and len(self.detailed) < MOST_DETAILS and any(True for _ in self._fitting_details(room)):
            yield self._sign("," if inside else " (", next="detail")
            if self.topic and self.topic.is_value and not inside:
                return
        after = replace(self, topic=None, detailed=frozenset(), next="head")
        free = (after._topics() or after._alone()) if self._may_go_on(room) else []
        left = {place for aspect in after._alone() for place in aspect.items} if free else set()
        if not free:
            yield Choice(self.frame.tokens(f"{close}.", WORD), None)
        elif self.heads + 1 == self.frame.most_heads or room < 4 * RESERVE or any(left <= one.items for one in free):
            yield after._sign(f"{close} and", is_last=True)
        else:
            yield after._sign(f"{close},")

    def _may_go_on(self, room: int) -> bool:
        return not self.is_last and self.heads < self.frame.most_heads and room > 2 * RESERVE

    def _sign(self, text: str, **changes: Any) -> Choice:
        return Choice(self.frame.tokens(text, WORD), replace(self, **changes))

    def _after(self, aspect: Aspect) -> Place:
        covered = self.covered | aspect.items if self.next == "head" else self.covered
        return replace(self, next="sign", covered=covered, said=(*self.said, aspect.key))

    def _topics(self) -> list[Aspect]:
        """Topics of the most items that were not spoken of, at least two, and of which there is something to say."""
        open_topics = sorted(
            ((len(one.items - self.covered), place) for place, one in enumerate(self.frame.aspects.topics)),
            key=lambda each: (-each[0], each[1]),
        )
        for count, group in groupby(open_topics, key=lambda each: each[0]):
            topics = [self.frame.aspects.topics[place] for _, place in group] if count > 1 else []
            topics = [one for one in topics if not self._is_said(one.key) and (not one.is_value or self._own(one))]
            if topics or count < 2:
                return topics
        return []

    def _alone(self) -> list[Aspect]:
        """Details of items that were not spoken of."""
        details = self.frame.aspects.details
        return [one for one in details if not one.items & self.covered and not self._is_said(one.key)]

    def _own(self, topic: Aspect | None = None) -> list[Aspect]:
        """Details of a topic, of the one spoken of by default, that are of items without one so far."""
        topic = topic or self.topic
        items = topic.items - self.detailed if topic else frozenset()
        return [
            one
            for one in self.frame.aspects.details
            if topic and one.items <= items and one.key[: len(topic.key)] != topic.key and not self._is_said(one.key)
        ]

    def _fitting_details(self, room: int) -> Iterator[Aspect]:
        before = WORD if self.detailed else BRACKET
        for one in self._own():
            if any(len(tokens) + 1 + RESERVE <= room for tokens in self.frame.spelled(one, before)):
                yield one

    def _is_said(self, key: Key) -> bool:
        return any(set(key) <= set(said) for said in self.said)


def said(summary: str, opening: str) -> frozenset[Key]:
    """The keys of what a summary of this grammar says."""
    parts = re.split(r"[(),]|\band\b", summary.removeprefix(opening).removesuffix("."))
    return frozenset(phrases.key(found) for part in parts if (found := phrases.words(part)))
