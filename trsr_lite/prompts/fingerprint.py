"""Texts that show whether two tokenizers, or two versions of the prompts, are the same.

Invariant: nothing here is ever shown to a model; changing a text makes every bundle's golden tokens unreadable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from trsr_lite.domains.domain import FIXED
from trsr_lite.engine.interface import Prompt, Tokenizer
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.settings import Settings

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Breaking: storm closes 14 airports, 2,300 flights cancelled",
    "don't can't we'll I'd you're it's o'clock",
    "Café crème, naïve façade, Zürich, Łódź, İstanbul",
    "Почему зимой так рано темнеет?",
    "今日の天気は晴れ、気温は二十度です。",
    "北京时间晚上八点，比赛正式开始。",
    "오늘의 주요 뉴스를 전해 드립니다.",
    "الأخبار العاجلة من العاصمة هذا المساء",
    "חדשות הספורט של השבוע",
    "आज का मौसम कैसा रहेगा?",
    "ข่าวเด่นประจำวันนี้",
    "Τι νέο υπάρχει στην αγορά;",
    "👩‍👩‍👧 👍🏽 🇺🇳 emoji ☕️",
    "$12.99 | 50% off | 3×5 cm | №7 | 1/2 ½",
    "x² + y² = r², α ≤ β, ∑ 1/n",
    "https://example.org/a_b?c=d&e=f#g",
    "  two  spaces\tand a tab ",
    "<|im_end|> <s> [INST] ### Answer: yes",
    "\n### Candidate item\n- title | brand: x\n\n### Answer (yes or no)\n",
)

SPACES = TEXTS.index("  two  spaces\tand a tab ")
"""What no prompt shows, because texts are folded: libraries read SentencePiece vocabularies differently there."""


def tokens(tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Tokens of every text, as outside text."""
    return tuple(tuple(tokenizer.encode(text)) for text in TEXTS)


def first_difference(
    one: Sequence[Sequence[int]], other: Sequence[Sequence[int]], *, shown: bool = False
) -> str | None:
    """The first text of which two tokenizers make different tokens; with `shown`, of those that a prompt can show."""
    if len(one) != len(other):
        return f"{len(one)} texts instead of {len(other)}"
    for number, (text, left, right) in enumerate(zip(TEXTS, one, other, strict=False)):
        if list(left) != list(right) and not (shown and number == SPACES):
            return repr(text)
    return None


def template() -> str:
    """Digest of every prompt, rendered with one character a token: prompts that differ anywhere differ here."""
    engine = Characters()
    items = [Item(str(number), {"title": f"Title {number}", "category": "kind"}) for number in range(3)]
    parts = []
    for domain in FIXED:  # any other carries its words along
        settings = Settings(domain=domain)
        parts += [
            *templates.block(items, settings, engine),
            *templates.update("Notes.", items, settings, engine),
            *templates.merge(["One.", "Two."], settings, engine),
        ]
        for summary in (None, "Likes kinds."):
            prompts = templates.scoring(summary, items, items[:1], settings, engine)
            parts += [segment.text for prompt in (prompts.prefix, *prompts.suffixes) for segment in prompt]
    return f"b2:{hashlib.blake2b(chr(0).join(parts).encode(), digest_size=20).hexdigest()}"


class Characters:
    """One token a character: what the prompts are rendered with for `template`, and nothing else is."""

    def encode(self, text: str) -> list[int]:
        """Code points."""
        return [ord(character) for character in text]

    def decode(self, tokens: Sequence[int]) -> str:
        """The characters again."""
        return "".join(map(chr, tokens))

    def tokenize(self, prompt: Prompt, *, start: bool = True) -> list[int]:
        """Code points of every segment."""
        return [ord(character) for segment in prompt for character in segment.text]
