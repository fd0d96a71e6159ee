"""What a call returns: a ranking, the summaries behind it, and what it cost.

Invariant: plain data; `to_dict` is the JSON that `trsr-lite recommend --json` prints, and its schema is versioned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trsr_lite.records import Item
from trsr_lite.scoring import Recommendation
from trsr_lite.summarize import NodeText

RESULT_SCHEMA = 1


class Progress(NamedTuple):
    """How far a call is.

    Attributes
    ----------
    stage: `prepare: …`, `fetch …`, `load`, `summarize`, `score`.
    fraction: from 0 to 1.
    rate: tokens a second in this stage so far, loading apart (histories a second in `summaries`); None where it is not
        known.
    """

    stage: str
    fraction: float
    rate: float | None = None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Stats:
    """What a call cost. `seconds` has `load`, `summarize` and `score`."""

    history_items: int = 0
    blocks: int = 0
    summary_calls: int = 0
    summary_cache_hits: int = 0
    prefix_tokens: int = 0
    candidate_tokens: int = 0
    generated_tokens: int = 0
    dropped_items: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, seconds rounded to milliseconds."""
        return {**vars(self), "seconds": {name: round(value, 3) for name, value in self.seconds.items()}}


@dataclass(frozen=True)
class Skipped:
    """What a `budget` left no time for.

    Attributes
    ----------
    blocks: newest complete blocks of the history that the summary does not cover; all where there is none.
    candidates: those that were not scored, in their given order; none of a catalog where no turn came in time, because
        nothing was looked up then.
    """

    blocks: int
    candidates: tuple[Item, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; candidates by their ids."""
        return {"blocks": self.blocks, "candidates": [item.id for item in self.candidates]}


@dataclass(frozen=True)
class Result:
    """A summary, and a ranking where candidates were given.

    Attributes
    ----------
    recommendations: best first; empty for `summarize`.
    nodes: the summaries it was made from, oldest first, each with its `source`.
    hint: what to know before trusting it, or None.
    skipped: what a `budget` left no time for, or None.
    """

    user_id: str
    strategy: str
    summary: str | None
    nodes: tuple[NodeText, ...]
    recommendations: tuple[Recommendation, ...]
    model: Mapping[str, str]
    stats: Stats
    hint: str | None = None
    skipped: Skipped | None = None

    def to_dict(self, *, explain: bool = False) -> dict[str, Any]:
        """The JSON of `trsr-lite recommend --json`; `explain` adds the block summaries."""
        data: dict[str, Any] = {
            "schema": RESULT_SCHEMA,
            "user_id": self.user_id,
            "strategy": self.strategy,
            "summary": self.summary,
            "model": dict(self.model),
        }
        if self.recommendations:
            data["recommendations"] = [
                {
                    "rank": entry.rank,
                    "id": entry.item.id,
                    "title": entry.item.title,
                    "score": entry.score,
                    "margin": entry.margin,
                    "label_mass": entry.label_mass,
                    "tied": entry.tied,
                }
                for entry in self.recommendations
            ]
        if explain:
            data["summaries"] = [
                {"kind": node.kind, "source": node.source, "text": node.text, "items": [item.id for item in node.items]}
                for node in self.nodes
            ]
        if self.skipped:
            data["skipped"] = self.skipped.to_dict()
        data["stats"] = self.stats.to_dict()
        return data
