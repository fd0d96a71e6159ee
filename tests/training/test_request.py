"""What keywords become before anything is trained: named as flags, completed from defaults, refused where idle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trsr_lite import DataOptions, PairOptions, Settings, SettingsError, TrainOptions
from trsr_lite.training.request import Request

MIND = {"dataset": "mind", "data": "folder"}


def asked(defaults: dict[str, Any] | None = None, *, preset: str | None = None, **options: Any) -> Request:
    return Request.of("run", options, defaults or {}, preset=preset)


def test_keywords_go_to_the_options_that_know_them() -> None:
    found = asked(**MIND, rank=4, block_size=3, min_items=5, attributes=["title"], seed=7)
    assert found.options == TrainOptions(rank=4, seed=7)
    assert found.settings == Settings(domain="news", block_size=3, attributes=("title",))
    assert found.data == DataOptions("mind", "folder", min_items=5, seed=7)


def test_pairs_make_a_summarizer() -> None:
    found = asked(role="summarizer", pairs="p.jsonl", validation=0.3)
    assert (found.options.role, found.data) == ("summarizer", PairOptions("p.jsonl", 0.3))


def test_a_keyword_counts_more_than_a_default_and_a_default_more_than_the_preset() -> None:
    found = asked({"rank": 4, "epochs": 2}, preset="paper", **MIND, epochs=1)
    assert (found.options.epochs, found.options.rank, found.options.alpha) == (1, 4, 16)


def test_a_keyword_that_changes_nothing_is_refused_and_such_a_default_is_not() -> None:
    with pytest.raises(SettingsError, match="`--rank` changes nothing with `--full`") as caught:
        asked(**MIND, full=True, rank=4)
    assert caught.value.hint == "remove it"
    assert asked({"rank": 4}, **MIND, full=True).options.full


@pytest.mark.parametrize("where", ["options", "defaults"])
def test_an_unknown_name_is_refused_wherever_it_stands(where: str) -> None:
    wrong = {"lerning_rate": 1}
    with pytest.raises(SettingsError, match="there is no option 'lerning_rate'") as caught:
        Request.of("run", {**MIND, **(wrong if where == "options" else {})}, wrong if where == "defaults" else {})
    assert caught.value.hint == "did you mean `learning_rate`?"


def test_a_preset_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="preset is 'mine'; it must be one of paper"):
        asked(preset="mine", **MIND)


def test_what_is_resumed_brings_its_own_options(finished: Path) -> None:
    found = Request.of(finished, {"domain": "product"}, {"item_tokens": 99}, resume=True)
    assert (found.options.max_steps, found.settings.domain, found.settings.item_tokens) == (12, "product", 99)
    assert isinstance(found.data, DataOptions)
