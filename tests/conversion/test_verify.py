"""The measures of verification: rank correlation, intervals, calibration and noise."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite import Item, VerificationError
from trsr_lite.conversion import comparison
from trsr_lite.engine.interface import Segment
from trsr_lite.models.calibration import Calibration
from trsr_lite.settings import Settings
from trsr_lite.testing import FakeEngine
from trsr_lite.training.ranking_data import RankingExample

vectors = st.lists(st.floats(-5, 5).map(lambda value: round(value, 1)), min_size=2, max_size=9)


def a_list(labels: tuple[int, ...]) -> RankingExample:
    items = tuple(Item(str(number), {"title": f"Title {number}"}) for number in range(len(labels)))
    return RankingExample(None, items[:1], items, labels)


def by_counting(one: list[float], other: list[float]) -> float:
    """Kendall's tau-b by its definition."""
    agreed = ordered = others = 0
    for left, right in combinations(range(len(one)), 2):
        signs = [
            0 if abs(v[left] - v[right]) < comparison.TIE else int(np.sign(v[left] - v[right])) for v in (one, other)
        ]
        agreed += signs[0] * signs[1]
        ordered += signs[0] != 0
        others += signs[1] != 0
    return agreed / (ordered * others) ** 0.5 if ordered and others else float(not ordered)


@given(st.data())
def test_kendall_is_what_counting_pairs_gives(data: st.DataObject) -> None:
    one = data.draw(vectors)
    other = data.draw(st.permutations(one) | st.lists(st.floats(-5, 5), min_size=len(one), max_size=len(one)))
    found = comparison.kendall(np.array(one, np.float32), np.array(other, np.float32))
    rounded = [[float(np.float32(value)) for value in values] for values in (one, other)]
    assert found == pytest.approx(by_counting(*rounded), abs=0.1 if _near_tie(*rounded) else 1e-9)


def _near_tie(*vectors: list[float]) -> bool:
    """Whether a difference is so close to the tie that float32 may fall on either side."""
    return any(
        abs(abs(left - right) - comparison.TIE) < 1e-5 for values in vectors for left, right in combinations(values, 2)
    )


def test_kendall_of_equal_and_of_turned_lists() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert comparison.kendall(values, values) == 1
    assert comparison.kendall(values, -values) == -1


def test_a_model_that_orders_nothing_any_more_has_lost_the_order() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert comparison.kendall(values, np.zeros(3)) == 0
    assert comparison.kendall(np.zeros(3), values) == 1, "there was no order to lose"
    assert comparison.kendall(np.zeros(3), np.zeros(3)) == 1


def test_items_that_come_as_close_as_the_same_text_are_ties() -> None:
    values = np.array([2.0, 1.0, 0.0])
    assert comparison.kendall(np.array([2.0, 1.0, 1.005]), np.array([2.0, 1.005, 1.0])) == 1
    assert comparison.kendall(values, np.array([2.0, 0.0, 1.0])) == pytest.approx(1 / 3)


def test_equal_margins_compare_as_equal() -> None:
    lists = [a_list((1, 0, 0, 0)), a_list((0, 1, 0))]
    margins = [np.array([2.0, 1.0, 0.0, -1.0], np.float32), np.array([0.0, 1.0, 2.0], np.float32)]
    same = comparison.compare(margins, margins, lists)
    assert (same.max_difference, same.tau, same.top) == (0, 1, 1)
    assert same.recall == same.mrr == (0, 0, 0)


def test_a_ranking_that_lost_says_how_much() -> None:
    lists = [a_list((1, *[0] * 9)) for _ in range(20)]
    good, bad = np.arange(10, 0, -1).astype(np.float32), np.arange(1, 11).astype(np.float32)
    found = comparison.compare([good] * 20, [bad] * 20, lists)
    assert found.max_difference == 9 and found.tau == -1
    assert found.recall == (-1, -1, -1) and found.top == 0
    assert found.mrr[0] == pytest.approx(0.1 - 1)


