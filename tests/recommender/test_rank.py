"""Margins to a ranking: margins alone decide, ties are marked, and a score is a probability whatever the margin."""

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite import Item
from trsr_lite.engine.interface import Margin
from trsr_lite.models.calibration import Calibration
from trsr_lite.recommender.rank import rank
from trsr_lite.results import Recommendation

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
CALIBRATIONS = st.builds(Calibration, st.floats(0.01, 100), st.floats(-50, 50))


def ranked(*margins: float, noise_floor: float = 0.0, calibration: Calibration | None = None) -> list[Recommendation]:
    items = [Item(str(index), {"title": f"item {index}"}) for index in range(len(margins))]
    results = [Margin(margin, 0.9 - index / 100) for index, margin in enumerate(margins)]
    return rank(items, results, calibration=calibration or Calibration(), noise_floor=noise_floor)


def ids(entries: list[Recommendation]) -> str:
    return "".join(entry.item.id for entry in entries)


def tied(entries: list[Recommendation]) -> str:
    return "".join(entry.item.id for entry in entries if entry.tied)


@given(st.lists(FINITE, max_size=20), st.floats(0, 10))
def test_every_candidate_is_ranked_once_by_margin_and_keeps_its_own_numbers(
    margins: list[float], noise_floor: float
) -> None:
    entries = ranked(*margins, noise_floor=noise_floor)
    assert [entry.rank for entry in entries] == list(range(1, len(margins) + 1))
    assert sorted(int(entry.item.id) for entry in entries) == list(range(len(margins)))
    assert [entry.margin for entry in entries] == sorted(margins, reverse=True)
    for entry in entries:
        index = int(entry.item.id)
        assert (entry.margin, entry.label_mass) == (margins[index], 0.9 - index / 100)


def test_equal_margins_keep_the_order_of_the_candidates() -> None:
    assert ids(ranked(1.0, 2.0, 1.0, 2.0, 1.0)) == "13024"
    assert ids(ranked(0.0, -0.0, 0.0)) == "012"


@given(st.permutations([1.0, 1.0, 2.0, 2.0, 3.0]))
def test_a_noise_floor_changes_no_order(margins: list[float]) -> None:
    assert ids(ranked(*margins, noise_floor=5.0)) == ids(ranked(*margins))


@pytest.mark.parametrize(
    ("noise_floor", "marked"), [(0.0, "34"), (0.25, "34"), (0.5, "1234"), (0.75, "1234"), (4.0, "01234")]
)
def test_ties_are_neighbours_within_the_noise_floor(noise_floor: float, marked: str) -> None:
    assert tied(ranked(9.0, 5.5, 5.0, 1.0, 1.0, noise_floor=noise_floor)) == marked


def test_a_single_candidate_is_not_tied() -> None:
    assert tied(ranked(1.0, noise_floor=100.0)) == ""


def test_no_candidates_are_no_ranking() -> None:
    assert ranked() == []


def test_a_score_never_decides() -> None:
    flat = Calibration(temperature=1e9)
    assert len({entry.score for entry in ranked(1e-9, 2e-9, 3e-9, calibration=flat)}) == 1
    assert ids(ranked(1e-9, 2e-9, 3e-9, calibration=flat)) == "210"


@pytest.mark.parametrize(
    ("margin", "calibration", "score"),
    [
        (0.0, Calibration(), 0.5),
        (2.0, Calibration(bias=2.0), 0.5),
        (1.0986122886681098, Calibration(), 0.75),
        (-1.0986122886681098, Calibration(), 0.25),
        (2.1972245773362196, Calibration(temperature=2.0), 0.75),
    ],
)
def test_a_score_is_the_calibrated_sigmoid(margin: float, calibration: Calibration, score: float) -> None:
    assert calibration.score(margin) == pytest.approx(score)
    assert ranked(margin, calibration=calibration)[0].score == calibration.score(margin)


@given(CALIBRATIONS, FINITE, FINITE)
def test_a_greater_margin_has_no_smaller_score(calibration: Calibration, one: float, other: float) -> None:
    lower, upper = sorted((one, other))
    assert 0.0 <= calibration.score(lower) <= calibration.score(upper) <= 1.0


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(1e-300, 1e300), Calibration(1e300, -1e300)])
def test_no_margin_overflows_a_score(calibration: Calibration) -> None:
    extremes = [-float("inf"), -sys.float_info.max, -1e4, 0.0, 1e4, sys.float_info.max, float("inf")]
    scores = [calibration.score(margin) for margin in extremes]
    assert all(lower <= upper for lower, upper in itertools.pairwise(scores))
    assert (scores[0], scores[-1]) == (0.0, 1.0)


def test_opposite_margins_have_opposite_scores() -> None:
    for margin in (0.1, 1.0, 10.0, 30.0):
        assert Calibration().score(margin) + Calibration().score(-margin) == pytest.approx(1.0)
