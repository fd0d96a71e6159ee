"""`trsr-lite pull`."""

from __future__ import annotations

import click

from trsr_lite.cli import options


@click.command("pull")
@click.argument("reference")
@options.offline
@options.as_json
def command(reference: str, offline: bool, as_json: bool) -> None:
    """Fetch REFERENCE from the Hugging Face hub, once, and print where it is.

    REFERENCE is user/repo of a bundle, or user/repo:TYPE for one GGUF file, such as :Q8_0; @revision names a branch,
    tag or commit. What the hub's cache on this machine already has is not asked for again, unless this trsr-lite
    cannot use it.
    """
    from trsr_lite.cli import session, tables
    from trsr_lite.errors import SettingsError
    from trsr_lite.models import hub
    from trsr_lite.models.reference import parse

    meant = parse(reference)
    if meant is None:
        raise SettingsError(
            f"{reference!r} is not a repository on the hub",
            hint="write `user/repo[:TYPE][@revision]`, and no local path",
        )
    with session.reporting() as progress:
        path = hub.pull(meant, offline=offline, renew=True, progress=progress)
    if as_json:
        tables.print_json({"schema": 1, "reference": str(meant), "path": str(path)})
    else:
        click.echo(path)
