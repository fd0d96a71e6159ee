"""`trsr-lite cache`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from trsr_lite.cli import options

if TYPE_CHECKING:
    from trsr_lite.summaries.store import SummaryStore


@click.group("cache")
def command() -> None:
    """The stored summaries: where they are, how many, and how to forget them."""


@command.command("path")
@options.cache_dir
def path(cache_dir: str | None) -> None:
    """Print the file that holds the summaries."""
    click.echo(_store(cache_dir).path)


@command.command("info")
@options.cache_dir
@options.as_json
def info(cache_dir: str | None, as_json: bool) -> None:
    """Count summaries, users and bytes."""
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


@command.command("clear")
@options.cache_dir
@click.option("--user-id", metavar="ID", help="Forget one user only.")
def clear(cache_dir: str | None, user_id: str | None) -> None:
    """Delete all summaries, and damaged stores that were set aside; or those that only one user's history rests on."""
    store = _store(cache_dir)
    gone = store.clear(user_id)
    store.close()
    click.echo(f"{gone} {'summary' if gone == 1 else 'summaries'} deleted")


def _store(cache_dir: str | None) -> SummaryStore:
    from trsr_lite.summaries.store import SummaryStore

    return SummaryStore.at(cache_dir)
