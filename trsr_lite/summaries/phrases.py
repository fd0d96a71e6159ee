"""The phrases that a summary may say of an item: spans of its title, and values of attributes that name a topic.

Invariant: a phrase is a run of neighbouring words of one text of one item, as they are there but for the case of words
whose text does not tell it, and the plural of the last one. It has none of the signs that a summary is built with, so
that a summary can be taken apart again. What follows a negation is no phrase, nor is part of a name.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from trsr_lite.summaries.words import ADJECTIVES_IN_LY, AFTER_VERBS, BREAKS, INNER, NEGATIONS, UNITS, WEAK

MOST_WORDS = 5  # of a phrase
MOST_SHARED = 3  # words that texts share
LOOKED_AT = 40  # words of a text
LONGEST = 40  # characters of a word
JOINERS = "'’.&+-#/"  # inside a word
ENDS_SENTENCE = ".:!?…|–—"
TITLE_CASE = 0.6  # with at least this share of words in capitals, capitals do not tell names
RESERVED = "(),.;<>|[]{}"  # a summary is built with some of these, prompts and templates with the others
_INITIALS = re.compile(r"(?:[A-Z]\.)+[A-Z]")


@dataclass(frozen=True)
class Word:
    """A word as it stands in a text; `begins` where a sentence does, `barred` where a negation stands before."""

    text: str
    begins: bool
    barred: bool

    @property
    def is_capital(self) -> bool:
        """Whether only its first letter is a capital."""
        return self.text[:1].isupper() and self.text[1:] == self.text[1:].lower()


@dataclass(frozen=True)
class Phrase:
    """A run of words: `key` is what makes it the same phrase elsewhere.

    `unsure` are the words whose capital may be owed to their place, and `styled` says that it is a whole text's style.
    """

    key: tuple[str, ...]
    words: tuple[str, ...]
    unsure: tuple[bool, ...]
    styled: bool

    @property
    def is_name(self) -> bool:
        """Whether capitals tell that it is a name."""
        return self.words[0][:1].isupper() and not self.unsure[0] and not self.styled

    def spellings(self, is_common: Callable[[str, Sequence[str]], bool], *, plurals: bool = True) -> tuple[str, ...]:
        """The ways to write it, with a small letter where a word is common; with `plurals`, the last one in both."""
        found: list[str] = []
        for word, unsure in zip(self.words, self.unsure, strict=True):
            found.append(word.lower() if unsure and is_common(word, found[-1:]) else word)
        more = plural(found[-1]) if plurals and "of" not in found else None
        return tuple(" ".join(way) for way in (found, [*found[:-1], more] if more else None) if way)


def singular(word: str) -> str:
    """A word without the commonest endings of a plural, for telling whether two are the same."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plural(word: str) -> str | None:
    """The regular plural of an English noun in small letters; None for what looks like none, or like a plural."""
    if len(word) < 3 or not (word.isascii() and word.isalpha() and word.islower()) or word.endswith(("s", "ing", "ed")):
        return None
    if word.endswith(("x", "ch", "sh", "z")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def key(words: Sequence[str]) -> tuple[str, ...]:
    """What makes a phrase the same as another: its words in small letters and the singular."""
    return tuple(singular(word.casefold().replace("’", "'").removesuffix("'s")) for word in words)


@functools.lru_cache(maxsize=4096)
def phrases(text: str, *, first: bool = False) -> tuple[Phrase, ...]:
    """Every phrase of a text, the shortest of a run first; `first`: those of the first run with one of two words."""
    found = _phrases(text)
    long = (run for run in found if first and any(len(phrase.words) > 1 for phrase in run))
    return next(long, None) or tuple(itertools.chain.from_iterable(found))


def _phrases(text: str) -> list[tuple[Phrase, ...]]:
    """The phrases of each run."""
    runs = _chunks(text)
    tells = _tells_names([word for run in runs for word in run])
    return [
        tuple(
            _phrase(span, tells)
            for end in _ends(run)
            for first in reversed(range(max(0, end - MOST_WORDS), end))
            if _is_phrase(span := run[first:end], run[:first], run[end:], tells)
        )
        for run in runs
    ]


@functools.lru_cache(maxsize=4096)
def inner_keys(text: str) -> frozenset[tuple[str, ...]]:
    """Keys of all short runs of words of a text, phrases or not."""
    runs = [[word.text for word in run if not word.barred] for run in _chunks(text)]
    return frozenset(
        key(run[first:end])
        for run in runs
        for first in range(len(run))
        for end in range(first + 1, min(first + MOST_SHARED, len(run)) + 1)
    )


@functools.lru_cache(maxsize=4096)
def names(text: str) -> frozenset[str]:
    """Words of the beginning of a text that have a capital inside a sentence."""
    found = [word for run in _chunks(text) for word in run]
    if not _tells_names(found):
        return frozenset()
    return frozenset(word.text for word in found if word.text[:1].isupper() and not word.begins)


def titled(text: str) -> Phrase | None:
    """A short text as a whole where capitals are its style, as of a book or a film; None for other texts."""
    found = list(_scan(text.replace(" and ", " & ").replace(" And ", " & ")))
    if not 1 < len(found) <= MOST_WORDS + 2 or any(_is_sign(word) and word != "&" for word in found):
        return None
    span = [Word(word, False, False) for word in found]
    if _tells_names(span) or not all(word.text[:1].isupper() for word in (span[0], span[-1])):
        return None
    return Phrase(key(found), tuple(found), (False,) * len(found), True)


def value(text: str) -> Phrase | None:
    """The phrase that a short value of an attribute is as a whole; None for what has no letter, or too many words."""
    found = words(re.sub("[-_]", " ", text))
    if not found or len(found) > MOST_WORDS or not any(map(_is_word, found)):
        return None
    return _phrase([Word(word, True, False) for word in found], False)


def whole(text: str) -> tuple[Phrase, ...]:
    """The beginning of a text that has no phrases, such as one of signs alone; empty where nothing of it is visible."""
    found = " ".join(words(text)[:MOST_WORDS]) or "".join(sign for sign in _scan(text) if sign not in RESERVED)
    return (Phrase((found,), (found[:LONGEST],), (False,), False),) if found else ()


def words(text: str) -> list[str]:
    """The words of a text, without what stands between them."""
    return [word for word in itertools.islice(_scan(text), LOOKED_AT) if not _is_sign(word)]


def _ends(run: Sequence[Word]) -> list[int]:
    """Where a phrase of a run may end: with its last word, which says what it is about, without a number or with it."""
    end = len(run)
    while end and not _is_word(run[end - 1].text):
        end -= 1
    return [end, len(run)] if 0 < end < len(run) else [end] if end else []


def _is_phrase(span: Sequence[Word], before: Sequence[Word], after: Sequence[Word], tells: bool) -> bool:
    lower = [word.text.casefold() for word in span]
    first, last = span[0].text, span[-1].text
    if any(word.barred for word in span) or lower[0] in INNER or lower[-1] in INNER:
        return False
    if all(word in WEAK or not _is_word(each.text) for word, each in zip(lower, span, strict=True)):
        return False
    if not _is_word(first) or lower[0] in UNITS or lower[-1].endswith(("'s", "’s")):
        return False
    if lower[-1] in WEAK and not last[:1].isupper():
        return False
    if not _is_word(last) and (before or not span[-2].text[:1].isupper()):  # iPhone 11 is a name, the top 11 is none
        return False
    if len(span) == 1 and len(first) < 3 and not first.isupper() and first.isascii():
        return False
    cuts_name = (before and _is_name(before[-1], span[0])) or (after and _is_name(span[-1], after[0]))
    return not (tells and cuts_name)


def _is_name(word: Word, following: Word) -> bool:
    """Whether two neighbours are parts of one name, where capitals tell names."""
    return word.text[:1].isupper() and following.text[:1].isupper()


def _phrase(span: Sequence[Word], tells: bool) -> Phrase:
    named = tells and any(word.text[:1].isupper() for word in span[1:])
    unsure = tuple(word.is_capital and not named and (word.begins or not tells) for word in span)
    found = tuple(word.text for word in span)
    return Phrase(key(found), found, unsure, not tells)


def _tells_names(found: Sequence[Word]) -> bool:
    """Whether capitals tell names in a text: not where nearly all words have one."""
    inner = [word for word in found if not word.begins and word.text[:1].isalpha() and len(word.text) > 3]
    return sum(word.text[:1].isupper() for word in inner) < TITLE_CASE * max(len(inner), 2)


def _chunks(text: str) -> list[list[Word]]:
    """Runs of words with nothing between them that ends a phrase: signs, function words, verbs."""
    found: list[list[Word]] = [[]]
    begins, barred = True, False
    for word in itertools.islice(_scan(text), LOOKED_AT):
        lower = word.casefold().replace("’", "'")
        if _is_sign(word):
            begins, barred = begins or word in ENDS_SENTENCE, False
            found.append([])
        elif _breaks(word, lower):
            if lower in AFTER_VERBS and found[-1]:
                found[-1].pop()
            barred = barred or lower in NEGATIONS
            begins = False
            found.append([])
        else:
            found[-1].append(Word(word, begins, barred))
            begins = False
    for run in found:
        while run and (run[-1].text.casefold() in INNER or (run[-1].text.endswith("ed") and len(run[-1].text) > 4)):
            run.pop()  # of a road that was closed
    return [run for run in found if run]


def _breaks(word: str, lower: str) -> bool:
    if lower in INNER or (word.isupper() and 1 < len(word) < 4):  # IT, US
        return False
    return lower in BREAKS or (lower.endswith("ly") and len(lower) > 3 and lower not in ADJECTIVES_IN_LY)


def _scan(text: str) -> Iterator[str]:
    """The words of a text, and each sign between them."""
    start: int | None = None
    for place, sign in enumerate(text):
        inner = _is_letter(sign)
        if not inner and sign in JOINERS and start is not None:
            inner = _is_letter(text[place + 1 : place + 2]) or (sign == "+" and text[place - 1] in "C+")
            inner = inner or (sign == "." and bool(_INITIALS.fullmatch(text[start:place])))
        if inner and start is None:
            start = place
        if not inner:
            if start is not None:
                yield text[start:place]
                start = None
            if not sign.isspace():
                yield sign
    if start is not None:
        yield text[start:]


def _is_sign(word: str) -> bool:
    return len(word) == 1 and not _is_letter(word)


def _is_letter(sign: str) -> bool:
    return bool(sign) and (sign.isalnum() or unicodedata.category(sign)[0] == "M" or sign in "\u200c\u200d")


def _is_word(word: str) -> bool:
    """Whether it is a word at all: neither a number nor a code, as T6M02AN is one."""
    return any(sign.isalpha() for sign in word) and not (any(map(str.isdigit, word)) and word.upper() == word)
