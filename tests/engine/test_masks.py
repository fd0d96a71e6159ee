"""Masks: a text is a sequence of its grammar's choices, whatever a model would rather say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trsr_lite.engine.masks import Choice, Mask


@dataclass(frozen=True)
class Words:
    """Each word once, then an end of 9; rooms are written down."""

    words: tuple[tuple[int, ...], ...]
    rooms: list[int]

    def choices(self, room: int) -> Iterable[Choice]:
        self.rooms.append(room)
        for word in self.words:
            yield Choice(word, Words(tuple(other for other in self.words if other != word), self.rooms))
        yield Choice((9,), None)


def walk(mask: Mask, tokens: list[int]) -> list[list[int]]:
    seen = [mask.allowed]
    for token in tokens:
        mask.advance(token)
        seen.append(mask.allowed)
    return seen


def test_only_tokens_that_lead_somewhere_are_allowed() -> None:
    mask = Mask(Words(((1, 2), (3,)), []), 8)
    assert walk(mask, [1, 2, 3, 9]) == [[1, 3, 9], [2], [3, 9], [9], []]


def test_a_choice_may_begin_as_another_one_ends() -> None:
    mask = Mask(Words(((1,), (1, 2)), []), 8)
    assert walk(mask, [1, 2]) == [[1, 9], [1, 2, 9], [1, 9]]


def test_a_grammar_hears_how_many_tokens_are_left() -> None:
    grammar = Words(((1, 2), (3,)), [])
    walk(Mask(grammar, 8), [1, 2, 3])
    assert grammar.rooms == [8, 6, 5]


def test_the_likeliest_allowed_token_is_chosen() -> None:
    mask = Mask(Words(((1, 2), (3,)), []), 8)
    logits = np.zeros(10, dtype=np.float32)
    assert mask.choose(logits) == 1  # of equals the first
    logits[[2, 3]] = 5, 1
    assert mask.choose(logits) == 3


def test_a_grammar_without_choices_ends_at_once() -> None:
    class Nothing:
        def choices(self, _room: int) -> Iterable[Choice]:
            return ()

    assert Mask(Nothing(), 8).allowed == []
