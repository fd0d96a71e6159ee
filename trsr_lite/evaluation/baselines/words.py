"""Baselines over words: TF-IDF by the nearest items or by a decayed sum, a linear SVM for each user, and BM25.

Invariant: the words of all known items are counted once; a list is then scored by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError
from trsr_lite.evaluation.baselines.ranker import Scores, decaying_weights, nearest, required, texts_of
from trsr_lite.records import Item

QUERY_ITEMS = 5  # newest items whose titles BM25 searches for
BACKGROUND = 400  # items that an SVM tells the history from
REGULARIZATION = 0.01  # the SVM's C; as in arxiv-sanity-lite, whose classes are balanced too


class TfIdf:
    """How near a candidate's words are to those of the nearest items of the history: the mean of its best cosines."""

    def __init__(self, items: Iterable[Item]) -> None:
        vectorizer = required("sklearn.feature_extraction.text").TfidfVectorizer(sublinear_tf=True)
        self.rows, texts = texts_of(items)
        try:
            self.vectors = vectorizer.fit_transform(texts)  # (items, words), each row of length 1
        except ValueError as error:
            raise DataError(f"no words to compare in {len(texts):,} items") from error

    def score(self, example: Example) -> Scores:
        """(candidates,) mean of the three highest cosines to the history."""
        return nearest((self.of(example.liked) @ self.of(example.candidates).T).toarray())

    def of(self, items: Iterable[Item]) -> Any:
        """(items, words) their vectors, sparse."""
        return self.vectors[np.array([self.rows[item.id] for item in items], np.int64)]


class DecayedTfIdf(TfIdf):
    """Cosine between a candidate's words and the sum of the history's, older items weighing less.

    The `tfidf` of version 0.1.0, kept so that older figures can be compared.
    """

    def score(self, example: Example) -> Scores:
        """(candidates,) cosines to the weighted sum of the history."""
        profile = self.of(example.liked).T @ decaying_weights(len(example.liked))  # (words,)
        norm = float(np.linalg.norm(profile)) or 1.0
        return np.asarray(self.of(example.candidates) @ profile / norm, np.float64)


class Svm(TfIdf):
    """A linear SVM for each user: the words of the history against those of a fixed sample of items.

    After arxiv-sanity-lite (github.com/karpathy/arxiv-sanity-lite), which ranks papers this way. The sample is drawn
    once by the seed; what the user has is taken out of it.
    """

    def __init__(self, items: Iterable[Item], seed: int = 0) -> None:
        super().__init__(items)
        self._make = required("sklearn.svm").LinearSVC
        order = np.random.default_rng(seed).permutation(len(self.rows))
        self._background = order[:BACKGROUND].tolist()

    def score(self, example: Example) -> Scores:
        """(candidates,) distances from the border; all 0 where there is nothing to tell apart."""
        own = sorted({self.rows[item.id] for item in example.liked})
        others = sorted(set(self._background) - set(own))
        if not own or not others:
            return np.zeros(len(example.candidates))
        model = self._make(C=REGULARIZATION, class_weight="balanced", random_state=0)
        model.fit(self.vectors[[*own, *others]], [1] * len(own) + [0] * len(others))
        return np.asarray(model.decision_function(self.of(example.candidates)), np.float64)


class BM25:
    """A search for the titles of the newest items among all item texts."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._bm25s = required("bm25s")
        self._rows, texts = texts_of(items)
        if not any(tokens := self._tokens(texts)):
            raise DataError(f"no words to search in {len(texts):,} items")
        self._index = self._bm25s.BM25()
        self._index.index(tokens, show_progress=False)

    def score(self, example: Example) -> Scores:
        """(candidates,) BM25 scores of each candidate's text."""
        query = " ".join(item.title for item in example.liked[-QUERY_ITEMS:])
        rows = [self._rows[item.id] for item in example.candidates]
        words = [word for word in self._tokens([query])[0] if word in self._index.vocab_dict]
        if not words:
            return np.zeros(len(rows))
        return np.asarray(self._index.get_scores(words)[rows], np.float64)

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        found = self._bm25s.tokenize(texts, stopwords=None, return_ids=False, show_progress=False)
        return [list(words) for words in found]
