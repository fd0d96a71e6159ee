"""`trsr-lite push`."""

from __future__ import annotations

from pathlib import Path

import click

from trsr_lite.cli import options


@click.command("push")
@click.argument("bundle")
@click.argument("repository")
@click.option("--private", is_flag=True, help="Only you may see it; refused if it exists and is public.")
@options.as_json
def command(bundle: str, repository: str, private: bool, as_json: bool) -> None:
    """Publish the folder BUNDLE as REPOSITORY (user/repo) on the Hugging Face hub and print its address.

    Everything in the folder must belong to the bundle. Log in with `hf auth login`, or set HF_TOKEN.
    """
    from trsr_lite.cli import session, tables
    from trsr_lite.models import push

    with session.reporting():
        address = push.push(Path(bundle), repository, private=private)
    if as_json:
        tables.print_json({"schema": 1, "url": address})
    else:
        click.echo(address)
