"""Figures of ranked lists: Recall@k, MRR@k, nDCG@k and AUC.

Invariant: candidates of the same score are in every order at once: each figure is the exact expectation over all orders
of the ties. A system without any signal gets what chance gives. Scores are compared as they are; a higher one is
better. One list at a time; texts and users are not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Scores = npt.ArrayLike
Labels = Sequence[int] | npt.NDArray[np.int64]


def recall_at(scores: Scores, labels: Labels, k: int) -> float:
    """Share of the user's items that are among the first `k`."""
    groups = _groups(scores, labels, k)
    found = sum(own * min(max(k - before, 0), size) / size for before, size, own in groups)
    return found / sum(own for _, _, own in groups)


def mrr_at(scores: Scores, labels: Labels, k: int) -> float:
    """1 / rank of the first of the user's items, 0 if that is beyond `k`."""
    before, size, own = next(group for group in _groups(scores, labels, k) if group[2])
    orders = math.comb(size, own)
    # The first of `own` among `size` places is at `place` when all others lie behind it.
    places = range(1, min(size, k - before) + 1)
    return sum(math.comb(size - place, own - 1) / orders / (before + place) for place in places)


def ndcg_at(scores: Scores, labels: Labels, k: int) -> float:
    """Discounted cumulative gain of the first `k`, as a share of the best possible."""
    groups = _groups(scores, labels, k)
    gain = sum(own / size * _discounts(before, min(before + size, k)) for before, size, own in groups)
    return gain / _discounts(0, min(sum(own for _, _, own in groups), k))


def auc(scores: Scores, labels: Labels) -> float:
    """Chance that one of the user's items stands before one of the others; a tie is half."""
    groups = _groups(scores, labels)
    own_total = sum(own for _, _, own in groups)
    other_total = sum(size - own for _, size, own in groups)
    if other_total == 0:
        raise ValueError("a list needs a candidate with label 0")
    behind, pairs = other_total, 0.0
    for _, size, own in groups:
        behind -= size - own
        pairs += own * (behind + (size - own) / 2)
    return pairs / (own_total * other_total)


def summary(lists: Iterable[tuple[Scores, Labels]], ks: Sequence[int] = (3, 5, 10)) -> dict[str, float]:
    """Means over lists of (scores, labels): `recall@k`, `mrr@k` and `ndcg@k` for each k, and `auc`."""
    sums: dict[str, list[float]] = {}
    for scores, labels in lists:
        for k in ks:
            for name, figure in (("recall", recall_at), ("mrr", mrr_at), ("ndcg", ndcg_at)):
                sums.setdefault(f"{name}@{k}", []).append(figure(scores, labels, k))
        sums.setdefault("auc", []).append(auc(scores, labels))
    if not sums:
        raise ValueError("no list to summarize")
    return {name: math.fsum(values) / len(values) for name, values in sums.items()}


def _groups(scores: Scores, labels: Labels, k: int = 1) -> list[tuple[int, int, int]]:
    """(candidates before, candidates, the user's own) of each group of tied candidates, best first."""
    values, own = np.asarray(scores), np.asarray(labels)
    if values.ndim != 1 or values.shape != own.shape:
        raise ValueError(f"scores of shape {values.shape} and labels of shape {own.shape} are not one list")
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    if not np.isin(own, (0, 1)).all() or not own.any():
        raise ValueError("labels must be 0 or 1, and at least one must be 1")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    sizes, owned = sizes[::-1], np.bincount(group, weights=own).astype(int)[::-1]
    befores = np.cumsum(sizes) - sizes
    return list(zip(befores.tolist(), sizes.tolist(), owned.tolist(), strict=True))


def _discounts(start: int, end: int) -> float:
    return math.fsum(1 / math.log2(rank + 1) for rank in range(start + 1, end + 1))
