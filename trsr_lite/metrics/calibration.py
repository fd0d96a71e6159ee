"""Are scores probabilities? The expected calibration error.

Positives and negatives weigh alike, as in the calibration of a bundle: a score of 0.5 means as likely as not, whatever
the length of the lists.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BINS = 10


def error(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean gap between probability and share of positives, over ten equal bins, weighted by what lies in each.

    `probabilities`, `labels`: (candidates of all lists,). Raises `ValueError` where one of the labels is missing.
    """
    values, own = np.asarray(probabilities, np.float64), np.asarray(labels, np.float64)
    if not 0 < own.sum() < len(own):
        raise ValueError("a calibration error needs candidates of both labels")
    weights = np.where(own == 1, 0.5 / own.sum(), 0.5 / (1 - own).sum())
    places = np.minimum((values * BINS).astype(int), BINS - 1)
    said, found = (np.bincount(places, weights=weights * one, minlength=BINS) for one in (values, own))
    return float(np.abs(said - found).sum())
