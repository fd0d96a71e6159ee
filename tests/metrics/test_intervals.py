"""Intervals hold what they promise on data whose truth is known, and p values are those of an exact test."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.metrics import intervals
from trsr_lite.metrics.intervals import LEAST, Values

hits = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=LEAST, max_size=60)


def recalls(rng: np.random.Generator, count: int, rate: float = 0.4) -> Values:
    """Values as recall has them: mostly none or all."""
    return rng.choice([0.0, 0.5, 1.0], count, p=[0.9 - rate, 0.2, rate - 0.1])


def exact_p(changes: list[float]) -> float:
    """Share of all sign patterns that go at least as far."""
    sums = [sum(signs * np.array(changes)) for signs in map(np.array, itertools.product((1, -1), repeat=len(changes)))]
    return float(np.mean(np.abs(sums) >= abs(sum(changes)) - 1e-9))


def width(found: intervals.Interval) -> float:
    assert found.low is not None and found.high is not None
    return found.high - found.low


# The interval of a mean


def test_about_95_of_100_intervals_hold_the_true_mean() -> None:
    rng, truth, held = np.random.default_rng(7), 0.2 * 0.5 + 0.3, 0
    for _ in range(400):
        found = intervals.mean(recalls(rng, 60))
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_interval_is_that_of_the_normal_approximation_where_lists_are_many() -> None:
    values = recalls(np.random.default_rng(1), 1000)
    found = intervals.mean(values)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((found.value - error, found.value + error), abs=0.1 * error)


def test_four_times_the_lists_halve_the_interval() -> None:
    values = recalls(np.random.default_rng(2), 100)
    assert width(intervals.mean(np.tile(values, 4))) == pytest.approx(width(intervals.mean(values)) / 2, rel=0.1)


# Lists of one user


def clustered(rng: np.random.Generator, users: int, each: int) -> tuple[Values, Values, list[str]]:
    """Two systems that are equally good, each better for some users; values of one user are alike."""
    names = [f"u{user}" for user in range(users) for _ in range(each)]
    one, other = (np.repeat(rng.normal(size=users), each) + rng.normal(size=users * each) / 4 for _ in range(2))
    return one, other, names


def test_a_user_of_many_lists_is_one_observation_to_p() -> None:
    """By lists, p is below 0.05 in most trials in which nothing differs."""
    rng, by_user, by_list = np.random.default_rng(8), [], []
    for _ in range(40):
        one, other, names = clustered(rng, 25, 8)
        by_user.append(intervals.difference(one, other, names).p)
        by_list.append(intervals.difference(one, other).p)
    assert np.mean(np.array(by_user) <= 0.05) <= 0.12
    assert np.mean(np.array(by_list) <= 0.05) > 0.4


def test_intervals_of_lists_of_few_users_hold_the_true_difference() -> None:
    rng, held = np.random.default_rng(9), 0
    for _ in range(60):
        one, other, names = clustered(rng, 40, 4)
        found = intervals.difference(one, other, names).change
        assert found.low is not None and found.high is not None
        held += found.low <= 0 <= found.high
    assert held / 60 >= 0.88


def test_a_list_repeated_for_its_user_says_nothing_new() -> None:
    values = recalls(np.random.default_rng(10), 60)
    names = [f"u{number}" for number in range(60)]
    once = intervals.mean(values, names)
    assert intervals.mean(np.repeat(values, 5), np.repeat(names, 5).tolist()) == pytest.approx(once)
    assert intervals.mean(np.tile(values, 5), names * 5) == pytest.approx(once)


def test_the_mean_stays_that_over_lists_where_users_have_more_and_fewer() -> None:
    values = np.array([1.0] * 10 + [0.0] * LEAST)
    found = intervals.mean(values, ["many"] * 10 + [f"u{number}" for number in range(LEAST)])
    assert found.value == pytest.approx(10 / 30)
    assert found.low == 0.0  # where nobody draws the user of many lists
    assert found.high is not None and found.high > 0.5


def test_one_list_of_each_user_is_what_it_is_without_users() -> None:
    rng = np.random.default_rng(11)
    one, other = recalls(rng, 100), rng.random(100)
    for names in ([f"u{number}" for number in range(100)], [""] * 100):
        assert intervals.mean(one, names) == intervals.mean(one)
        assert intervals.difference(one, other, names) == intervals.difference(one, other)
        assert intervals.count(names) == 100


@pytest.mark.parametrize(("users", "enough"), [(LEAST - 1, False), (LEAST, True)])
def test_users_must_be_enough_and_not_their_lists(users: int, enough: bool) -> None:
    names = [f"u{user}" for user in range(users)] * 3
    found = intervals.difference(np.arange(len(names)) / 7, np.zeros(len(names)), names)
    assert (found.change.low is not None) == enough
    assert intervals.count(names) == users


def test_lists_without_a_user_are_no_one_users() -> None:
    assert intervals.count(["", "a", "", "a", "b"]) == 4


@pytest.mark.parametrize("count", [1, 2, LEAST - 1])
def test_too_few_lists_have_a_mean_and_no_interval(count: int) -> None:
    found = intervals.mean(np.arange(count) / 7)
    assert (found.value, found.low, found.high) == (pytest.approx((count - 1) / 14), None, None)
    assert found.to_dict() == {"value": round(found.value, 5), "low": None, "high": None}


def test_just_enough_lists_have_an_interval() -> None:
    assert LEAST == 20
    found = intervals.mean(np.arange(LEAST) / LEAST)
    assert found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    assert intervals.mean(np.array([0.0, 1.0]), least=2).low == 0.0


def test_values_that_are_all_the_same_have_an_interval_of_no_width() -> None:
    found = intervals.mean(np.full(30, 0.25))
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


@given(hits)
def test_an_interval_lies_within_the_values_and_is_the_same_each_time(values: list[float]) -> None:
    found = intervals.mean(np.array(values))
    assert found == intervals.mean(np.array(values))
    assert found.low is not None and found.high is not None
    assert min(values) <= found.low <= found.high <= max(values)


def test_many_lists_need_little_memory() -> None:
    values = recalls(np.random.default_rng(3), 20_000)
    tracemalloc.start()
    try:
        intervals.difference(values, values[::-1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20


# The difference of two


def test_a_paired_difference_is_tighter_than_two_intervals_where_values_go_together() -> None:
    rng = np.random.default_rng(4)
    easy = recalls(rng, 200)
    better = np.clip(easy + rng.choice([0.0, 0.5], 200, p=[0.8, 0.2]), 0, 1)
    found = intervals.difference(better, easy)
    unpaired = np.hypot(width(intervals.mean(better)), width(intervals.mean(easy)))
    assert found.change.value == pytest.approx(better.mean() - easy.mean())
    assert width(found.change) < unpaired / 2


@pytest.mark.parametrize("size", [1, 3, 6, 9])
@pytest.mark.parametrize("seed", range(4))
def test_p_is_that_of_every_sign_pattern(size: int, seed: int) -> None:
    changes = np.random.default_rng(seed).choice([-0.5, -0.25, 0.25, 0.5, 1.0], size)
    padded = np.concatenate([changes, np.zeros(15)])  # lists on which the two agree say nothing
    assert intervals.difference(padded, np.zeros(len(padded))).p == pytest.approx(exact_p(changes.tolist()), abs=0.04)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.15])
def test_p_agrees_with_scipy(shift: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs scipy: `pip install 'trsr-lite[evaluate]'`")
    rng = np.random.default_rng(5)
    values = rng.random(60)
    others = values + rng.normal(-shift, 0.3, 60)
    test = stats.permutation_test(
        (values, others),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
    )
    assert intervals.difference(values, others).p == pytest.approx(test.pvalue, abs=0.03)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(6)
    found = np.array([intervals.difference(rng.random(30), rng.random(30)).p for _ in range(300)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(found <= level) == pytest.approx(level, abs=0.07)


def test_a_clear_difference_has_the_smallest_p_that_the_draws_allow() -> None:
    found = intervals.difference(np.ones(40), np.zeros(40))
    assert found.p == pytest.approx(1 / (intervals.DRAWS + 1))
    assert found.to_dict() == {"value": 1.0, "low": 1.0, "high": 1.0, "p": round(found.p, 4), "detectable": None}


@pytest.mark.parametrize("count", [1, 30])
def test_p_is_1_where_nothing_differs(count: int) -> None:
    values = np.random.default_rng(0).random(count)
    found = intervals.difference(values, values)
    assert (found.p, found.change.value) == (1.0, 0.0)
    assert found.change.low == (None if count < LEAST else 0.0)


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 2), min_size=LEAST, max_size=40))
def test_the_other_way_round_is_the_same_difference_with_the_other_sign(pairs: list[tuple[float, float]]) -> None:
    one, other = np.array(pairs).T
    forth, back = intervals.difference(one, other), intervals.difference(other, one)
    assert forth.p == back.p
    assert 0 < forth.p <= 1
    assert forth.change.low is not None and forth.change.high is not None
    assert (back.change.value, back.change.low, back.change.high) == pytest.approx(
        (-forth.change.value, -forth.change.high, -forth.change.low)
    )


# What lists could show


def significant(changes: Values) -> bool:
    """Whether a two-sided z test finds a difference at p < .05."""
    return bool(abs(changes.mean()) > 1.96 * changes.std(ddof=1) / np.sqrt(len(changes)))


def test_a_detectable_difference_is_found_in_four_of_five_evaluations() -> None:
    rng, spread = np.random.default_rng(11), 0.35
    found = intervals.detectable(rng.normal(0, spread, 100_000)[:400])
    assert found == pytest.approx(2.80 * spread / 20, rel=0.1)
    truth = 2.8016 * spread / 20
    assert np.mean([significant(rng.normal(truth, spread, 400)) for _ in range(2000)]) == pytest.approx(0.8, abs=0.03)


def test_four_times_the_users_halve_the_detectable_difference() -> None:
    changes = np.random.default_rng(12).normal(0, 1, 500)
    few, many = (intervals.detectable(np.tile(changes, times)) for times in (1, 4))
    assert few is not None and many == pytest.approx(few / 2, rel=0.01)


def test_lists_of_the_same_user_add_no_power_where_they_are_alike() -> None:
    changes = np.random.default_rng(13).normal(0, 1, 50)
    names = [f"u{user}" for user in range(50)]
    alone = intervals.detectable(changes, names)
    assert intervals.detectable(np.repeat(changes, 8), [name for name in names for _ in range(8)]) == pytest.approx(
        alone
    )
    assert alone is not None and (intervals.detectable(np.repeat(changes, 8)) or 0) < alone / 2


def test_nothing_is_said_of_few_users_or_of_systems_that_never_differ() -> None:
    changes = np.random.default_rng(14).normal(0, 1, LEAST)
    assert intervals.detectable(changes) is not None
    assert intervals.detectable(changes[1:]) is None
    assert intervals.detectable(np.zeros(LEAST)) is intervals.detectable(np.full(LEAST, 0.1)) is None
