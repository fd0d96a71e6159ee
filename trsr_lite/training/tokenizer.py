"""The tokenizer of a base, as the converted model will have it.

Invariant: training reads every text token for token as llama.cpp will read it in serving. A base whose tokenizer does
not give yes and no one token each is refused.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trsr_lite.engine.interface import Prompt, Tokenizer
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.prompts import chat_rendering, fingerprint, templates
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.training.base_model import Base

REMEMBERED = 1 << 16  # texts whose tokens are kept; items come again and again


class HfTokenizer:
    """A transformers tokenizer as a `Tokenizer`: token for token what llama.cpp makes of the converted model."""

    def __init__(self, tokenizer: Any, *, chat_template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.chat_template = chat_template or chat_rendering.chosen(tokenizer.chat_template)
        self.bos, self.eos = (tokenizer.bos_token or "", tokenizer.eos_token or "")
        opening = tokenizer.encode("a", add_special_tokens=True)
        self._opening = opening[:1] if opening[:1] == [tokenizer.bos_token_id] else []
        self._markup = _as_served(tokenizer)
        self._encode = functools.lru_cache(REMEMBERED)(self._tokens)

    @classmethod
    def load(cls, base: Base, *, offline: bool = False) -> HfTokenizer:
        """The tokenizer of a base."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                base.path, local_files_only=offline, trust_remote_code=False, **base.source
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{base.name}: its tokenizer cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}"
            ) from error
        found = cls(tokenizer)
        return found._as_in(Path(base.path) / base.gguf, base.name) if base.gguf else found

    def _as_in(self, path: Path, name: str) -> HfTokenizer:
        """The tokenizer itself, if it reads texts as llama.cpp does from the same GGUF.

        transformers leaves out that some vocabularies split numbers into digits (SmolLM2's): that is tried, too.
        """
        from tokenizers.pre_tokenizers import ByteLevel, Digits
        from tokenizers.pre_tokenizers import Sequence as Both

        engine = LlamaEngine(path, identity="", vocab_only=True)
        wanted = fingerprint.tokens(engine)
        engine.close()
        if fingerprint.first_difference(fingerprint.tokens(self), wanted):
            digits = Both([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
            self.tokenizer.backend_tokenizer.pre_tokenizer = digits
            self._encode.cache_clear()
        if text := fingerprint.first_difference(fingerprint.tokens(self), wanted, shown=True):
            raise ModelError(
                f"{name}: transformers reads {text} from this GGUF differently than llama.cpp",
                hint="train on the original model: a hub id or a folder with safetensors",
            )
        return self

    def encode(self, text: str) -> list[int]:
        """Tokens of outside text; never a special token."""
        return list(self._encode(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens; a cut multi-byte character at the end is dropped."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text.rstrip("\ufffd")

    def tokenize(self, prompt: Prompt, *, start: bool = True) -> list[int]:
        """Tokens of a prompt, with the opening token where the model wants one and the prompt has none."""
        tokens: list[int] = []
        for text, special in prompt:
            tokens += self.tokenizer.encode(text, add_special_tokens=False) if special else self._encode(text)
        if start and self._opening and tokens[:1] != self._opening:
            tokens = [*self._opening, *tokens]
        return tokens

    def _tokens(self, text: str) -> tuple[int, ...]:
        cuts = [0, *(match.start() + 1 for match in self._markup.finditer(text)), len(text)]
        parts = [text[start:end] for start, end in itertools.pairwise(cuts)]
        return tuple(
            token
            for part in parts
            for token in self.tokenizer.encode(part, add_special_tokens=False, split_special_tokens=True)
        )


def _as_served(tokenizer: Any) -> re.Pattern[str]:
    """Let added words be read as llama.cpp will: what outside text is cut before, as `LlamaEngine.encode` cuts it.

    llama.cpp's converter makes control tokens of those that look like some, whatever the tokenizer says: they are
    marked as special here, so that a text that holds one is split. Others that look like markup are cut.
    """
    added = {str(word): word for word in getattr(tokenizer, "added_tokens_decoder", {}).values() if not word.special}
    control = [word for text, word in added.items() if _looks_special(text)]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if control and backend is not None:
        for word in control:
            word.special = True
        backend.add_special_tokens(control)
    markup = [text for text in added if text not in map(str, control) and len(text) > 2 and text[0] in "<[|"]
    pattern = "|".join(map(re.escape, sorted(markup, key=len, reverse=True)))
    return re.compile(f"(?={pattern})" if pattern else "(?!)")


def _looks_special(text: str) -> bool:
    """Whether llama.cpp's converter takes an added word for a control token (`does_token_look_special`)."""
    framed = any(text.startswith(f"<{bar}") and text.endswith(f"{bar}>") for bar in "|\uff5c")
    unused = text.startswith("<unused") and text.endswith(">")
    return framed or unused or text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")


def answer_ids(settings: Settings, tokenizer: Tokenizer, name: str) -> tuple[int, int]:
    """Token ids of (yes, no) after a scoring prompt; raises `ModelError` where they are not one distinct token each."""
    probe = Item("probe", {"title": "A title"})
    plain = settings.updated(attributes=())
    prompts = templates.scoring(None, (), [probe], plain, tokenizer)
    try:
        return templates.answer_ids(prompts.suffixes[0], tokenizer)
    except SettingsError as error:
        raise ModelError(f"{name}: {error}", hint="choose another base") from error
