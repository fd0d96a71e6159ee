"""Drawn items are distinct, allowed, and come as often as they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.datasets.negatives import Sampler
from trsr_lite.errors import DataError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    kind=st.sampled_from(["uniform", "popularity"]),
    weights=st.lists(st.integers(0, 1000), min_size=1, max_size=60),
    exclude=st.sets(st.integers(0, 70)),
    count=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_a_draw_is_distinct_allowed_and_complete_or_refused(
    kind: str, weights: list[int], exclude: set[int], count: int, seed: int
) -> None:
    allowed = {row for row, weight in enumerate(weights) if kind == "uniform" or weight} - exclude
    sampler = Sampler(kind, np.array(weights))
    if len(allowed) < count:
        with pytest.raises(DataError, match=f"{count} negatives are needed, but only {len(allowed)} items"):
            sampler.sample(rng(seed), count, exclude)
        with pytest.raises(DataError, match=f"{count} negatives are needed, but only {len(allowed)} items"):
            sampler.check(count, exclude)
        return
    sampler.check(count, exclude)
    found = sampler.sample(rng(seed), count, exclude)
    assert len(found) == len(set(found)) == count
    assert set(found) <= allowed
    assert found == sampler.sample(rng(seed), count, exclude)


@given(
    kind=st.sampled_from(["uniform", "popularity"]),
    rows=st.sets(st.integers(0, 59), min_size=1),
    exclude=st.sets(st.integers(0, 70)),
    count=st.integers(1, 12),
    seed=st.integers(0, 2**32),
)
def test_only_given_rows_are_drawn(kind: str, rows: set[int], exclude: set[int], count: int, seed: int) -> None:
    sampler = Sampler(kind, np.arange(60) + 1, sorted(rows))
    if len(rows - exclude) < count:
        with pytest.raises(DataError, match=f"only {len(rows - exclude)} items"):
            sampler.sample(rng(seed), count, exclude)
        return
    found = sampler.sample(rng(seed), count, exclude)
    assert len(set(found)) == count
    assert set(found) <= rows - exclude


def test_given_rows_come_in_proportion() -> None:
    found = frequencies(Sampler("popularity", np.array([50, 1, 2, 7, 90]), [1, 2, 3]), set(), 5)
    assert np.allclose(found, [0, 0.1, 0.2, 0.7, 0], atol=0.02)


def frequencies(sampler: Sampler, exclude: set[int], items: int, draws: int = 20000) -> np.ndarray:
    generator = rng()
    rows = [sampler.sample(generator, 1, exclude)[0] for _ in range(draws)]
    return np.bincount(rows, minlength=items) / draws


def test_uniform_draws_know_no_weights() -> None:
    assert np.allclose(
        frequencies(Sampler("uniform", np.array([0, 5, 100, 0])), {1}, 4), [1 / 3, 0, 1 / 3, 1 / 3], atol=0.02
    )


def test_popular_items_come_in_proportion() -> None:
    found = frequencies(Sampler("popularity", np.array([1, 0, 2, 7, 90])), {4}, 5)
    assert np.allclose(found, [0.1, 0, 0.2, 0.7, 0], atol=0.02)


def test_items_are_listed_in_proportion_where_throwing_away_does_not_end() -> None:
    """The one excluded item has nearly all the weight, so every draw comes from the list of the rest."""
    found = frequencies(Sampler("popularity", np.array([1, 3, 10**12])), {2}, 3, draws=4000)
    assert np.allclose(found, [0.25, 0.75, 0], atol=0.03)


def test_both_ways_of_drawing_follow_the_same_law() -> None:
    """An excluded item of nearly all the weight makes every draw come from the list of the rest."""
    generator = rng()
    thrown, listed = (
        [tuple(sampler.sample(generator, 2, {3})) for _ in range(20000)]
        for sampler in (Sampler("popularity", np.array([1, 2, 3, weight])) for weight in (4, 10**12))
    )
    for pair in set(thrown) | set(listed):
        assert thrown.count(pair) / 20000 == pytest.approx(listed.count(pair) / 20000, abs=0.02)


def test_the_order_of_the_excluded_decides_nothing() -> None:
    sampler = Sampler("uniform", np.zeros(1000, np.int64))
    one, other = set(), set()
    one.update([8, 16, 0])
    other.update([0, 16, 8])
    assert sampler.sample(rng(), 20, one) == sampler.sample(rng(), 20, other)


@pytest.mark.parametrize("kind", ["uniform", "popularity"])
def test_no_items_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match="only 0 items can be drawn"):
        Sampler(kind, np.zeros(0, np.int64)).sample(rng(), 1, set())


def test_too_few_popular_items_name_the_way_out() -> None:
    with pytest.raises(DataError, match=r"popularity, 1 items with a weight") as caught:
        Sampler("popularity", np.array([0, 0, 4])).sample(rng(), 2, set())
    assert caught.value.hint is not None and "uniformly" in caught.value.hint
