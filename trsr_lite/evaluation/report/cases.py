"""The lists of a report that people look at: a history, what was made of it, and where the user's items went.

Invariant: only a list's number says whose it is, and what is the user's own is said in words.
"""

from __future__ import annotations

from trsr_lite.evaluation.evaluate import Evaluation
from trsr_lite.evaluation.outcomes import ListOutcome
from trsr_lite.evaluation.report import page, places
from trsr_lite.prompts.templates import fold
from trsr_lite.records import Item

HISTORY, TOP = 10, 5  # what is shown of each
LONGEST = 200  # characters of an item's title; some are whole descriptions


def section(evaluation: Evaluation, first: str) -> str:
    """Ten lists, each with what the first system saw and where every system put the user's items."""
    chosen = places.choose(evaluation.outcomes[first])
    return page.section(
        "Cases",
        f"<p>{page.counted(len(chosen), 'list')} of {len(evaluation.lists.examples):,}, chosen to differ and not to be "
        f"typical: of as many places as {page.text(first)} gave the user's item, from the best to the worst. Items of "
        "the same score share their places, such as 4–7.</p>",
        *(_case(evaluation, first, index, is_open=not place) for place, index in enumerate(chosen)),
    )


def _case(evaluation: Evaluation, first: str, index: int, *, is_open: bool) -> str:
    """One list; only its number says whose it is."""
    outcome = evaluation.outcomes[first][index]
    example, stands = evaluation.lists.examples[outcome.number], places.places(outcome)
    found = {name: _own_places(outcomes[index]) for name, outcomes in evaluation.outcomes.items()}
    own = [_item(item) for item, is_own in zip(example.candidates, example.labels, strict=True) if is_own]
    top = [
        _ranked(example.candidates[which], example.labels[which], stands[which]) for which in places.top(outcome, TOP)
    ]
    shown = f", the last {HISTORY} of {len(example.history)}" if len(example.history) > HISTORY else ""
    summary = f"<blockquote><bdi>{page.text(outcome.summary)}</bdi></blockquote>" if outcome.summary else "<p>none</p>"
    parts = [
        f"<h3>History, oldest first{shown}</h3>",
        page.items(map(_item, example.history[-HISTORY:])),
        f"<h3>The summary that {page.text(first)} saw</h3>\n{summary}",
        f"<h3>What the user chose</h3>\n{page.items(own)}",
        f"<h3>The first {TOP} of {page.text(first)}</h3>",
        "<ol>\n{}\n</ol>".format("\n".join(top)) if top else f"<p>{found[first]}</p>",
        page.table(
            "Where every system put it",
            ["System", f"Place of {len(example.candidates)}"],
            [[page.text(name), place] for name, place in found.items()],
        ),
    ]
    place = f"place {_place(places.own_places(outcome)[0])} of {len(example.candidates)}" if stands else "not ranked"
    return page.details(f"List {outcome.number}: {place}", "\n".join(parts), is_open=is_open)


def _own_places(outcome: ListOutcome) -> str:
    """Where the user's items stand, or why nobody knows."""
    if outcome.scores is None:
        return f'<span class="long">not ranked: {page.text(outcome.error or "")}</span>'
    return ", ".join(map(_place, places.own_places(outcome)))


def _place(place: places.Place) -> str:
    first, last = place
    return str(first) if first == last else f"{first}–{last}"


def _ranked(item: Item, own: int, place: places.Place) -> str:
    tied = f" (shares {_place(place)})" if place[0] != place[1] else ""
    shown = f"<strong>{_item(item)}</strong>{tied} ← the user's own" if own else f"{_item(item)}{tied}"
    return f'<li value="{place[0]}">{shown}</li>'


def _item(item: Item) -> str:
    title = fold(item.title) or item.id
    return f"<bdi>{page.text(title if len(title) <= LONGEST else f'{title[:LONGEST]}…')}</bdi>"
