"""What the rest of the package knows of a model: token sequences in, texts and margins out.

Invariant: an engine knows tokens, not users, items or summaries. Text that came from outside is a `Segment` with
`special=False`, and no engine may turn any part of it into a control token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from trsr_lite.cancellation import Cancellation
from trsr_lite.engine.masks import Grammar
from trsr_lite.options import check, option

OnProgress = Callable[[int, int], None]
"""Called with (done, total), in tokens."""

FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9,
    "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "BF16": 32,
}  # fmt: skip
"""llama.cpp's `llama_ftype` by the names its tools use."""


class Segment(NamedTuple):
    """A piece of a prompt; only `special` text (from a chat template) may become control tokens."""

    text: str
    special: bool = False


Prompt = tuple[Segment, ...]
"""A prompt: its tokens are its segments' tokens, one after another."""


class Margin(NamedTuple):
    """One candidate's result: logit(yes) − logit(no) in float32, and the probability of yes or no at all."""

    margin: float
    label_mass: float


@dataclass(frozen=True)
class EngineOptions:
    """The machine's side of running a model; with `ctx_size` None, a context grows to the model's own size at most."""

    threads: int | None = option(
        "CPU threads.", default=None, at_least=1, unset="as many as cores are free", metavar="N"
    )
    gpu_layers: int | None = option(
        "Layers on the GPU; -1 means all.", default=None, at_least=-1, unset="all, where a GPU can be used", metavar="N"
    )
    ctx_size: int | None = option(
        "Most tokens of context.", default=None, at_least=256, unset="what the work needs", metavar="N"
    )

    def __post_init__(self) -> None:
        check(self)


class Tokenizer(Protocol):
    """Text to tokens and back."""

    def encode(self, text: str) -> list[int]:
        """Tokens of outside text; never a control token."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens; a cut multi-byte character at the end is dropped."""
        ...

    def tokenize(self, prompt: Prompt, *, start: bool = True) -> list[int]:
        """Tokens of a prompt; where it is the `start` of a sequence, with the model's opening token if it wants one."""
        ...


class ChatTokenizer(Tokenizer, Protocol):
    """A tokenizer that knows how its model is talked to."""

    @property
    def chat_template(self) -> str | None:
        """The model's own Jinja chat template, or None for a base model."""
        ...

    @property
    def bos(self) -> str:
        """Text of the token that opens a sequence, as chat templates name it."""
        ...

    @property
    def eos(self) -> str:
        """Text of the token that ends a turn, as chat templates name it."""
        ...


class Engine(ChatTokenizer, Protocol):
    """A loaded model. Methods may be called from any thread; one runs at a time.

    Attributes
    ----------
    room: most bytes that the KV cache and compute buffers may take; None is no limit. Work that cannot be done within
        it raises `ModelError`.
    evaluated: tokens that were evaluated so far.
    """

    room: int | None
    evaluated: int

    @property
    def identity(self) -> str:
        """Content hash of the weights, such as `b2:…`."""
        ...

    @property
    def arithmetic(self) -> str:
        """What decides the bits of a margin beside weights and tokens: the build, the processor, where layers lie."""
        ...

    @property
    def context_size(self) -> int:
        """Most tokens one sequence may have, generated ones included."""
        ...

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
        """Greedy continuations, all prompts together; a shared opening is evaluated once.

        A continuation ends at the model's end token, before `stop` where one token contains it, or at `max_tokens`.
        With `grammars`, one a prompt, each is made of that grammar's choices alone, and ends where it does.
        `on_result(index, text, tokens)` is called as each one ends, with the number of its tokens. Raises `Cancelled`,
        `ModelError`, `Closed`.
        """
        ...

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
        """Margins of `prefix + suffix` for each suffix, in order; `answers` are the ids of (yes, no).

        The prefix is evaluated once; what the engine still has of an earlier one is not evaluated again.
        `on_result(index, margin)` is called for each margin as it is known, in order.
        `exact` evaluates one suffix at a time without flash attention: bit-identical to evaluating each whole prompt.
        Otherwise suffixes are decoded together, which moves a margin by rounding noise.
        """
        ...

    def describe(self) -> Mapping[str, object]:
        """Facts for people: architecture, parameters, context length."""
        ...

    def release(self) -> None:
        """Free the KV cache and compute buffers; the next call makes new ones."""
        ...

    def close(self) -> None:
        """Stop the running call, which raises `Cancelled`, and free everything; may be called twice."""
        ...
