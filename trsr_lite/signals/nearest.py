"""The mean of a candidate's highest products with the items of a history.

Idea: one item of a history is reason enough; a mean over all of it drowns an interest among others. Products are exact
(`exact`), so that ways of computing them differ in time alone. Invariant: an item that the history has twice counts
twice; a history shorter than `count` is used whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trsr_lite.signals.evidence import Evidence
from trsr_lite.signals.exact import UNIT, Whole
from trsr_lite.signals.ragged import Places, Rows
from trsr_lite.signals.signal import Numbers

TOP = 3
DENSE = 256  # words that are multiplied as a matrix, the others by their lists of items
SMALL = 20_000  # products of single words below which no matrix is made
Products = npt.NDArray[np.float32]


def of_vectors(history: Whole, candidates: Whole) -> Products:
    """(candidates, history) exact products."""
    return np.asarray(candidates.astype(np.float32) @ history.astype(np.float32).T)


def of_words(history: Rows, candidates: Rows, size: int) -> Products:
    """(candidates, history) exact products of sparse vectors over `size` words."""
    had, asked = (np.bincount(rows.columns, minlength=size) for rows in (history, candidates))
    work = had * asked
    if work.sum() <= SMALL:
        return _sparse(history, candidates, had).astype(np.float32)
    frequent = np.argpartition(work, -min(DENSE, size))[-min(DENSE, size) :]
    place = np.full(size, -1, np.int64)
    place[frequent] = np.arange(len(frequent))
    products = np.asarray(_dense(candidates, place, len(frequent)) @ _dense(history, place, len(frequent)).T)
    had[frequent] = 0
    return products + _sparse(history, candidates, had).astype(np.float32)


def top_mean(products: Products, count: int = TOP) -> Numbers:
    """(candidates,) the mean of each row's `count` highest products, as cosines; spends what it is given."""
    most = min(count, products.shape[1])
    total = np.zeros(len(products))
    for place in highest(products, most)[1].T:
        total += place
    return np.asarray(total * (float(UNIT) / most), np.float32)


def pooled(products: Products, kept: npt.NDArray[np.bool_], evidence: Evidence | None) -> Numbers:
    """(candidates,) `top_mean` over the kept columns that are liked, less that of those that speak against.

    Spends what it is given, unless some columns are left out.
    """
    if evidence is None:
        return top_mean(products if kept.all() else products[:, kept])
    liked, against = kept & evidence.liked, kept & (evidence.against > 0)
    found = top_mean(products[:, liked]) if liked.any() else np.zeros(len(products), np.float32)
    if against.any():
        unlike = products[:, against] * evidence.against[against].astype(np.float32)
        found = found - top_mean(unlike, 1)
    return found


def highest(products: Products, count: int) -> tuple[Places, Products]:
    """(candidates, count) columns and values of each row's highest products, falling; spends what it is given.

    Of equal ones the first column comes first.
    """
    rows = np.arange(len(products))
    columns, values = np.empty((len(products), count), np.int64), np.empty((len(products), count), np.float32)
    for place in range(count):
        columns[:, place] = best = products.argmax(axis=1)
        values[:, place] = products[rows, best]
        products[rows, best] = -np.inf
    return columns, values


def _dense(rows: Rows, place: Places, width: int) -> Products:
    columns = place[rows.columns]
    kept = np.flatnonzero(columns >= 0)
    matrix = np.zeros(rows.count * width, np.float32)
    matrix[rows.rows[kept] * width + columns[kept]] = rows.weights[kept].astype(np.float32)
    return matrix.reshape(rows.count, width)


def _sparse(history: Rows, candidates: Rows, had: Places) -> npt.NDArray[np.float64]:
    """Products over the words that `had` counts in the history: each meets its list of the history's items."""
    kept = np.flatnonzero(had[history.columns] > 0)
    order = kept[np.argsort(history.columns[kept], kind="stable")]  # by word
    asked = np.flatnonzero(had[candidates.columns] > 0)
    times = had[candidates.columns[asked]]
    entries = np.repeat(asked, times)
    starts = np.repeat((np.cumsum(had) - had)[candidates.columns[asked]] - np.cumsum(times) + times, times)
    met = order[starts + np.arange(len(entries))]
    weights = candidates.weights[entries] * history.weights[met]
    places = candidates.rows[entries] * history.count + history.rows[met]
    found = np.bincount(places, weights=weights, minlength=candidates.count * history.count)
    return np.asarray(found.reshape(candidates.count, history.count), np.float64)
