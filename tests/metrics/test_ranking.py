"""Figures agree with their definitions, with scikit-learn, and with the mean over every order of ties."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.metrics.ranking import auc, mrr_at, ndcg_at, recall_at, summary

Lists = tuple[list[float], list[int]]


@st.composite
def lists(draw: st.DrawFn, longest: int = 6, negatives: bool = False) -> Lists:
    """Scores of few values, so that many tie, and at least one label of 1."""
    size = draw(st.integers(2, longest))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size).filter(any))
    if negatives and all(labels):
        labels[draw(st.integers(0, size - 1))] = 0
    scores = draw(st.lists(st.sampled_from([-1.5, 0.0, 0.25, 3.0]), min_size=size, max_size=size))
    return scores, labels


def over_all_orders(scores: list[float], labels: list[int], figure: Callable[[list[int]], float]) -> float:
    """The mean of a figure of labels in rank order, over each order that the scores allow."""
    values = []
    for order in itertools.permutations(range(len(scores))):
        ranked = [scores[index] for index in order]
        if ranked == sorted(ranked, reverse=True):
            values.append(figure([labels[index] for index in order]))
    return math.fsum(values) / len(values)


def plain_recall(ranked: list[int], k: int) -> float:
    return sum(ranked[:k]) / sum(ranked)


def plain_mrr(ranked: list[int], k: int) -> float:
    rank = ranked.index(1) + 1
    return 1 / rank if rank <= k else 0.0


def plain_ndcg(ranked: list[int], k: int) -> float:
    def gain(labels: list[int]) -> float:
        return sum(label / math.log2(rank + 1) for rank, label in enumerate(labels[:k], 1))

    return gain(ranked) / gain(sorted(ranked, reverse=True))


def plain_auc(ranked: list[int]) -> float:
    pairs = [(i, j) for i, own in enumerate(ranked) for j, other in enumerate(ranked) if own and not other]
    return sum(i < j for i, j in pairs) / len(pairs)


@given(lists(), st.integers(1, 8))
def test_figures_at_k_are_the_mean_over_every_order_of_ties(made: Lists, k: int) -> None:
    scores, labels = made
    for figure, plain in ((recall_at, plain_recall), (mrr_at, plain_mrr), (ndcg_at, plain_ndcg)):
        expected = over_all_orders(scores, labels, lambda ranked, plain=plain: plain(ranked, k))
        assert figure(scores, labels, k) == pytest.approx(expected, abs=1e-12)


@given(lists(negatives=True))
def test_auc_is_the_mean_over_every_order_of_ties(made: Lists) -> None:
    assert auc(*made) == pytest.approx(over_all_orders(*made, plain_auc), abs=1e-12)


@given(lists(longest=40, negatives=True), st.integers(1, 45))
def test_figures_agree_with_scikit_learn(made: Lists, k: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn: `pip install 'trsr-lite[evaluate]'`")
    scores, labels = made
    assert auc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert ndcg_at(scores, labels, k) == pytest.approx(metrics.ndcg_score([labels], [scores], k=k))


@pytest.mark.parametrize(("k", "chance"), [(3, 3 / 21), (5, 5 / 21), (10, 10 / 21), (21, 1.0), (99, 1.0)])
@pytest.mark.parametrize("place", [0, 7, 20])
def test_without_a_signal_a_list_gets_what_chance_gives(k: int, chance: float, place: int) -> None:
    labels = [int(index == place) for index in range(21)]
    assert recall_at([0.5] * 21, labels, k) == pytest.approx(chance)
    assert auc([0.5] * 21, labels) == 0.5


@given(lists(longest=30, negatives=True), st.randoms())
def test_the_order_of_the_candidates_decides_nothing(made: Lists, random: object) -> None:
    pairs = list(zip(*made, strict=True))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    scores, labels = zip(*pairs, strict=True)
    assert summary([(list(scores), list(labels))]) == pytest.approx(summary([made]))


def test_known_values() -> None:
    scores, labels = [0.9, 0.8, 0.7, 0.1], [0, 1, 0, 1]
    assert recall_at(scores, labels, 3) == 0.5
    assert mrr_at(scores, labels, 3) == 0.5
    assert mrr_at(scores, labels, 1) == 0.0
    assert auc(scores, labels) == 0.25
    assert ndcg_at(scores, labels, 2) == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_infinite_scores_are_ranked_and_tie_with_their_like() -> None:
    infinity = float("inf")
    assert recall_at([infinity, infinity, 0.0, -infinity], [1, 0, 0, 0], 1) == 0.5
    assert recall_at([-infinity, 0.0], [1, 0], 1) == 0.0


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.int8, np.uint8, bool])
def test_scores_may_be_of_any_number_type(kind: type) -> None:
    assert recall_at(np.array([0, 1, 1], kind), np.array([1, 0, 0]), 2) == 0.0


def test_a_summary_is_the_mean_over_lists() -> None:
    first, second = ([2.0, 1.0], [1, 0]), ([2.0, 1.0], [0, 1])
    found = summary([first, second], ks=(1, 2))
    assert list(found) == ["recall@1", "mrr@1", "ndcg@1", "recall@2", "mrr@2", "ndcg@2", "auc"]
    assert (found["recall@1"], found["mrr@2"], found["auc"]) == (0.5, 0.75, 0.5)
    assert list(summary([first])) == [*(f"{name}@{k}" for k in (3, 5, 10) for name in ("recall", "mrr", "ndcg")), "auc"]


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([float("nan"), 1.0], [1, 0], "not a number"),
        ([1.0], [1, 0], "not one list"),
        ([[1.0, 2.0]], [[1, 0]], "not one list"),
        ([1.0, 2.0], [0, 0], "at least one must be 1"),
        ([1.0, 2.0], [0, 2], "labels must be 0 or 1"),
        ([], [], "at least one must be 1"),
        ([1.0, 2.0], [1, 1], "label 0"),
    ],
)
def test_a_list_that_has_no_figures_is_a_bug(scores: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        summary([(scores, labels)])


def test_no_list_and_no_k_are_bugs() -> None:
    with pytest.raises(ValueError, match="no list"):
        summary([])
    with pytest.raises(ValueError, match="at least 1"):
        recall_at([1.0, 2.0], [1, 0], 0)
