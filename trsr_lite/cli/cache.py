"""`trsr-lite cache`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from trsr_lite.cli import flags, manual

if TYPE_CHECKING:
    from trsr_lite.summaries.store import SummaryStore


@manual.group(
    "cache",
    """Show, count or delete the stored summaries and margins.

    Summaries tell what a user likes, margins what a model said of a candidate. They are stored on this machine only.
    """,
    examples="""
    trsr-lite cache info
    trsr-lite cache clear --user-id alice
    """,
)
def command() -> None:
    pass


@command.command("path", help="Print the file that holds the summaries.", examples="trsr-lite cache path")
@flags.cache_dir
def path(cache_dir: str | None) -> None:
    click.echo(_store(cache_dir).path)


@command.command("info", help="Count summaries, margins, users and bytes.", examples="trsr-lite cache info --json")
@flags.cache_dir
@flags.as_json
def info(cache_dir: str | None, as_json: bool) -> None:
    store = _store(cache_dir)
    facts: dict[str, Any] = {"path": str(store.path), **store.info()}
    store.close()
    from trsr_lite.cli import tables

    if as_json:
        tables.print_json({"schema": 1, **facts})
        return
    for name in ("oldest", "newest"):
        made = facts[name]
        facts[name] = "none" if made is None else datetime.fromtimestamp(made).astimezone().isoformat(" ", "seconds")
    tables.print_facts("Summaries", facts.items(), tables.console())


@command.command(
    "clear",
    help="""Delete all summaries and margins, or those of one user.

    Without --user-id, damaged stores that were set aside are deleted too. With it, summaries that another user's
    history needs as well stay.
    """,
    examples="""
    trsr-lite cache clear --user-id alice
    trsr-lite cache clear
    """,
)
@flags.cache_dir
@flags.flag("--user-id", metavar="ID", help="Delete the summaries of this user only.")
def clear(cache_dir: str | None, user_id: str | None) -> None:
    store = _store(cache_dir)
    gone = store.clear(user_id)
    store.close()
    click.echo(f"{gone} {'summary' if gone == 1 else 'summaries'} deleted")


def _store(cache_dir: str | None) -> SummaryStore:
    from trsr_lite.summaries.store import SummaryStore

    return SummaryStore.at(cache_dir)
