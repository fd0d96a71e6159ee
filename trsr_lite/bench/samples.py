"""Made-up users, items and prompts of known length; the words carry no meaning, only tokens.

Invariant: the same seed gives the same texts on every machine.
"""

from __future__ import annotations

import random

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.records import Item, User

WORDS = """
    garden river quiet market engine winter letter bridge copper lesson orchard signal harbour window method summer
    paper silver village journey pattern forest kitchen mountain evening thunder gallery carpet lantern planet
""".split()  # noqa: SIM905
TITLE, DESCRIPTION = 6, 40  # words; about 60 tokens together


def tokens(tokenizer: Tokenizer, count: int, seed: int) -> list[int]:
    """Exactly `count` tokens of text."""
    source = random.Random(seed)  # noqa: S311
    text = " ".join(source.choice(WORDS) for _ in range(2 * count))
    return tokenizer.encode(text)[:count]


def items(count: int, seed: int, words: int = DESCRIPTION) -> list[Item]:
    """Items with a title, and a description of so many words."""
    source = random.Random(seed)  # noqa: S311

    def sentence(length: int) -> str:
        return " ".join(source.choice(WORDS) for _ in range(length)).capitalize()

    return [
        Item(f"s{seed}-{number}", {"title": sentence(TITLE), "description": f"{sentence(words)}."})
        for number in range(count)
    ]


def user(history: int, candidates: int, seed: int) -> User:
    """A user without a name, so that nothing is linked to one."""
    both = items(history + candidates, seed)
    return User("", tuple(both[:history]), tuple(both[history:]))
