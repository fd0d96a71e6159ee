"""Made-up items and prompts of known length; the words carry no meaning, only tokens."""

from __future__ import annotations

import random
from pathlib import Path

import platformdirs

from trsr_lite import embedded
from trsr_lite.bundle import Bundle, load
from trsr_lite.digests import file_digest
from trsr_lite.engine.base import Tokenizer
from trsr_lite.records import Item

WORDS = """
    garden river quiet market engine winter letter bridge copper lesson orchard signal harbour window method summer
    paper silver village journey pattern forest kitchen mountain evening thunder gallery carpet lantern planet
""".split()


def bundle() -> Bundle:
    """The prepared default."""
    return load(embedded.prepare(Path(platformdirs.user_data_dir("trsr-lite", False))), file_digest)


def tokens(tokenizer: Tokenizer, count: int, seed: int) -> list[int]:
    """Exactly `count` tokens of text."""
    source = random.Random(seed)
    text = " ".join(source.choice(WORDS) for _ in range(2 * count))
    return tokenizer.encode(text)[:count]


def items(count: int, seed: int, words: int = 40) -> list[Item]:
    """Items with a title and a description."""
    source = random.Random(seed)

    def sentence(length: int) -> str:
        return " ".join(source.choice(WORDS) for _ in range(length)).capitalize()

    return [
        Item(f"s{seed}-{number}", {"title": sentence(6), "description": f"{sentence(words)}."})
        for number in range(count)
    ]
