"""A fusion refuses what cannot be, learns who is right, and never judges a user by that user's own lists."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.errors import DataError, ModelError
from trsr_lite.signals import fitting
from trsr_lite.signals.fitting import JudgedList, fit
from trsr_lite.signals.fusion import FARTHEST, Fusion, Weight, total

GOOD = Fusion({"words": Weight(1.5, 0.2, 0.1), "tokens": Weight(0.5, 0.0, 2.0)}, 2.0, -0.5, {"lists": 7})
wild = st.floats(width=32, allow_nan=True, allow_infinity=True)


def lists(count: int = 120, seed: int = 0, *, users: int | None = None) -> list[JudgedList]:
    """`words` knows who is chosen, `taste` half as well, `specific` is noise, `recent` the opposite of the truth."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        labels = np.zeros(10, int)
        labels[rng.integers(10)] = 1
        noise = {name: rng.normal(size=10) for name in ("words", "taste", "specific", "recent")}
        truth = {"words": 2.0, "taste": 1.0, "specific": 0.0, "recent": -1.0}
        numbers = {name: (noise[name] + truth[name] * labels).astype(np.float32) for name in noise}
        made.append(JudgedList(numbers, labels.tolist(), f"u{number % (users or count)}"))
    return made


def test_json_comes_back_as_it_was() -> None:
    assert Fusion.from_json(GOOD.to_json()) == GOOD


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.5])
def test_weights_that_are_no_numbers_or_below_zero_are_refused(value: float) -> None:
    with pytest.raises(ModelError, match="weight of words is"):
        Fusion({"words": Weight(value)})


@pytest.mark.parametrize(("field", "value"), [("mean", float("nan")), ("scale", 0.0), ("scale", float("inf"))])
def test_means_and_scales_that_cannot_be_are_refused(field: str, value: float) -> None:
    with pytest.raises(ModelError, match=f"{field} of words is"):
        Fusion({"words": Weight(**{"weight": 1.0, field: value})})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"charm": {"weight": 1, "mean": 0, "scale": 1}}}, "no signal 'charm'"),
        ({"weights": {"words": {"weight": 1, "mean": 0}}}, "'words' must have"),
        ({"weights": {"words": {"weight": "1", "mean": 0, "scale": 1}}}, "weight of words is not a number"),
        ({"weights": {"words": {"weight": True, "mean": 0, "scale": 1}}}, "weight of words is not a number"),
        ({"weights": {"words": {"weight": 10**400, "mean": 0, "scale": 1}}}, "too large"),
        ({"weights": {"words": 1}}, "'words' must have"),
        ({"weights": []}, "must be objects"),
        ({"version": 2}, "version 2"),
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": None}, "temperature is not a number"),
        ({"bias": float("nan")}, "bias is nan"),
        ({"more": 1}, "'more' is not known"),
    ],
)
def test_json_that_cannot_be_a_fusion_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Fusion.from_json({**GOOD.to_json(), **change})


@pytest.mark.parametrize("data", [None, [], "fusion", {"version": 1}])
def test_what_is_no_object_or_lacks_something_is_refused(data: Any) -> None:
    with pytest.raises(ModelError, match="fusion: "):
        Fusion.from_json(data)


@given(st.lists(st.tuples(wild, wild), min_size=1, max_size=20))
def test_whatever_the_numbers_parts_are_finite_and_add_up(pairs: list[tuple[float, float]]) -> None:
    numbers = {name: np.array([pair[place] for pair in pairs], np.float32) for place, name in enumerate(GOOD.weights)}
    parts = GOOD.parts(numbers)
    scores = GOOD.scores(numbers, len(pairs))
    assert np.isfinite(scores).all()
    assert sum(part.astype(np.float64) for part in parts.values()).tolist() == scores.tolist()


def test_what_is_not_known_adds_nothing_and_outliers_are_bounded() -> None:
    numbers = {"words": np.array([np.nan, 1e9, -1e9, 0.2], np.float32)}
    assert GOOD.scores(numbers, 4).tolist() == pytest.approx([0.0, 1.5 * FARTHEST, -1.5 * FARTHEST, 0.0], abs=1e-4)
    assert GOOD.scores({}, 2).tolist() == [0.0, 0.0]


