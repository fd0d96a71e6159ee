"""From the name of a baseline to the baseline.

Invariant: a name and its version are one way of scoring; the version rises when a name scores otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trsr_lite.errors import SettingsError
from trsr_lite.evaluation.baselines.embeddings import DecayedEmbeddings, Embeddings
from trsr_lite.evaluation.baselines.materials import Materials
from trsr_lite.evaluation.baselines.rank_fusion import RankFusion
from trsr_lite.evaluation.baselines.ranker import Ranker
from trsr_lite.evaluation.baselines.textless import Attributes, Popularity, Random
from trsr_lite.evaluation.baselines.tokens import Tokens
from trsr_lite.evaluation.baselines.words import BM25, DecayedTfIdf, Svm, TfIdf
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES

VERSIONS = {"tfidf": 2, "embeddings": 2}  # 1 for the others; 1 of these is `tfidf-decay` and `embeddings-decay` now
OF_TOKENS = ("tokens", "rrf")  # what a model's tokenizer and embeddings decide
FUSED = ("attributes", "tfidf", "svm")  # what `rrf` fuses, with `tokens` where they are: each reads another side


def make(name: str, of: Materials) -> Ranker:
    """A baseline by name; raises `SettingsError` where it lacks what it needs."""
    if name not in _MAKERS:
        raise SettingsError(f"there is no baseline {name!r}", hint=f"choose from {', '.join(ALL_BASELINES)}")
    return _MAKERS[name](of)


def _popularity(of: Materials) -> Ranker:
    if of.counts is None:
        raise SettingsError("popularity needs training users, which a file of lists does not have")
    return Popularity(of.counts)


def _tokens(of: Materials) -> Ranker:
    if of.tokens is None:
        raise SettingsError("tokens needs a model whose embeddings it reads", hint="give a model with `-m`")
    return Tokens(of.signals)


def _fused_ranks(of: Materials) -> Ranker:
    return RankFusion([make(name, of) for name in (*FUSED, *["tokens"] * (of.tokens is not None))])


_MAKERS: Mapping[str, Callable[[Materials], Ranker]] = {
    "random": lambda of: Random(of.seed),
    "popularity": _popularity,
    "attributes": lambda of: Attributes(of.items),
    "tfidf": lambda of: TfIdf(of.items),
    "tfidf-decay": lambda of: DecayedTfIdf(of.items),
    "bm25": lambda of: BM25(of.items),
    "svm": lambda of: Svm(of.items, of.seed),
    "tokens": _tokens,
    "rrf": _fused_ranks,
    "embeddings": lambda _: Embeddings(),
    "embeddings-decay": lambda _: DecayedEmbeddings(),
}
