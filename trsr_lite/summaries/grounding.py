"""Grammars for planned summaries, from which they can say only what is true of their items.

Invariant: a grammar depends on a node, the texts of its children and the tokenizer: not on what else is summarized. A
merge or an update takes from earlier items only what an earlier summary said of them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.engine.masks import Grammar
from trsr_lite.prompts import templates
from trsr_lite.settings import Settings
from trsr_lite.summaries import aspects, sentence
from trsr_lite.summaries.plan import Node

LOOKED_AT = 400  # newest items that one summary may speak of: a chain of updates looks at them each time
NOTHING = " what no words name."
"""How a summary goes on of which nothing can be said, such as of items of signs alone."""


class Grounding:
    """Makes grammars for one tokenizer; what it knows of items and words serves all nodes of a call."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        self._settings, self._tokenizer = settings, tokenizer
        self._opening = templates.opening(settings.domain)
        self._texts: dict[str, tuple[aspects.Pairs, ...]] = {}
        self._tokens = functools.cache(self._difference)

    def grammar(self, node: Node, texts: Mapping[str, str]) -> Grammar:
        """The grammar of a node, of whose children the texts are known."""
        said = None
        if node.children:
            said = frozenset(key for child in node.children for key in sentence.said(texts[child.key], self._opening))
        found = aspects.of_texts(self._below(node), self._settings.domain, said, len(node.items))
        plain = self._settings.domain == "product"
        return sentence.Place(sentence.Frame(found, self._tokens, sentence.HEADS[node.kind], plain))

    def _below(self, node: Node) -> tuple[aspects.Pairs, ...]:
        """The shown texts of the newest items that a node is about, oldest first."""
        stack = [node]
        while stack:
            one = stack[-1]
            if missing := [child for child in one.children if child.key not in self._texts]:
                stack += missing
                continue
            stack.pop()
            older = (text for child in one.children for text in self._texts[child.key])
            own = (tuple(templates.shown(item, self._settings)) for item in one.items)
            self._texts[one.key] = (*older, *own)[-LOOKED_AT:]
        return self._texts[node.key]

    def _difference(self, text: str, before: str) -> tuple[int, ...]:
        """The tokens of a text after another; where that one's own tokens change with it, the text's alone."""
        base, whole = self._tokenizer.encode(before), self._tokenizer.encode(before + text)
        if whole[: len(base)] == base:
            return tuple(whole[len(base) :])
        return tuple(self._tokenizer.encode(text))
