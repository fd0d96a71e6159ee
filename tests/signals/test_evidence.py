"""Disliked and skipped items: they count against what is like them, and are never liked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.signals import worlds
from trsr_lite import Item

OF_HISTORY = ("tokens", "meaning", "recent", "words", "taste", "attributes", "neighbours")
TOPICS = list(worlds.TOPICS)


def of_topic(topic: str, count: int, seed: int = 5, **said: Any) -> list[Item]:
    rng = np.random.default_rng(seed)
    made = [worlds.item(1000 * seed + number, topic, rng) for number in range(count)]
    return [replace(one, **said) for one in made]


def numbers(history: list[Item], candidates: list[Item]) -> dict[str, list[float]]:
    found = worlds.ranker().numbers(history, candidates)
    return {name: found[name].tolist() for name in found}


@pytest.mark.parametrize("said", [{"feedback": "like"}, {"rating": 3.0}])
def test_liking_changes_no_bit(said: dict[str, Any]) -> None:
    history, candidates = worlds.items(12, seed=3), worlds.items(20, seed=4)
    plain, judged = (
        worlds.ranker().numbers(one, candidates) for one in (history, [replace(one, **said) for one in history])
    )
    for name, found in plain.items():
        np.testing.assert_array_equal(found, judged[name], name)


@pytest.mark.parametrize("name", OF_HISTORY)
def test_what_was_skipped_or_disliked_is_never_liked(name: str) -> None:
    food, space = of_topic("food", 4), of_topic("space", 4, seed=6)
    asked = of_topic("space", 3, seed=7)
    liking = numbers([*food, *space], asked)
    without = numbers(food, asked)
    for said in ("dislike", "skip"):
        against = numbers([*food, *(replace(one, feedback=said) for one in space)], asked)
        for with_it, plain, judged in zip(liking[name], without[name], against[name], strict=True):
            assert np.isnan(judged) or judged <= with_it
            assert np.isnan(plain) == np.isnan(judged)
            assert np.isnan(judged) or judged <= plain


@pytest.mark.parametrize("name", ["tokens", "words", "taste"])
def test_a_dislike_takes_more_from_its_like_than_a_skip_and_less_from_others(name: str) -> None:
    food, space = of_topic("food", 4), of_topic("space", 3, seed=6)
    asked = [*of_topic("space", 1, seed=7), *of_topic("money", 1, seed=8)]
    none, skipped, disliked = (
        numbers([*food, *(replace(one, feedback=said) for one in space)] if said else food, asked)[name]
        for said in (None, "skip", "dislike")
    )
    assert disliked[0] < skipped[0] < none[0]
    assert none[0] - disliked[0] > 2 * abs(none[1] - disliked[1])


def test_disliking_a_topic_takes_most_from_that_topic() -> None:
    food, space = of_topic("food", 3), of_topic("space", 3, seed=6, feedback="dislike")
    asked = [*of_topic("space", 3, seed=7), *of_topic("money", 3, seed=8), *of_topic("food", 3, seed=9)]
    without, with_it = (worlds.ranker().rank(history, asked).scores for history in (food, [*food, *space]))
    lost = without - with_it
    assert lost[:3].min() > 0
    assert lost[:3].min() > lost[3:].max()


def test_a_history_of_dislikes_alone_ranks_what_is_like_them_last() -> None:
    history = of_topic("space", 4, seed=6, feedback="dislike")
    asked = [*of_topic("space", 2, seed=7), *of_topic("money", 2, seed=8)]
    fused = worlds.ranker().rank(history, asked)
    assert np.isfinite(fused.scores).all()
    assert max(fused.scores[:2]) < min(fused.scores[2:])
    assert worlds.ranker().because(history, asked) == [()] * 4


@pytest.mark.parametrize("feedback", ["dislike", "skip"])
def test_because_never_names_what_was_disliked(feedback: str) -> None:
    space, food = of_topic("space", 3, seed=6), of_topic("food", 2)
    history = [*food, *(replace(one, feedback=feedback) for one in space)]
    for near in worlds.ranker().because(history, [*space, *of_topic("space", 3, seed=7)]):
        assert not {one.id for one in space} & set(near)
    again = [*food, *space, replace(space[0], feedback=feedback)]  # said later of an item that was had before
    assert all(space[0].id not in near for near in worlds.ranker().because(again, space))


def test_company_changes_no_number_of_a_judged_history() -> None:
    history = [*of_topic("food", 4), *of_topic("space", 4, seed=6, feedback="dislike")]
    asked = worlds.items(40, seed=9)
    together = worlds.ranker().numbers(history, asked)
    for place, candidate in enumerate(asked):
        alone = worlds.ranker().numbers(history, [candidate])
        for name, found in together.items():
            np.testing.assert_array_equal(found[place], alone[name][0], name)


def test_skipped_items_make_liked_ones_no_older() -> None:
    liked, asked = of_topic("food", 4), of_topic("food", 3, seed=9)
    money = of_topic("money", 5, seed=8, feedback="skip")
    for name in ("recent",):
        assert numbers([*liked, *money], asked)[name] == numbers(liked, asked)[name]
