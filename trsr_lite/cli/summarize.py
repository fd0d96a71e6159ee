"""`trsr-lite summarize`."""

from __future__ import annotations

from typing import Any

import click

from trsr_lite.cli import options


@click.command("summarize")
@options.user
@options.model
@options.settings
@click.option("--show-blocks", is_flag=True, help="Show every summary and whether it was cached or made now.")
@options.machine
@options.folders
@options.as_json
def command(show_blocks: bool, as_json: bool, **chosen: Any) -> None:
    """Summarize what a user likes; only what the cache lacks is generated."""
    from trsr_lite.cli import session

    user, _ = session.read_input(chosen)
    with session.reporting() as progress, session.load(chosen, progress) as recommender, session.naming(chosen):
        result = recommender.summarize(user, progress=progress)
    from trsr_lite.cli import tables

    if as_json:
        tables.print_json(result.to_dict(explain=show_blocks))
    else:
        console = tables.console()
        tables.print_summary(result, console)
        if show_blocks:
            tables.print_summaries(result, console)
            tables.print_stats(result, console)
