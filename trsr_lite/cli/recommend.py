"""`trsr-lite recommend`."""

from __future__ import annotations

from typing import Any

from trsr_lite.cli import flags, manual, retrieval
from trsr_lite.settings import RankOptions


@manual.command(
    "recommend",
    """Rank candidates for a user, best first.

    The user file holds `history`, oldest first, and `candidates`. Each item needs an `id` and some text, such as a
    `title`. Candidates can also come from a file (--candidates) or from many items (--catalog).

    The first run for a user writes summaries, which takes a while. Later runs reuse them.
    """,
    examples="""
    trsr-lite recommend --user examples/news_reader.json
    trsr-lite recommend --user me.json --candidates new_items.jsonl --top 5
    trsr-lite recommend --user me.json --catalog items.catalog --json
    """,
)
@flags.user
@flags.candidates
@flags.model
@flags.top
@flags.exact
@flags.flag("--explain", is_flag=True, help="Show each summary, and whether it is new or from the cache.")
@retrieval.flags
@flags.settings
@flags.machine
@flags.folders
@flags.as_json
def command(explain: bool, as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session

    rank = flags.taken(RankOptions, chosen)
    user, candidates = session.read_input(chosen)
    with (
        session.interruptible(),
        retrieval.opened(chosen) as asked,
        session.reporting() as progress,
        session.load(chosen, progress) as recommender,
        session.naming(chosen),
    ):
        result = recommender.recommend(user, candidates, k=rank.k, exact=rank.exact, progress=progress, **asked)
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
