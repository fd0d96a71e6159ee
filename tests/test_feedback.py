"""What users thought of items: which words and ratings count, and what they mean on any scale."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite import DataError, Item, User, read_candidates, read_user
from trsr_lite.feedback import liked, opinions, parted

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def item(number: int, **said: Any) -> Item:
    return Item(f"i{number}", {"title": f"Title {number}"}, **said)


def rated(*ratings: float) -> list[Item]:
    return [item(number, rating=rating) for number, rating in enumerate(ratings)]


def record(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": f"i{number}", "title": f"Title {number}", **fields}


def user(*items: dict[str, Any], **fields: Any) -> User:
    return User.from_dict({"user_id": "u", "history": list(items), **fields})


# Reading


def test_feedback_and_rating_are_read_and_are_no_attributes() -> None:
    found = user(record(1, feedback="dislike"), record(2, rating=4), record(3, feedback=" Skip "), record(4)).history
    assert [(one.feedback, one.rating) for one in found] == [
        ("dislike", None),
        (None, 4.0),
        ("skip", None),
        (None,) * 2,
    ]
    assert all(one.attributes.keys() == {"title"} for one in found)


@pytest.mark.parametrize("nothing", [None, "", " ", "nan", "NULL", math.nan])
def test_what_means_missing_says_nothing(nothing: Any) -> None:
    found = Item.from_dict(record(feedback=nothing, rating=nothing))
    assert (found.feedback, found.rating) == (None, None)


@pytest.mark.parametrize("text", ["4.5", " 4.5 ", "45e-1"])
def test_a_number_in_a_table_is_a_rating(text: str) -> None:
    assert Item.from_dict(record(rating=text)).rating == 4.5


@pytest.mark.parametrize("value", ["PG-13", "good", True, [4], {"average": 4}])
def test_what_is_no_number_stays_an_attribute_and_is_named(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = user(record(rating=value)).history[0]
    assert found.rating is None
    assert "is read as an attribute: a rating is a number" in caplog.text
    if not isinstance(value, dict):
        assert "rating" in found.attributes


def test_a_candidates_rating_is_an_attribute(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps([record(rating=4.5, feedback="good value")]))
    found = [*read_candidates(tmp_path / "c.json"), *user(record(2), candidates=[record(rating=4.5)]).candidates]
    assert [one.attributes["rating"] for one in found] == ["4.5", "4.5"]
    assert all(one.rating is None and one.feedback is None for one in found)


@pytest.mark.parametrize("wrong", ["meh", "disliked", 1, True, ["like"], 10**400])
def test_another_word_is_refused_with_the_words_that_are_allowed(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"user\.history\[0\]\.feedback: .* must be like, dislike or skip") as caught:
        user(record(feedback=wrong))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="must be like, dislike or skip"):
        item(1, feedback=wrong)


@pytest.mark.parametrize("wrong", [math.inf, "-inf", 10**400])
def test_a_rating_without_end_is_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"\.rating: .* must be a finite number"):
        user(record(rating=wrong))


def test_wrong_feedback_costs_its_item_alone_and_is_never_taken_for_liking(caplog: pytest.LogCaptureFixture) -> None:
    found = user(record(1), record(2, feedback="meh"))
    assert [one.id for one in found.history] == ["i1"]
    assert "'meh' is not known; it must be like, dislike or skip" in caplog.text


# Scales


def test_below_the_middle_of_a_known_scale_is_a_dislike() -> None:
    found = user(*(record(number, rating=number) for number in range(1, 6)), rating_scale=[1, 5])
    assert [one.feedback for one in found.history] == ["dislike", "dislike", "like", "like", "like"]
    assert [one.rating for one in found.history] == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("scale", "least_liked"), [((1, 5), 3), ((0.5, 5), 3), ((1, 10), 5.5), ((-1, 1), 0), ((0, 100), 50)]
)
def test_every_scale_has_its_middle(scale: tuple[float, float], least_liked: float) -> None:
    found = User("u", tuple(rated(least_liked - 0.5, least_liked)), rating_scale=scale).history
    assert [one.feedback for one in found] == ["dislike", "like"]


def test_words_count_before_ratings() -> None:
    found = User("u", (item(1, feedback="like", rating=1), item(2, feedback="skip", rating=5)), rating_scale=(1, 5))
    assert opinions(found.history) == ["like", "skip"]


def test_a_rating_outside_its_scale_is_named_with_the_scale(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match=r"history\[0\]\.rating: 7 is outside the scale; it must be from 1 to 5"):
        user(record(rating=7), rating_scale=[1, 5])
    assert [one.id for one in user(record(1), record(2, rating=0), rating_scale=[1, 5]).history] == ["i1"]
    assert "0 is outside the scale; it must be from 1 to 5" in caplog.text
    with pytest.raises(DataError, match="outside the scale"):
        User("u", tuple(rated(6)), rating_scale=(1, 5))


@pytest.mark.parametrize("wrong", [5, [5], [5, 1], [1, 1], ["a", "b"], [1, math.inf], [1, None], "1,5", {}])
def test_what_is_no_scale_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"rating_scale: .* the worst and the best rating, such as \[1, 5\]"):
        user(record(rating=3), rating_scale=wrong)


@pytest.mark.parametrize(
    ("ratings", "disliked"),
    [
        ((4, 5), []),
        ((3, 3, 3), []),
        ((1,), []),
        ((5, 5, 5, 1), [1]),
        ((5, 4, 5, 4, 3, 5, 1, 2), [1, 2]),
        ((80, 95, 90, 20), [20]),
        ((0.1, 0.9, 0.8, 0.9), [0.1]),
        ((-3, 2, 2), [-3]),
        ((1e308, 1e308, 1e308, -1e308), [-1e308]),
    ],
)
def test_without_a_scale_far_below_the_users_own_mean_is_a_dislike(ratings: list[float], disliked: list[float]) -> None:
    history = rated(*ratings)
    assert [one.rating for one, said in zip(history, opinions(history), strict=True) if said == "dislike"] == disliked


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_the_best_rating_is_never_a_dislike(ratings: list[float]) -> None:
    history = rated(*ratings)
    best = max(ratings)
    said = dict(zip((one.rating for one in history), opinions(history), strict=True))
    assert said[best] == "like"


# What a history says


def test_a_history_without_feedback_is_used_as_it_is() -> None:
    history = (item(1), item(2))
    assert parted(history)[0] is history
    assert parted(history)[1] == ()
    liking = (item(1, feedback="like"), item(2, rating=3))
    assert liked(liking) is liking


def test_disliked_and_skipped_items_are_apart_from_the_others_in_order() -> None:
    history = [item(1), item(2, feedback="skip"), item(3, feedback="like"), item(4, feedback="dislike")]
    for_it, against = parted(history)
    assert [one.id for one in for_it] == ["i1", "i3"]
    assert [(one.id, one.feedback) for one in against] == [("i2", "skip"), ("i4", "dislike")]


def test_the_newest_word_on_an_item_speaks_for_all_its_places() -> None:
    before = [item(1), item(2)]
    assert [one.id for one in liked([*before, item(1, feedback="dislike")])] == ["i2"]
    assert [one.id for one in liked([item(1, feedback="dislike"), item(2), item(1, feedback="like")])] == [
        "i1",
        "i2",
        "i1",
    ]
    assert [one.id for one in liked([item(1, feedback="dislike"), item(2), item(1)])] == ["i2"]


def test_one_may_have_liked_nothing() -> None:
    assert liked([item(1, feedback="dislike")]) == []


# Users


def test_an_appended_item_takes_its_feedback() -> None:
    before = user(record(1))
    assert before.appended(record(2), feedback="dislike").history[-1].feedback == "dislike"
    assert before.appended(item(2, feedback="like"), feedback="skip").history[-1].feedback == "skip"
    assert before.appended(record(2, feedback="dislike")).history[-1].feedback == "dislike"
    assert before.history == user(record(1)).history


def test_an_appended_rating_is_read_on_the_users_scale() -> None:
    before = replace(user(record(1)), rating_scale=(1, 10))
    assert before.appended(record(2), rating=5).history[-1].feedback == "dislike"
    assert before.appended(item(2, feedback="dislike", rating=2), rating=9).history[-1].feedback == "like"
    assert before.appended(record(2), rating=9, feedback="skip").history[-1].feedback == "skip"
    with pytest.raises(DataError, match="from 1 to 10"):
        before.appended(record(2), rating=11)
    with pytest.raises(DataError, match="must be like, dislike or skip"):
        before.appended(record(2), feedback="bad")


def test_a_file_states_its_scale(tmp_path: Path) -> None:
    path = tmp_path / "u.json"
    path.write_text(json.dumps({"history": [record(1, rating=2), record(2, rating="9")], "rating_scale": ["1", 10]}))
    assert [one.feedback for one in read_user(path).history] == ["dislike", "like"]
