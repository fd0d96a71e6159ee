"""The weights of a fusion, learned from lists whose right answers are known.

Idea: weights of 0 or more maximize the likelihood of the user's items under a softmax over each list. This is the
listwise loss of ListNet (Cao et al., ICML 2007). Newton steps solve it, one weight at a time. The problem is convex, so
that the start does not matter. Invariant: a cross-fitted score comes from weights that never saw a list of its user.
The same lists give the same weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.errors import DataError
from trsr_lite.signals.fusion import FARTHEST, NAMES, Fusion, Weight
from trsr_lite.signals.signal import Numbers

PENALTY = 1e-3  # on the square of each weight, against signals that tell two stories of one thing
SWEEPS = 200
CLOSE = 1e-6  # a sweep that moves no weight by more is the last
FOLDS = 5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class JudgedList:
    """One list: `numbers` (candidates,) by signal, `labels` (candidates,) 1 for the user's, and whose it is."""

    numbers: Mapping[str, Numbers]
    labels: Sequence[int]
    user: str = ""


@dataclass(frozen=True)
class Fit:
    """`fusion` has weights from all lists; `scores` (list by list) come from those of the other users' lists."""

    fusion: Fusion
    scores: list[Numbers]


def fit(
    lists: Sequence[JudgedList], names: Sequence[str], *, folds: int = FOLDS, facts: Mapping[str, Any] | None = None
) -> Fit:
    """Learn weights for these signals; raises `DataError` where there is nothing to learn from."""
    useful = [place for place, one in enumerate(lists) if 0 < sum(one.labels) < len(one.labels)]
    if len(useful) < folds:
        raise DataError(
            f"{len(useful)} lists to fit weights on; there must be at least {folds}",
            hint="a list counts where some of its candidates are the user's and some are not",
        )
    fold = np.array([_fold(one.user or str(place), folds) for place, one in enumerate(lists)])
    scores: list[Numbers] = [np.zeros(0, np.float32)] * len(lists)
    for number in range(folds):
        seen = [lists[place] for place in useful if fold[place] != number]
        fusion = _weights(seen, names) if seen else _even(names)
        for place in np.flatnonzero(fold == number).tolist():
            scores[place] = fusion.scores(lists[place].numbers, len(lists[place].labels))
    fusion = _weights([lists[place] for place in useful], names)
    fitted = replace(fusion, fitted_on=dict(facts or {}))
    judged = ([scores[place] for place in useful], [lists[place].labels for place in useful])
    return Fit(calibrated(fitted, *judged), scores)


def calibrated(fusion: Fusion, scores: Sequence[Numbers], labels: Sequence[Sequence[int]]) -> Fusion:
    """The same weights with the temperature and bias that put 0.5 between what users took and what they did not."""
    temperature, bias = _calibration(scores, labels)
    return replace(fusion, temperature=temperature, bias=bias)


def _fold(user: str, folds: int) -> int:
    return int.from_bytes(hashlib.blake2b(user.encode(), digest_size=4).digest(), "little") % folds


def _even(names: Sequence[str]) -> Fusion:
    return Fusion({name: Weight(1.0) for name in names})


def _weights(lists: Sequence[JudgedList], names: Sequence[str]) -> Fusion:
    ordered = [name for name in NAMES if name in names]
    known = [_standardized(np.concatenate([_column(one, name) for one in lists])) for name in ordered]
    found = _descended(np.array([column for _, column in known]), lists)
    weights = [replace(weight, weight=float(one)) for (weight, _), one in zip(known, found, strict=True)]
    return Fusion(dict(zip(ordered, weights, strict=True)))


def _standardized(values: Floats) -> tuple[Weight, Floats]:
    """Mean and scale of the values that are known, and the values as deviations, 0 where nothing is known."""
    known = values[np.isfinite(values)]
    mean, scale = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
    if scale <= 1e-9 * max(1.0, abs(mean)):
        scale, values = 1.0, np.full(len(values), np.nan)
    return Weight(0.0, mean, scale), np.clip(np.nan_to_num((values - mean) / scale, nan=0.0), -FARTHEST, FARTHEST)


def _column(one: JudgedList, name: str) -> Floats:
    if name not in one.numbers:
        return np.full(len(one.labels), np.nan)
    return one.numbers[name].astype(np.float64)


def _descended(columns: Floats, lists: Sequence[JudgedList]) -> Floats:
    """(signals,) from `columns` (signals, candidates): the minimum of the mean listwise loss with its penalty."""
    starts = np.cumsum([0, *(len(one.labels) for one in lists)])[:-1]
    owner = np.repeat(np.arange(len(lists)), [len(one.labels) for one in lists])
    labels = np.concatenate([np.asarray(one.labels, np.float64) / sum(one.labels) for one in lists])
    count = len(starts)
    weights = np.zeros(len(columns))
    scores = np.zeros(columns.shape[1])
    for _ in range(SWEEPS):
        before = weights.copy()
        for place, column in enumerate(columns):
            shares = _softmax(scores, starts, owner)
            expected = np.add.reduceat(shares * column, starts)
            slope = (expected.sum() - labels @ column) / count + 2 * PENALTY * weights[place]
            spread = (shares @ np.square(column) - np.square(expected).sum()) / count + 2 * PENALTY
            moved = max(0.0, weights[place] - float(np.clip(slope / spread, -1.0, 1.0)))
            scores += (moved - weights[place]) * column
            weights[place] = moved
        if np.abs(weights - before).max(initial=0.0) < CLOSE:
            break
    return weights


def _softmax(scores: Floats, starts: npt.NDArray[np.int64], owner: npt.NDArray[np.int64]) -> Floats:
    powers = np.exp(scores - np.maximum.reduceat(scores, starts)[owner])
    return powers / np.add.reduceat(powers, starts)[owner]


def _calibration(scores: Sequence[Numbers], labels: Sequence[Sequence[int]]) -> tuple[float, float]:
    """(temperature, bias) of a logistic regression in which positives and negatives weigh alike."""
    values = np.concatenate(scores).astype(np.float64)
    own = np.concatenate([np.asarray(one, np.float64) for one in labels])
    weight = np.where(own == 1, 0.5 / own.sum(), 0.5 / (1 - own).sum())
    slope, bias = 1.0, -float(weight @ values)
    for _ in range(50):
        chance = 1.0 / (1.0 + np.exp(-np.clip(slope * values + bias, -500, 500)))
        error, curve = weight * (chance - own), weight * chance * (1 - chance)
        gradient = np.array([error @ values + PENALTY * (slope - 1), error.sum()])
        cross = curve @ values
        hessian = np.array([[curve @ np.square(values) + PENALTY, cross], [cross, curve.sum() + 1e-9]])
        step = np.clip(np.linalg.solve(hessian, gradient), -1.0, 1.0)
        slope, bias = max(slope - float(step[0]), 1e-2), bias - float(step[1])
    return 1.0 / slope, bias
