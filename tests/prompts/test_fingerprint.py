"""Probes: texts whose tokens show that two tokenizers are the same, and a digest that shows that two prompts are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from trsr_lite import FakeEngine
from trsr_lite.engine.interface import Segment
from trsr_lite.prompts import fingerprint, templates


class Lowercase(FakeEngine):
    """A tokenizer that loses capitals."""

    def encode(self, text: str) -> list[int]:
        return super().encode(text.lower())


def test_tokens_are_those_of_outside_text() -> None:
    found = fingerprint.tokens(FakeEngine())
    assert len(found) == len(fingerprint.TEXTS)
    assert found[0] == tuple(map(ord, fingerprint.TEXTS[0]))


def test_texts_are_many_scripts_and_markup() -> None:
    assert len(set(fingerprint.TEXTS)) == len(fingerprint.TEXTS)
    letters = "".join(fingerprint.TEXTS)
    for sign in ("é", "П", "日", "뉴", "ا", "ח", "आ", "ข่าว", "Τ", "👩", "<|im_end|>", "\t", "  ", "\n", "2,300"):
        assert sign in letters


def test_the_first_text_that_differs_is_named() -> None:
    one = fingerprint.tokens(FakeEngine())
    assert fingerprint.first_difference(one, one) is None
    assert fingerprint.first_difference([list(tokens) for tokens in one], one) is None, "a manifest has lists"
    assert fingerprint.first_difference(fingerprint.tokens(Lowercase()), one) == repr(fingerprint.TEXTS[0])
    changed = [*one[:5], (1,), *one[6:]]
    assert fingerprint.first_difference(one, changed) == repr(fingerprint.TEXTS[5])
    assert fingerprint.first_difference(one[:3], one) == f"3 texts instead of {len(one)}"


def test_the_template_is_stable() -> None:
    assert fingerprint.template() == fingerprint.template()
    assert fingerprint.template().startswith("b2:") and len(fingerprint.template()) == 43


def test_any_prompt_text_that_changes_changes_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.template()
    found = {before}
    for kind in ("block", "update", "merge", "scoring"):
        with monkeypatch.context() as patch:
            asked = getattr(templates, kind)

            def other(*arguments: Any, asked: Any = asked, kind: str = kind) -> Any:
                made = asked(*arguments)
                if kind == "scoring":
                    *most, last = made.suffixes[0]
                    return dataclasses.replace(made, suffixes=[(*most, Segment(f"{last.text} ", last.special))])
                *most, last = made
                return (*most, Segment(f"{last.text} ", last.special) if isinstance(last, Segment) else f"{last} ")

            patch.setattr(templates, kind, other)
            found.add(fingerprint.template())
    with monkeypatch.context() as patch:
        patch.setattr(templates, "NO_SUMMARY", "Nothing is known.")
        found.add(fingerprint.template())
    assert len(found) == 6
    assert fingerprint.template() == before
