"""`trsr-lite recommend`."""

from __future__ import annotations

from typing import Any

import click

from trsr_lite.cli import options, retrieval


@click.command("recommend")
@options.user
@options.candidates
@retrieval.options
@options.model
@options.top
@options.settings
@click.option("--exact", is_flag=True, help="One candidate at a time: reproducible to the bit, slower.")
@click.option("--explain", is_flag=True, help="Show every summary and whether it was cached or made now.")
@options.machine
@options.folders
@options.as_json
def command(k: int, exact: bool, explain: bool, as_json: bool, **chosen: Any) -> None:
    """Rank candidates for a user, best first.

    The user file holds `history` (oldest first) and, unless --candidates is given, `candidates`; each item needs an
    `id` and some text, such as a `title`. With --catalog the candidates are what it finds for the newest items and the
    summary: a search of the words of titles, seen items and near-duplicates left out.
    """
    from trsr_lite.cli import session

    user, candidates = session.read_input(chosen)
    with (
        session.interruptible(),
        retrieval.opened(chosen) as asked,
        session.reporting() as progress,
        session.load(chosen, progress) as recommender,
        session.naming(chosen),
    ):
        result = recommender.recommend(user, candidates, k=k, exact=exact, progress=progress, **asked)
    from trsr_lite.cli import tables

    if as_json:
        tables.print_json(result.to_dict(explain=explain))
    else:
        console = tables.console()
        tables.print_summary(result, console)
        if explain:
            tables.print_summaries(result, console)
        tables.print_ranking(result, console)
        if explain:
            tables.print_stats(result, console)
    session.hint(result.hint)
