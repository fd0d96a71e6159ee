"""The tokenizer and the token embeddings of a model's file, for baselines and signals that read them.

Invariant: no weight is loaded and nothing is computed by the engine: the vocabulary is opened alone, and rows of the
embedding table are read from the file when they are needed.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.signals.token_table import Table


@dataclass(frozen=True)
class TokenSource:
    """What token vectors are made of; `identity` is the content hash of the file that has them."""

    tokenizer: Tokenizer
    table: Table
    identity: str


def of_file(path: Path, identity: str, opened: ExitStack) -> TokenSource:
    """The tokens of a GGUF; `opened` closes it. Raises `ModelError` where its table cannot be read."""
    table = Rows(path)
    tokenizer = opened.enter_context(closing(LlamaEngine(path, identity=identity, vocab_only=True)))
    return TokenSource(tokenizer, table, identity)
