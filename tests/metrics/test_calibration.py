"""The calibration error is that of its definition: ten bins, positives and negatives of the same weight."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.metrics.calibration import BINS, error

Cases = list[tuple[float, int]]
cases = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=40).filter(
    lambda found: {label for _, label in found} == {0, 1}
)


def plain(found: Cases) -> float:
    """The definition, one bin after another."""
    counts = [sum(label == kind for _, label in found) for kind in (0, 1)]
    total = 0.0
    for place in range(BINS):
        inside = [
            (value, label, 0.5 / counts[label])
            for value, label in found
            if place <= value * BINS < place + 1 or (place == BINS - 1 and value == 1)
        ]
        if weight := math.fsum(each for _, _, each in inside):
            said = math.fsum(value * each for value, _, each in inside) / weight
            came = math.fsum(label * each for _, label, each in inside) / weight
            total += weight * abs(said - came)
    return total


@given(cases)
def test_the_error_is_that_of_the_definition(found: Cases) -> None:
    assert error(*zip(*found, strict=True)) == pytest.approx(plain(found), abs=1e-9)


@pytest.mark.parametrize(
    ("probabilities", "labels", "expected"),
    [
        ([0.95, 0.85, 0.15, 0.05], [1, 1, 0, 0], 0.1),
        ([0.95, 0.85, 0.15, 0.05], [0, 0, 1, 1], 0.9),
        ([1.0, 0.0], [1, 0], 0.0),
        ([0.0, 1.0], [1, 0], 1.0),
        ([1.0, 1.0], [1, 0], 0.5),
        ([0.99, 1.0], [1, 0], 0.495),  # 1.0 lies in the last bin, beside 0.99
        ([0.5, 0.5], [1, 0], 0.0),
        ([0.42, 0.48], [1, 0], 0.05),  # gaps of one bin cancel
        ([0.38, 0.42], [1, 0], 0.52),  # those of two do not
        ([0.9, 0.1, 0.1, 0.1, 0.1], [1, 0, 0, 0, 0], 0.1),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0, 0], 0.0),  # as likely as not, whatever the length of the list
        ([0.2, 0.2, 0.2, 0.2, 0.2], [1, 0, 0, 0, 0], 0.3),  # the share of positives says nothing
    ],
)
def test_known_values(probabilities: list[float], labels: list[int], expected: float) -> None:
    assert error(probabilities, labels) == pytest.approx(expected)


def test_labels_that_come_as_often_as_they_are_said_to_have_almost_no_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(40_000)
    labels = (rng.random(40_000) < probabilities).astype(int)
    assert error(probabilities, labels) < 0.01
    assert error(probabilities**2, labels) > 0.1


@given(cases, st.integers(2, 5))
def test_longer_lists_of_the_same_negatives_change_nothing(found: Cases, times: int) -> None:
    longer = [case for case in found for _ in range(1 if case[1] else times)]
    assert error(*zip(*longer, strict=True)) == pytest.approx(error(*zip(*found, strict=True)), abs=1e-9)


@given(cases)
def test_an_error_is_between_0_and_1(found: Cases) -> None:
    assert 0 <= error(*zip(*found, strict=True)) <= 1


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_one_label_only_has_no_error(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="both labels"):
        error([0.5] * len(labels), labels)
