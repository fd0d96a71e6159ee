"""The tokenizer and the token embeddings of a model's file, for baselines and signals that read them.

Invariant: no weight is loaded and nothing is computed by the engine: the vocabulary is opened alone, and only when it
is first needed, as rows of the embedding table are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.signals.token_table import Table


@dataclass(frozen=True)
class TokenSource:
    """What token vectors are made of.

    Attributes
    ----------
    open_tokenizer: gives the tokenizer; called once, when it is first needed.
    table: the embeddings of its tokens.
    identity: content hash of the file that has both.
    """

    open_tokenizer: Callable[[], Tokenizer]
    table: Table
    identity: str

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, opened."""
        return self.open_tokenizer()


def of_file(path: Path, identity: str, opened: ExitStack) -> TokenSource:
    """The tokens of a GGUF; `opened` closes what is opened. Raises `ModelError` where its table cannot be read."""

    def vocabulary() -> Tokenizer:
        return opened.enter_context(closing(LlamaEngine(path, identity=identity, vocab_only=True)))

    return TokenSource(vocabulary, Rows(path), identity)
