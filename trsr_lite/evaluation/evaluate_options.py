"""What an evaluation ranks, with which systems, and what it studies.

Invariant: nothing heavy is imported, so that `--help` is quick.
"""

from __future__ import annotations

from dataclasses import dataclass

from trsr_lite.errors import SettingsError
from trsr_lite.options import again, check, option
from trsr_lite.settings import RankOptions

PARTS = ("test", "validation")
BASELINES = ("random", "popularity", "attributes", "tfidf", "bm25", "svm", "tokens", "rrf", "fused")
ALL_BASELINES = (*BASELINES, "tfidf-decay", "embeddings", "embeddings-decay")  # the last three run when they are named
STUDIES = ("strategy", "evidence", "recent", "blocks", "length", "tuning", "robustness")


@dataclass(frozen=True)
class EvaluateOptions:
    """The lists and the systems of one evaluation; the first model is what the others are compared with."""

    models: tuple[str, ...] = option(
        "A bundle, a .gguf file, user/repo[:TYPE], smollm2, or a training run. Repeat it to compare models.",
        default=("smollm2",),
        metavar="MODEL",
        flag="model",
        short="-m",
        repeat=True,
        heading="Systems",
    )
    untrained: bool = option("Rank with the base of each run too, as it was before training.", default=False)
    baselines: tuple[str, ...] = option(
        f"Simple systems to compare with, from {', '.join(ALL_BASELINES)}; '' for none.",
        default=BASELINES,
        metavar="A,B,…",
    )
    scores: tuple[str, ...] = option(
        "Scores of another program for the same lists, JSON Lines. Repeat it for several files.",
        default=(),
        metavar="FILE",
        repeat=True,
    )
    exact: bool = again(RankOptions, "exact")
    lists: str | None = option(
        "Your own lists, JSON Lines: users with `candidates` and `positives` (ids of the chosen ones).",
        default=None,
        metavar="FILE",
        heading="Lists",
    )
    part: str = option("Held-out users to rank for.", default="test", choices=PARTS)
    max_users: int | None = option("Most lists to rank; the seed chooses them.", default=None, at_least=1, unset="all")
    ablations: tuple[str, ...] = option(
        f"Studies to run as well, from {', '.join(STUDIES)}; or `all`.",
        default=(),
        metavar="A,B,…",
        heading="Studies",
    )
    retrieve: int | None = option(
        "Count how often the user's item is among the first N that a catalog finds.",
        default=None,
        at_least=1,
        metavar="N",
    )
    catalog: str | None = option(
        "Catalog for `--retrieve`.", default=None, unset="the items of the data set", metavar="FILE"
    )

    def __post_init__(self) -> None:
        if not self.models:
            raise SettingsError("models is empty; at least one is needed")
        check(self)
