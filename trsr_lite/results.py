"""What a call returns: a ranking, the summaries behind it, and what it cost.

Invariant: plain data; `to_dict` is the JSON that `trsr-lite recommend --json` prints, and its schema is versioned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

from trsr_lite.records import Item

RESULT_SCHEMA = 1


@dataclass(frozen=True)
class Recommendation:
    """One ranked candidate.

    Attributes
    ----------
    rank: from 1.
    item: the candidate.
    score: calibrated probability that the user would choose it.
    margin: what it is ranked by, float32: the model's logit(yes) − logit(no), or the sum of `parts` where signals are
        fused.
    label_mass: probability that the model answers yes or no at all; low values mean it did not understand the question.
        None where the model did not score it.
    tied: a neighbour's margin is within the noise floor, so that their order means nothing.
    parts: what each signal adds to the margin; they add up to it exactly. `model` is among them where it scored it.
    because: ids of the history items nearest to it, nearest first.
    """

    rank: int
    item: Item
    score: float
    margin: float
    label_mass: float | None
    tied: bool
    parts: Mapping[str, float] = field(default_factory=dict)
    because: tuple[str, ...] = ()


OnTokens = Callable[[int, float], None]
"""Called with the tokens done so far, and about how many all that is missing will take."""


@dataclass(frozen=True)
class SummaryNode:
    """A node's text, whether it came from the cache or was generated now (`source`: `cache` or `fresh`), and what it
    was made from: `items`, and `notes`, the texts of its children.
    """

    kind: str
    text: str
    source: str
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A user's preference summary; `text` is None where no block is complete or the strategy is `none`.

    Attributes
    ----------
    nodes: every node of the plan whose text is known, oldest and deepest first; the last one is `text`.
    calls: summaries generated for this user; a node shared by several users counts for the first.
    hits: nodes found in the cache.
    """

    text: str | None = None
    nodes: tuple[SummaryNode, ...] = ()
    calls: int = 0
    hits: int = 0


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

OnPartial = Callable[["Result"], None]
"""Called with a result that is true and not final: candidates that are ranked so far, and what was skipped by then."""

OnEvent = Callable[[Mapping[str, Any]], None]
"""Called with `data` (what was read, in lines), then, in training, with each line of the log: `step` and `loss`, or
`step` and validation metrics."""


@dataclass(frozen=True)
class Stats:
    """What a call cost.

    Attributes
    ----------
    prefix_tokens, candidate_tokens: of what all candidates share, and of the candidates that the model judges.
    evaluated_tokens: of both that were evaluated now; the rest was stored, or still in memory.
    margin_cache_hits: candidates whose margin was stored.
    seconds: of `load`, `summarize` and `score`.
    """

    history_items: int = 0
    blocks: int = 0
    summary_calls: int = 0
    summary_cache_hits: int = 0
    prefix_tokens: int = 0
    candidate_tokens: int = 0
    evaluated_tokens: int = 0
    margin_cache_hits: int = 0
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
    candidates: those that the model did not score, in their given order. With a fusion they are ranked by the other
        signals, without one they are not ranked. None of a catalog where no turn came in time, because nothing was
        looked up then.
    """

    blocks: int
    candidates: tuple[Item, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; candidates by their ids."""
        return {"blocks": self.blocks, "candidates": [item.id for item in self.candidates]}


@dataclass(frozen=True)
class Result(Sequence[Recommendation]):
    """A ranking, best first, and the summary that it was made with.

    It is a sequence of its recommendations: `len(result)`, `result[0].item.title`, `for entry in result[:3]`. A result
    counts as true also without any, because its summary is one. Two are equal where all their parts are.

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
    nodes: tuple[SummaryNode, ...]
    recommendations: tuple[Recommendation, ...]
    model: Mapping[str, str]
    stats: Stats
    hint: str | None = None
    skipped: Skipped | None = None

    def __len__(self) -> int:
        return len(self.recommendations)

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, place: int) -> Recommendation: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Recommendation, ...]: ...
    def __getitem__(self, place: int | slice) -> Recommendation | tuple[Recommendation, ...]:
        """The recommendation at a place, from 0; those of a slice as a tuple."""
        return self.recommendations[place]

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.recommendations)

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
                    "parts": dict(entry.parts),
                    "because": list(entry.because),
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
