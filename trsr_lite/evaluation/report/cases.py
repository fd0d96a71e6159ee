"""The lists that people look at: a history, the summary of it, and where the user's items went.

Invariant: only a list's number says whose it is, and what is the user's own is said in words.
"""

from __future__ import annotations

from trsr_lite.evaluation.evaluate import Evaluation
from trsr_lite.evaluation.outcomes import ListOutcome
from trsr_lite.evaluation.report import ranks
from trsr_lite.evaluation.report.content import Case, Cell, ShownItem, Table
from trsr_lite.evaluation.report.ranks import RankRange
from trsr_lite.prompts.templates import fold
from trsr_lite.records import Item

HISTORY, TOP = 10, 5  # how many of each are shown
LONGEST = 200  # characters of an item's title; some are whole descriptions


def cases(evaluation: Evaluation, first: str) -> list[Case]:
    """Some lists, each with what the first system saw and where every system put the user's items."""
    return [_case(evaluation, first, index) for index in ranks.choose(evaluation.outcomes[first])]


def _case(evaluation: Evaluation, first: str, index: int) -> Case:
    outcome = evaluation.outcomes[first][index]
    example, found = evaluation.lists.examples[outcome.number], ranks.of_candidates(outcome)
    size = len(example.candidates)
    place = f"place {ranks.of_own_items(outcome)[0]} of {size}" if found else "not ranked"
    rows = [(name, [_own_ranks(outcomes[index])]) for name, outcomes in evaluation.outcomes.items()]
    return Case(
        heading=f"List {outcome.number}: {place}",
        history=[_title(item) for item in example.history[-HISTORY:]],
        history_items=len(example.history),
        system=first,
        summary=outcome.summary or "",
        own=[_title(item) for item, own in zip(example.candidates, example.labels, strict=True) if own],
        top=[
            _shown(example.candidates[which], example.labels[which], found[which]) for which in ranks.top(outcome, TOP)
        ],
        failure=_own_ranks(outcome).text if outcome.scores is None else "",
        ranks=Table("Where every system put it", ["System", f"Place of {size}"], rows),
    )


def _own_ranks(outcome: ListOutcome) -> Cell:
    """Where the user's items stand, or why nobody knows."""
    if outcome.scores is None:
        return Cell(f"not ranked: {outcome.error or ''}", long=True)
    return Cell(", ".join(map(str, ranks.of_own_items(outcome))))


def _shown(item: Item, own: int, rank: RankRange) -> ShownItem:
    return ShownItem(rank.first, _title(item), str(rank) if rank.first != rank.last else "", bool(own))


def _title(item: Item) -> str:
    title = fold(item.title) or item.id
    return title if len(title) <= LONGEST else f"{title[:LONGEST]}…"
