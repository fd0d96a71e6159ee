"""`trsr-lite summarize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.errors import SettingsError


@manual.command(
    "summarize",
    """Summarize what a user likes.

    Summaries are kept: a second run writes only those that new items need.
    """,
    examples="""
    trsr-lite summarize --user examples/news_reader.json
    trsr-lite summarize --user me.json --show-blocks
    """,
)
@flags.user
@flags.model
@flags.flag("--show-blocks", is_flag=True, help="Show each summary, and whether it is new or from the cache.")
@flags.flag(
    "--pairs-out",
    metavar="FILE",
    help="Append training pairs of all users in the file, for `train --role summarizer`.",
)
@flags.settings
@flags.machine
@flags.folders
@flags.as_json
def command(show_blocks: bool, pairs_out: str | None, as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session

    if pairs_out:
        if show_blocks:
            raise SettingsError("`--show-blocks` changes nothing with `--pairs-out`", hint="remove it")
        _write_pairs(pairs_out, as_json, chosen)
        return
    user, _ = session.read_input(chosen)
    with (
        session.interruptible(),
        session.reporting() as progress,
        session.load(chosen, progress) as recommender,
        session.naming(chosen),
    ):
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


def _write_pairs(path: str, as_json: bool, chosen: dict[str, Any]) -> None:
    from trsr_lite.cli import session, tables
    from trsr_lite.recommender.user_files import read_users
    from trsr_lite.training import pairs

    users = list(
        read_users(
            chosen["user_file"],
            user_id=chosen["user_id"],
            sort_history=chosen["sort_history"],
            columns=chosen["columns"],
        )
    )
    pairs.append([], Path(path))  # a file that cannot be written is said before anything is made
    with (
        session.interruptible(),
        session.reporting() as progress,
        session.load(chosen, progress) as recommender,
        session.naming(chosen),
    ):
        found = recommender.summaries(
            [user.history for user in users], user_ids=[user.user_id for user in users], progress=progress
        )
    nodes = (node for summary in found for node in summary.nodes)
    written = pairs.append(pairs.of(nodes, domain=recommender.settings.domain), Path(path))
    if as_json:
        tables.print_json({"schema": 1, "users": len(users), "pairs": written, "file": path})
    else:
        click.echo(f"{written} pairs of {len(users)} users appended to {path}")