@given(st.integers(0, 1000))
def test_intervals_contain_the_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists = [a_list((1, *[0] * 7)) for _ in range(12)]
    old, new = ([rng.normal(size=8).astype(np.float32) for _ in lists] for _ in range(2))
    for change, low, high in (comparison.compare(old, new, lists).recall, comparison.compare(old, new, lists).mrr):
        assert low <= change <= high


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.5, -1.0), (0.4, 3.0)])
def test_calibration_recovers_a_known_temperature_and_bias(temperature: float, bias: float) -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(bias, 3 * temperature, 40_000)
    labels = rng.random(len(margins)) < 1 / (1 + np.exp(-(margins - bias) / temperature))
    found = comparison.calibrate([margins.astype(np.float32)], [a_list(tuple(map(int, labels)))])
    assert found["temperature"] == pytest.approx(temperature, rel=0.05)
    assert found["bias"] == pytest.approx(bias, abs=0.1 * temperature)


@pytest.mark.parametrize("middle", [-300.0, -3.0, 0.0, 40.0])
@pytest.mark.parametrize("spread", [0.05, 1.0, 8.0])
def test_calibration_does_not_depend_on_where_the_margins_lie(middle: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    labels = ([1] + [0] * 20) * 100
    plain = rng.normal(0, 1, len(labels)) + np.array(labels)
    known, found = (
        comparison.calibrate([values.astype(np.float64)], [a_list(tuple(labels))])
        for values in (plain, middle + spread * plain)
    )
    assert known["temperature"] == pytest.approx(1, abs=0.2) and known["bias"] == pytest.approx(0.5, abs=0.1)
    assert found["temperature"] == pytest.approx(spread * known["temperature"], rel=1e-3)
    assert found["bias"] == pytest.approx(middle + spread * known["bias"], abs=1e-3 * spread)


def test_a_model_that_ranks_backwards_gets_scores_that_say_nothing() -> None:
    labels = (1, 0, 0, 0, 0)
    found = comparison.calibrate([np.array([-9.0, -5.0, -4.0, -4.5, -3.0])], [a_list(labels)])
    scores = [Calibration(**found).score(margin) for margin in (-9.0, -3.0)]
    assert scores == pytest.approx([0.5, 0.5], abs=0.01)


def test_margins_that_nothing_fits_are_said_as_such() -> None:
    with pytest.raises(VerificationError, match="no temperature and bias"):
        comparison.calibrate([np.array([np.nan, 1.0, 2.0])], [a_list((1, 0, 0))])


@given(st.lists(st.tuples(st.floats(-30, 30), st.integers(0, 1)), min_size=2, max_size=20))
def test_a_temperature_is_never_zero_or_less(pairs: list[tuple[float, int]]) -> None:
    values = np.array([value for value, _ in pairs], np.float32)
    labels = tuple(label for _, label in pairs)
    if len(set(labels)) < 2:
        return
    found = comparison.calibrate([values], [a_list(labels)])
    assert found["temperature"] > 0 and np.isfinite(list(found.values())).all()


@pytest.mark.parametrize("direction", [1, -1], ids=["separable", "backwards"])
def test_lists_that_are_ranked_perfectly_or_backwards_still_calibrate(direction: int) -> None:
    values = direction * np.linspace(5, -5, 10)
    found = comparison.calibrate([values], [a_list((1,) * 5 + (0,) * 5)])
    assert found["temperature"] > 0


def test_the_noise_floor_is_how_far_two_margins_of_a_list_move_apart() -> None:
    exact = [np.zeros(3), np.zeros(2)]
    fast = [np.array([0.5, 0.5, 0.5]), np.array([0.01, -0.02])]
    assert comparison.noise_floor(fast, exact) == pytest.approx(comparison.NOISE_SAFETY * 0.03)
    assert comparison.noise_floor(exact, exact) == 0


class Reading(FakeEngine):
    """An engine that reads one word in its own way."""

    word = ""

    def encode(self, text: str) -> list[int]:
        return super().encode(text.replace(self.word, "?") if self.word else text)

    def tokenize(self, prompt: Any, *, start: bool = True) -> list[int]:
        changed = (
            tuple(Segment(part.text.replace(self.word, "?"), part.special) for part in prompt) if self.word else prompt
        )
        return super().tokenize(changed, start=start)


@pytest.mark.parametrize(
    ("word", "what"),
    [("quick brown", "quick brown fox"), ("Title 1", "candidate '1'"), ("Preference", "shared prompt")],
)
def test_tokens_that_differ_are_named(word: str, what: str) -> None:
    ours, theirs = Reading(), Reading()
    comparison.check_tokens([a_list((1, 0))], Settings(), ours, theirs)
    theirs.word = word
    with pytest.raises(VerificationError, match=what):
        comparison.check_tokens([a_list((1, 0))], Settings(), ours, theirs)
