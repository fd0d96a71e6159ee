"""The mean of a candidate's highest products with the items of a history.

Idea: one item of a history is reason enough; a mean over all of it drowns an interest among others. Products are exact
(`exact`), so that ways of computing them differ in time alone. Invariant: an item that the history has twice counts
twice; a history shorter than `count` is used whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trsr_lite.signals.exact import UNIT, Whole
from trsr_lite.signals.signal import Numbers
from trsr_lite.signals.word_vectors import WordRows

TOP = 3
DENSE = 256  # words that are multiplied as a matrix, the others by their lists of items
SMALL = 20_000  # products of single words below which no matrix is made
Products = npt.NDArray[np.float32]


def of_vectors(history: Whole, candidates: Whole) -> Products:
    """(candidates, history) exact products."""
    return np.asarray(candidates.astype(np.float32) @ history.astype(np.float32).T)


def of_words(history: WordRows, candidates: WordRows, size: int) -> Products:
    """(candidates, history) exact products of sparse vectors over `size` words."""
    had, asked = (np.bincount(rows.words, minlength=size) for rows in (history, candidates))
    work = had * asked
    products = np.zeros((candidates.count, history.count), np.float32)
    frequent = np.zeros(0, np.int64)
    if work.sum() > SMALL:
        frequent = np.argpartition(work, -min(DENSE, size))[-min(DENSE, size) :]
        place = np.full(size, -1, np.int64)
        place[frequent] = np.arange(len(frequent))
        products += _dense(candidates, place, len(frequent)) @ _dense(history, place, len(frequent)).T
        had[frequent] = 0
    if (had * asked).any():
        products += _sparse(history, candidates, had)
    return products


def top_mean(products: Products, count: int = TOP) -> Numbers:
    """(candidates,) the mean of each row's `count` highest products, as cosines; there must be a history."""
    left = products.copy()
    rows = np.arange(len(left))
    total = np.zeros(len(left))
    most = min(count, left.shape[1])
    for _ in range(most):
        best = left.argmax(axis=1)
        total += left[rows, best]
        left[rows, best] = -np.inf
    return np.asarray(total * (float(UNIT) / most), np.float32)


def _dense(rows: WordRows, place: npt.NDArray[np.int64], width: int) -> Products:
    columns = place[rows.words]
    kept = columns >= 0
    matrix = np.zeros((rows.count, width), np.float32)
    matrix[rows.rows[kept], columns[kept]] = rows.weights[kept]
    return matrix


def _sparse(history: WordRows, candidates: WordRows, had: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Products over the words that `had` counts in the history: each meets its list of the history's items."""
    kept = np.flatnonzero(had[history.words] > 0)
    order = kept[np.argsort(history.words[kept], kind="stable")]  # by word
    starts = np.cumsum(had) - had
    times = had[candidates.words]
    entries = np.repeat(np.arange(len(times)), times)
    within = np.arange(len(entries)) - np.repeat(np.cumsum(times) - times, times)
    met = order[starts[candidates.words[entries]] + within]
    weights = candidates.weights[entries].astype(np.float64) * history.weights[met]
    places = candidates.rows[entries] * history.count + history.rows[met]
    found = np.bincount(places, weights=weights, minlength=candidates.count * history.count)
    return np.asarray(found.reshape(candidates.count, history.count), np.float64)
