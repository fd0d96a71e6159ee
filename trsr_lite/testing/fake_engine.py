"""A scripted engine for tests: the real protocol, no model.

Invariant: one character is one token, so a test can read back every prompt. Two functions decide what is generated and
how candidates score. Everything that was asked is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trsr_lite.cancellation import Cancellation
from trsr_lite.engine.interface import Margin, OnProgress, Prompt, Segment
from trsr_lite.engine.masks import Grammar, Mask
from trsr_lite.errors import Closed
from trsr_lite.prompts.templates import ANSWERS

SPECIAL = 0x110000  # above every character: control tokens cannot be written as text


def last_words(prompt: str) -> str:
    """The default script: a text that depends on the whole prompt, so that a changed prompt shows."""
    return f" summary {sum(prompt.encode()) % 9973}."


def by_length(text: str) -> float:
    """The default margin: shorter prompts win."""
    return -float(len(text))


def _first_of(grammar: Grammar, max_tokens: int) -> str:
    mask, text = Mask(grammar, max_tokens), ""
    while (allowed := mask.allowed) and len(text) < max_tokens:
        mask.advance(allowed[0])
        text += chr(allowed[0])
    return text


@dataclass
class FakeEngine:
    """An `Engine` that follows a script.

    Attributes
    ----------
    script: prompt text -> generated text.
    margin: whole prompt text -> margin.
    prompts: every prompt given to `generate`, in order.
    scored: every whole prompt given to `margins`, in order.
    obeys: whether texts are of the grammars that `generate` is given, and not of the script.
    evaluated: tokens of the prefixes and suffixes given to `margins`.
    """

    script: Callable[[str], str] = last_words
    margin: Callable[[str], float] = by_length
    identity: str = "fake:1"
    arithmetic: str = "scripted"
    context_size: int = 100_000
    chat_template: str | None = None
    bos: str = ""
    eos: str = ""
    prompts: list[str] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)
    closed: bool = False
    room: int | None = None
    obeys: bool = False
    evaluated: int = 0

    def encode(self, text: str) -> list[int]:
        """One token a character."""
        return [ord(character) for character in text]

    def decode(self, tokens: Sequence[int]) -> str:
        """The characters again; control tokens are dropped."""
        return "".join(chr(token) for token in tokens if token < SPECIAL)

    def tokenize(self, prompt: Prompt, *, start: bool = True) -> list[int]:
        """Special segments become tokens above every character; an answer that ends the prompt is one token."""
        *before, last = prompt
        for number, answer in enumerate(ANSWERS):
            if last.text.endswith(answer):
                question = (*before, Segment(last.text.removesuffix(answer), last.special))
                return [*self.tokenize(question), 2 * SPECIAL + number]
        return [ord(character) + SPECIAL * special for text, special in prompt for character in text]

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: str = "\n",
        no_repeat_ngram: int = 0,
        grammars: Sequence[Grammar] | None = None,
        on_result: Callable[[int, str, int], None] | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> list[str]:
        """The script's texts; with `obeys`, instead the first words that the grammars allow."""
        texts = []
        for index, prompt in enumerate(prompts):
            self._check(cancel)
            text = self.decode(prompt)
            self.prompts.append(text)
            if grammars and self.obeys:
                texts.append(_first_of(grammars[index], max_tokens))
            else:
                texts.append(self.script(text)[:max_tokens])
            if on_result:
                on_result(index, texts[-1], len(texts[-1]))
            if on_progress:
                on_progress(index + 1, len(prompts))
        return texts

    def margins(
        self,
        prefix: Sequence[int],
        suffixes: Sequence[Sequence[int]],
        answers: tuple[int, int],
        *,
        exact: bool = False,
        on_result: Callable[[int, Margin], None] | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> list[Margin]:
        """The margin function's values, with all mass on the two answers."""
        margins: list[Margin] = []
        self.evaluated += len(prefix) if suffixes else 0
        for suffix in suffixes:
            self._check(cancel)
            self.evaluated += len(suffix)
            self.scored.append(self.decode([*prefix, *suffix]))
            margins.append(Margin(self.margin(self.scored[-1]), 1.0))
            if on_result:
                on_result(len(margins) - 1, margins[-1])
            if on_progress:
                on_progress(len(margins), len(suffixes))
        return margins

    def describe(self) -> dict[str, object]:
        """That it is a fake."""
        return {"description": "scripted"}

    def release(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Refuse work from now on."""
        self.closed = True

    def _check(self, cancel: Cancellation | None) -> None:
        if self.closed:
            raise Closed("the engine was closed")
        if cancel:
            cancel.check()
