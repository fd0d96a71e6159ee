"""What `tune` learns weights from.

Invariant: nothing heavy is imported, so that `--help` is quick.
"""

from __future__ import annotations

from dataclasses import dataclass

from trsr_lite.options import check, option

MARGINS = ("auto", "always", "never")
STATISTICS = ("model", "lists")


@dataclass(frozen=True)
class TuneOptions:
    """The lists of one tuning, and what is learned on them."""

    lists: str = option(
        "Lists to learn from, JSON Lines: users with `candidates` and `positives` (ids of the chosen ones).",
        metavar="FILE",
        heading="Lists",
    )
    margins: str = option(
        "Whether the model scores the lists too, which takes longer: `auto` where its weight counts already.",
        default="auto",
        choices=MARGINS,
        heading="Signals",
    )
    statistics: str = option(
        "Whose frequencies of words count: those of the `model`, where it has some, or those of the `lists`.",
        default="model",
        choices=STATISTICS,
    )

    def __post_init__(self) -> None:
        check(self)