def test_a_signal_without_weight_has_no_part() -> None:
    fusion = Fusion({"words": Weight(0.0), "taste": Weight(1.0)})
    assert list(fusion.parts({name: np.ones(2, np.float32) for name in ("words", "taste")})) == ["taste"]


def test_probabilities_rise_with_the_score() -> None:
    found = GOOD.probability(np.array([-1e30, -1.0, 1.0, 1e30], np.float32))
    assert (np.diff(found) > 0).all() and found[0] >= 0 and found[-1] <= 1
    assert found[2] == pytest.approx(1 / (1 + np.exp(-(1.0 / 2.0 - 0.5))))


def test_fitting_finds_who_is_right_and_never_turns_a_signal_round() -> None:
    found = fit(lists(600), ["words", "taste", "specific", "recent"]).fusion.weights
    assert found["words"].weight > 1.5 * found["taste"].weight > 0
    assert found["specific"].weight < 0.2 and found["recent"].weight == 0


def test_fitting_reaches_the_minimum_of_its_loss() -> None:
    made = lists(200)
    fusion = fit(made, ["words", "taste"]).fusion

    def loss(one: float, other: float) -> float:
        total = 0.0
        for judged in made:
            scores = sum(
                weight * (judged.numbers[name] - fusion.weights[name].mean) / fusion.weights[name].scale
                for name, weight in (("words", one), ("taste", other))
            )
            total -= float(scores[judged.labels.index(1)] - np.log(np.exp(scores).sum()))
        return total / len(made) + fitting.PENALTY * (one**2 + other**2)

    one, other = fusion.weights["words"].weight, fusion.weights["taste"].weight
    best = loss(one, other)
    assert all(loss(one + a, other + b) > best for a, b in ((0.02, 0), (-0.02, 0), (0, 0.02), (0, -0.02)))


def test_the_same_lists_give_the_same_weights() -> None:
    names = ["words", "taste"]
    assert fit(lists(), names).fusion == fit(lists(), names[::-1]).fusion


def test_a_users_lists_are_judged_by_weights_that_never_saw_that_user() -> None:
    made = lists(60, users=12)
    before = fit(made, ["words", "taste"]).scores
    turned = [
        JudgedList(one.numbers, one.labels[::-1], one.user) if one.user == "u3" else one for one in made
    ]  # all that u3 says is changed
    after = fit(turned, ["words", "taste"]).scores
    own = [place for place, one in enumerate(made) if one.user == "u3"]
    assert all(before[place].tolist() == after[place].tolist() for place in own)
    assert any(before[place].tolist() != after[place].tolist() for place in range(60) if place not in own)


def test_a_signal_that_is_missing_or_constant_gets_no_weight() -> None:
    made = [
        JudgedList({**one.numbers, "attributes": np.ones(10, np.float32)}, one.labels, one.user) for one in lists(60)
    ]
    found = fit(made, ["words", "attributes", "popularity"]).fusion
    assert found.names == ["words"]


def test_lists_of_one_kind_of_candidate_teach_nothing() -> None:
    numbers = {"words": np.arange(3, dtype=np.float32)}
    useless = [JudgedList(numbers, labels, str(place)) for place, labels in enumerate([[1, 1, 1], [0, 0, 0]] * 9)]
    with pytest.raises(DataError, match="0 lists to fit weights on") as raised:
        fit(useless, ["words"])
    assert raised.value.hint
    assert fit([*useless, *lists(40)], ["words"]).fusion.weights["words"].weight > 0


def test_probabilities_are_calibrated_on_the_fitted_lists() -> None:
    made = lists(400)
    found = fit(made, ["words", "taste"])
    chances = [found.fusion.probability(scores) for scores in found.scores]
    own = np.mean([chance[judged.labels.index(1)] for chance, judged in zip(chances, made, strict=True)])
    rest = np.mean(
        [np.delete(chance, judged.labels.index(1)).mean() for chance, judged in zip(chances, made, strict=True)]
    )
    assert own > 0.7 > 0.3 > rest
    assert (own + rest) / 2 == pytest.approx(0.5, abs=0.02)  # as many are as are not


def test_no_parts_are_zeros() -> None:
    assert total({}, 3).tolist() == [0, 0, 0]
