"""Added words of a tokenizer are read in training as they are in serving, wherever they stand in a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import make_tokenizer, write_base
from trsr_lite.conversion import gguf
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.prompts import fingerprint
from trsr_lite.training import base_model
from trsr_lite.training.tokenizer import HfTokenizer

WORDS = ["<think>", "[LIKE]", "<|tool|>", "|sep|", "<unused7>", "<pad>", "GardenCo"]
FRAMES = ["{}", "a {} b", "{}goal", "goal{}", "[{}]", "<{}{}>", "{} {}", "x{}\n"]


@pytest.fixture(scope="module")
def read(converter: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, LlamaEngine]:
    """The tokenizer of training, and that of the converted model."""
    from tokenizers import AddedToken

    folder = tmp_path_factory.mktemp("added")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in WORDS])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "[INST]"]})
    write_base(folder / "base", tokenizer=tokenizer)
    gguf.convert(converter, folder / "base", folder / "base.gguf", "F16")
    trained = HfTokenizer.load(base_model.locate(str(folder / "base")), offline=True)
    return trained, LlamaEngine(folder / "base.gguf", identity="", vocab_only=True)


@pytest.mark.parametrize("word", [*WORDS, "[INST]", "<|im_start|>"])
def test_an_added_word_in_a_title_is_read_alike(read: tuple[Any, LlamaEngine], word: str) -> None:
    trained, served = read
    for frame in FRAMES:
        text = frame.format(word, WORDS[0])
        assert trained.encode(text) == served.encode(text), text


def test_texts_without_added_words_are_read_alike(read: tuple[Any, LlamaEngine], tmp_path: Path) -> None:
    trained, served = read
    assert fingerprint.first_difference(fingerprint.tokens(trained), fingerprint.tokens(served)) is None
