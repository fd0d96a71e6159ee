"""Ranking again costs what is new: stored margins are not asked for again, and no weights are loaded for them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import Cancellation, Cancelled, EngineOptions, FakeEngine, Item, Recommender, User
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.model import system_info, version
from trsr_lite.models.bundle import ModelFile
from trsr_lite.summaries.store import SummaryStore

Make = Callable[..., Recommender]
Opened = list[tuple[str, bool]]
VOCABULARY = ("recommender.gguf", True)
WEIGHTS = ("recommender.gguf", False)


def titled(*titles: str) -> tuple[Item, ...]:
    return tuple(Item(title, {"title": title}) for title in titles)


FLOWERS = titled("tulip", "orchid", "rose", "lily")


def entries(result: Any) -> list[tuple[str, float, float | None]]:
    return [(entry.item.id, entry.margin, entry.label_mass) for entry in result]


def test_the_same_again_asks_no_model_and_loads_no_weights(
    make_recommender: Make, news_user: User, opened: Opened, fake: FakeEngine
) -> None:
    first = make_recommender().recommend(news_user)
    asked = len(fake.scored)
    opened.clear()
    recommender = make_recommender()
    again = recommender.recommend(news_user)
    recommender.recommend(news_user)
    assert entries(again) == entries(first)
    assert len(fake.scored) == asked
    assert opened == [VOCABULARY], "opened once, and no weights, not even after the call"
    assert recommender.loaded == ()
    count = len(news_user.candidates)
    assert (first.stats.margin_cache_hits, again.stats.margin_cache_hits) == (0, count)
    assert again.stats.evaluated_tokens == 0 < first.stats.evaluated_tokens
    assert again.stats.prefix_tokens == first.stats.prefix_tokens
    assert again.stats.candidate_tokens == first.stats.candidate_tokens
    assert again.skipped is None


def test_one_new_candidate_costs_itself_and_the_prefix_once(
    make_recommender: Make, news_user: User, opened: Opened, fake: FakeEngine
) -> None:
    user = dataclasses.replace(news_user, candidates=FLOWERS[:3])
    make_recommender().recommend(user)
    fake.scored.clear()
    opened.clear()
    found = make_recommender().recommend(user, FLOWERS)
    (asked,) = fake.scored
    assert "lily" in asked
    assert found.stats.evaluated_tokens == len(asked)
    assert found.stats.margin_cache_hits == 3
    assert sorted(entry.item.id for entry in found) == sorted(item.id for item in FLOWERS)
    assert opened == [VOCABULARY, WEIGHTS]


def test_the_order_of_candidates_and_their_ids_cost_nothing(fake_recommender: Recommender, news_user: User) -> None:
    first = fake_recommender.recommend(news_user, FLOWERS)
    renamed = [Item(f"other-{item.id}", item.attributes) for item in reversed(FLOWERS)]
    again = fake_recommender.recommend(news_user, renamed)
    assert again.stats.evaluated_tokens == 0
    assert {entry.item.title: entry.margin for entry in again} == {entry.item.title: entry.margin for entry in first}


@pytest.mark.parametrize("change", ["item", "summary", "attributes", "exact", "noise", "model"])
def test_what_a_margin_depends_on_makes_it_anew(
    make_recommender: Make, news_user: User, fake: FakeEngine, tmp_path: Path, change: str
) -> None:
    make_recommender().recommend(news_user, FLOWERS)
    fake.scored.clear()
    fields: dict[str, Any] = {}
    user, recommender = news_user, make_recommender()
    if change == "item":
        user = news_user.appended(Item("new", {"title": "A new article"}))
    if change == "noise":
        fields["noise_floor"] = 0.5
    if change == "model":
        fields["recommender"] = ModelFile(tmp_path / "recommender.gguf", "b2:other", 1)
    settings = recommender.settings.updated(
        strategy="none" if change == "summary" else None, attributes=("title",) if change == "attributes" else None
    )
    make_recommender(**fields).recommend(user, FLOWERS, exact=change == "exact", settings=settings)
    assert len(fake.scored) == len(FLOWERS)


def test_a_margin_of_another_build_is_not_used(
    make_recommender: Make, news_user: User, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_recommender().recommend(news_user, FLOWERS)
    fake.arithmetic = "another build"
    found = make_recommender().recommend(news_user, FLOWERS)
    assert (found.stats.margin_cache_hits, len(fake.scored)) == (0, 2 * len(FLOWERS))


def test_the_arithmetic_of_an_engine_names_build_processor_and_layers(tiny: Path) -> None:
    engine = LlamaEngine(tiny, identity="tiny", vocab_only=True)
    assert version() in engine.arithmetic and system_info() in engine.arithmetic and "0 layers" in engine.arithmetic
    engine.close()


def test_an_interrupted_call_keeps_the_margins_that_it_had(
    make_recommender: Make, news_user: User, fake: FakeEngine
) -> None:
    stop = Cancellation()

    def margin(prompt: str) -> float:
        if "rose" in prompt:
            stop.cancel()
        return -float(len(prompt))

    fake.margin = margin
    with pytest.raises(Cancelled):
        make_recommender().recommend(news_user, FLOWERS, cancel=stop)
    fake.scored.clear()
    found = make_recommender().recommend(news_user, FLOWERS)
    assert (found.stats.margin_cache_hits, len(fake.scored)) == (3, 1)


def test_a_store_without_room_for_margins_asks_every_time(
    make_recommender: Make, news_user: User, store: SummaryStore, fake: FakeEngine
) -> None:
    store.margins.limit = 0
    for _ in range(2):
        make_recommender().recommend(news_user, FLOWERS)
    assert len(fake.scored) == 2 * len(FLOWERS)
    assert store.info()["margins"] == 0


def test_forgetting_a_user_deletes_the_margins_too(
    fake_recommender: Recommender, news_user: User, store: SummaryStore, fake: FakeEngine
) -> None:
    other = dataclasses.replace(news_user, user_id="other", history=news_user.history[3:])
    for user in (news_user, other):
        fake_recommender.recommend(user, FLOWERS)
    fake_recommender.forget(news_user.user_id)
    assert store.info()["margins"] == len(FLOWERS)
    fake.scored.clear()
    fake_recommender.recommend(other, FLOWERS)
    assert fake.scored == []
    fake_recommender.recommend(news_user, FLOWERS)
    assert len(fake.scored) == len(FLOWERS)


def test_whoever_meets_anothers_margins_is_forgotten_alone(
    fake_recommender: Recommender, news_user: User, store: SummaryStore
) -> None:
    twin = dataclasses.replace(news_user, user_id="twin")
    for user in (news_user, twin):
        fake_recommender.recommend(user, FLOWERS)
    fake_recommender.forget(news_user.user_id)
    assert store.info()["margins"] == len(FLOWERS)
    fake_recommender.forget("twin")
    assert store.info()["margins"] == 0


def test_a_damaged_margin_is_made_again(
    make_recommender: Make, news_user: User, store: SummaryStore, fake: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_recommender().recommend(news_user, FLOWERS)
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE margins SET margin = 99.0")
    with caplog.at_level(logging.WARNING):
        again = make_recommender().recommend(news_user, FLOWERS)
    assert entries(again) == entries(first)
    assert len(fake.scored) == 2 * len(FLOWERS)


# With llama.cpp


@pytest.fixture
def real(tiny: Path, tmp_path: Path) -> Iterator[Callable[[str], Recommender]]:
    """Makes recommenders on the tiny model, each with the store of a name."""
    made: list[Recommender] = []

    def make(name: str) -> Recommender:
        made.append(
            Recommender.load(
                tiny, cache_dir=tmp_path / name, options=EngineOptions(threads=1), strategy="none", prompt_tokens=512
            )
        )
        return made[-1]

    yield make
    for recommender in made:
        recommender.close()


def test_exact_margins_are_the_same_to_the_bit_however_they_came_together(
    real: Callable[[str], Recommender], news_user: User
) -> None:
    items = news_user.candidates
    whole = entries(real("one").recommend(news_user, items, exact=True))
    pieces = real("other")
    for count in (1, 2, 5, len(items)):
        found = pieces.recommend(news_user, items[:count], exact=True)
    assert found.stats.margin_cache_hits == 5
    assert entries(found) == whole
    assert entries(real("other").recommend(news_user, items, exact=True)) == whole
    fast = entries(real("other").recommend(news_user, items))
    assert real("other").recommend(news_user, items, exact=True).stats.evaluated_tokens == 0
    exact = {name: margin for name, margin, _ in whole}
    assert {name: margin for name, margin, _ in fast} == pytest.approx(exact, abs=0.05)


def test_in_a_living_process_a_new_candidate_costs_its_own_tokens(
    real: Callable[[str], Recommender], news_user: User
) -> None:
    recommender, items = real("one"), news_user.candidates
    first = recommender.recommend(news_user, items[:-1])
    found = recommender.recommend(news_user, items)
    assert first.stats.evaluated_tokens > first.stats.prefix_tokens
    assert 0 < found.stats.evaluated_tokens <= found.stats.candidate_tokens - first.stats.candidate_tokens
