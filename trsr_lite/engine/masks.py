"""What a text may go on with, token by token: the walk of a mask through the choices of a grammar.

Invariant: every token that is allowed leads to the end of some choice, and a finished text is a sequence of choices.
What choices there are depends on the text's own ones alone, never on other texts of its batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class Choice(NamedTuple):
    """Tokens that may come next as a whole, and what may follow them; None where the text ends with them."""

    tokens: tuple[int, ...]
    then: Grammar | None


class Grammar(Protocol):
    """A place in a text."""

    def choices(self, room: int) -> Iterable[Choice]:
        """What may come next, for a text that may have `room` more tokens; nothing ends the text here."""
        ...


class Mask:
    """The state of one text: what is left of each choice that its tokens agree with."""

    def __init__(self, grammar: Grammar, room: int) -> None:
        self._room = room
        self._open = [choice for choice in grammar.choices(room) if choice.tokens]

    @property
    def ended(self) -> bool:
        """Whether nothing may follow."""
        return not self._open

    @property
    def allowed(self) -> list[int]:
        """The tokens that may come next, in order."""
        return sorted({choice.tokens[0] for choice in self._open})

    def choose(self, logits: npt.NDArray[np.float32]) -> int:
        """The likeliest of the allowed tokens; of equals, the one with the lowest id."""
        allowed = self.allowed
        return allowed[int(np.argmax(logits[allowed]))]

    def advance(self, token: int) -> None:
        """Go on by an allowed token."""
        self._room -= 1
        going, fresh = list[Choice](), list[Choice]()
        for tokens, then in self._open:
            if tokens[0] != token:
                continue
            if tokens[1:]:
                going.append(Choice(tokens[1:], then))
            elif then:
                fresh += [choice for choice in then.choices(self._room) if choice.tokens]
        self._open = going + fresh
