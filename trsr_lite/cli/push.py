"""`trsr-lite push`."""

from __future__ import annotations

from pathlib import Path

import click

from trsr_lite.cli import flags, manual


@manual.command(
    "push",
    """Publish a bundle on the Hugging Face hub, and print its address.

    Log in first with `hf auth login`, or set HF_TOKEN. The folder may hold nothing but the bundle.
    """,
    examples="""
    trsr-lite push my_bundle user/my-bundle --private
    """,
)
@click.argument("bundle")
@click.argument("repository")
@flags.flag("--private", is_flag=True, help="Only you may see it. An existing public repository is refused.")
@flags.as_json
def command(bundle: str, repository: str, private: bool, as_json: bool) -> None:
    from trsr_lite.cli import session, tables
    from trsr_lite.models import push

    with session.reporting():
        address = push.push(Path(bundle), repository, private=private)
    if as_json:
        tables.print_json({"schema": 1, "url": address})
    else:
        click.echo(address)
