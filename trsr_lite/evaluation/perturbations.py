"""Lists as they could have been: histories cut, lengthened or spoilt, and texts with faults.

Invariant: who the candidates are and which of them are the user's never changes. What happens to a history depends on
the seed, the user and the histories there are, and what happens to a text on the seed and the item: never on the order
of lists. A stronger change of a kind goes on from the weaker one.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.records import Item


class Change(Protocol):
    """Lists and a seed -> changed lists of the same numbers."""

    def __call__(self, lists: EvalLists, seed: int, /) -> EvalLists:
        """The changed lists; the given ones stay as they are."""


def newest(lists: EvalLists, _seed: int, /, *, items: int) -> EvalLists:
    """The newest items of each history alone."""
    return _histories(lists, lambda example: example.history[-items:])


def lengthened(lists: EvalLists, seed: int, /, *, items: int) -> EvalLists:
    """The newest items. Where a history has fewer, those of other users stand before them, as if they were its own.

    A candidate is never among what is added. Where all other histories together are too short, so is the new one.
    """
    others = _others(lists)

    def longer(example: Example) -> tuple[Item, ...]:
        whole = example.history
        for history in others(example, seed):
            if len(whole) >= items:
                break
            whole = (*history, *whole)
        return whole[-items:]

    return _histories(lists, longer)


def dropped(lists: EvalLists, seed: int, /, *, share: float) -> EvalLists:
    """Histories without a share of their items; one item always stays."""

    def fewer(example: Example) -> tuple[Item, ...]:
        order = _rng(seed, "dropped", *_key(example)).permutation(len(example.history))
        gone = set(order[: min(_part(share, len(order)), len(order) - 1)].tolist())
        return tuple(item for place, item in enumerate(example.history) if place not in gone)

    return _histories(lists, fewer)


def shuffled(lists: EvalLists, seed: int, /) -> EvalLists:
    """Histories in an order that says nothing."""

    def mixed(example: Example) -> tuple[Item, ...]:
        order = _rng(seed, "shuffled", *_key(example)).permutation(len(example.history))
        return tuple(example.history[place] for place in order)

    return _histories(lists, mixed)


def foreign(lists: EvalLists, seed: int, /, *, share: float) -> EvalLists:
    """Histories with items of other users at places that the seed decides, as many as a share of their own."""
    others = _others(lists)

    def mixed(example: Example) -> tuple[Item, ...]:
        own = {item.id for item in example.history}
        strangers = (item for history in others(example, seed) for item in history if item.id not in own)
        rng, whole = _rng(seed, "foreign", *_key(example)), list(example.history)
        for item in islice(strangers, _part(share, len(example.history))):
            whole.insert(int(rng.integers(0, len(whole) + 1)), item)
        return tuple(whole)

    return _histories(lists, mixed)


def without_attributes(lists: EvalLists, seed: int, /, *, share: float) -> EvalLists:
    """Items that lack a share of their attributes; the title, or the first attribute where there is none, stays."""

    def poorer(item: Item) -> Item:
        rng = _rng(seed, "attributes", item.id)
        kept = "title" if "title" in item.attributes else next(iter(item.attributes))
        draws = rng.random(len(item.attributes)).tolist()
        found = {
            name: text
            for draw, (name, text) in zip(draws, item.attributes.items(), strict=True)
            if name == kept or draw >= share
        }
        return replace(item, attributes=found)

    return _texts(lists, poorer)


def typos(lists: EvalLists, seed: int, /, *, share: float) -> EvalLists:
    """Texts in which a share of the words is misspelt: a letter missing, doubled, replaced or swapped with the next."""

    def misspelt(item: Item) -> Item:
        rng = _rng(seed, "typos", item.id)

        def word(found: re.Match[str]) -> str:
            draw, kind, place, letter = rng.random(), *rng.integers(0, (4, len(found[0]), len(string.ascii_lowercase)))
            return _misspelt(found[0], int(kind), int(place), int(letter)) if draw < share else found[0]

        texts = {name: _WORD.sub(word, text) for name, text in item.attributes.items()}
        return replace(item, attributes=texts)

    return _texts(lists, misspelt)


_WORD = re.compile(r"[^\W\d_]{3,}")


def _misspelt(word: str, kind: int, place: int, letter: int) -> str:
    before, own, after = word[:place], word[place], word[place + 1 :]
    if kind == 0:
        return before + after
    if kind == 1:
        return before + own * 2 + after
    if kind == 2:
        return before + string.ascii_lowercase[letter] + after
    return before + after[:1] + own + after[1:]


def _histories(lists: EvalLists, change: Callable[[Example], tuple[Item, ...]]) -> EvalLists:
    examples = {number: replace(one, history=change(one)) for number, one in lists.examples.items()}
    return replace(lists, examples=examples)


def _texts(lists: EvalLists, change: Callable[[Item], Item]) -> EvalLists:
    """The same change wherever an item stands."""
    examples = {
        number: replace(one, history=tuple(map(change, one.history)), candidates=tuple(map(change, one.candidates)))
        for number, one in lists.examples.items()
    }
    return replace(lists, examples=examples, items=[change(item) for item in lists.items])


def _others(lists: EvalLists) -> Callable[[Example, int], Iterator[tuple[Item, ...]]]:
    """For a list: other users' histories without its candidates, in an order that the user and the seed decide.

    They come one at a time: a list wants a few of them, and there are as many as lists.
    """
    histories = {(one.user_id, _ids(one.history)): one.history for one in lists.examples.values()}
    known = sorted(histories)

    def others(example: Example, seed: int) -> Iterator[tuple[Item, ...]]:
        candidates, own = {item.id for item in example.candidates}, _ids(example.history)
        for place in mixed_numbers(len(known), _rng(seed, "others", *_key(example))):
            user_id, ids = known[place]
            if ids != own and not (user_id and user_id == example.user_id):  # a list without an id is a user of its own
                yield tuple(item for item in histories[user_id, ids] if item.id not in candidates)

    return others


def mixed_numbers(count: int, rng: np.random.Generator) -> Iterator[int]:
    """The numbers below `count` in random order, at the cost of those taken: each is swapped with one from there on."""
    swapped: dict[int, int] = {}
    for place in range(count):
        drawn = int(rng.integers(place, count))
        yield swapped.get(drawn, drawn)
        swapped[drawn] = swapped.get(place, place)


def _key(example: Example) -> tuple[str, ...]:
    """What tells a list from every other one."""
    return example.user_id, *_ids(item for item, own in zip(example.candidates, example.labels, strict=True) if own)


def _ids(items: Iterable[Item]) -> tuple[str, ...]:
    return tuple(item.id for item in items)


def _part(share: float, count: int) -> int:
    """How many of so many items a share is, at least one."""
    return max(1, round(share * count))


def _rng(seed: int, *words: str) -> np.random.Generator:
    digest = hashlib.blake2b("\0".join((str(seed), *words)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
