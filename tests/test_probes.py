"""Probes: texts whose tokens show that two tokenizers are the same, and a digest that shows that two prompts are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from trsr_lite import FakeEngine, probes, prompts


class Lowercase(FakeEngine):
    """A tokenizer that loses capitals."""

    def encode(self, text: str) -> list[int]:
        return super().encode(text.lower())


def test_tokens_are_those_of_outside_text() -> None:
    found = probes.tokens(FakeEngine())
    assert len(found) == len(probes.TEXTS)
    assert found[0] == tuple(map(ord, probes.TEXTS[0]))


def test_texts_are_many_scripts_and_markup() -> None:
    assert len(set(probes.TEXTS)) == len(probes.TEXTS)
    letters = "".join(probes.TEXTS)
    for sign in ("é", "П", "日", "뉴", "ا", "ח", "आ", "ข่าว", "Τ", "👩", "<|im_end|>", "\t", "  ", "\n", "2,300"):
        assert sign in letters


def test_the_first_text_that_differs_is_named() -> None:
    one = probes.tokens(FakeEngine())
    assert probes.first_difference(one, one) is None
    assert probes.first_difference([list(tokens) for tokens in one], one) is None, "a manifest has lists"
    assert probes.first_difference(probes.tokens(Lowercase()), one) == repr(probes.TEXTS[0])
    changed = [*one[:5], (1,), *one[6:]]
    assert probes.first_difference(one, changed) == repr(probes.TEXTS[5])
    assert probes.first_difference(one[:3], one) == f"3 texts instead of {len(one)}"


def test_the_template_is_stable() -> None:
    assert probes.template() == probes.template()
    assert probes.template().startswith("b2:") and len(probes.template()) == 43


def test_any_prompt_text_that_changes_changes_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    before = probes.template()
    found = {before}
    for kind in ("block", "update", "merge", "scoring"):
        with monkeypatch.context() as patch:
            asked = getattr(prompts, kind)

            def other(*arguments: Any, asked: Any = asked, kind: str = kind) -> Any:
                made = asked(*arguments)
                if kind == "scoring":
                    *most, last = made.suffixes[0]
                    return dataclasses.replace(made, suffixes=[(*most, last._replace(text=f"{last.text} "))])
                *most, last = made
                return (*most, last._replace(text=f"{last.text} ") if hasattr(last, "_replace") else f"{last} ")

            patch.setattr(prompts, kind, other)
            found.add(probes.template())
    with monkeypatch.context() as patch:
        patch.setattr(prompts, "NO_SUMMARY", "Nothing is known.")
        found.add(probes.template())
    assert len(found) == 6
    assert probes.template() == before
