"""`trsr-lite pull`."""

from __future__ import annotations

import click

from trsr_lite.cli import flags, manual


@manual.command(
    "pull",
    """Fetch a model from the Hugging Face hub, and print where it is.

    REFERENCE is a name of `trsr-lite models`, user/repo of a bundle, or user/repo:TYPE for one GGUF file, such as
    :Q8_0. Add @revision for a branch, tag or commit. Downloads are kept in the hub's cache; what is there is not
    fetched again.
    """,
    examples="""
    trsr-lite pull qwen2.5-0.5b
    trsr-lite pull user/my-bundle
    trsr-lite pull user/some-model-gguf:Q8_0
    """,
)
@click.argument("reference")
@flags.offline
@flags.as_json
def command(reference: str, offline: bool, as_json: bool) -> None:
    from trsr_lite.cli import session, tables
    from trsr_lite.errors import SettingsError
    from trsr_lite.models import hub, known
    from trsr_lite.models.reference import parse

    if reference.lower() in known.models() and known.reference(reference) is None:
        raise SettingsError(
            f"{reference} comes with the package", hint="just use it; `doctor` says whether it is there"
        )
    meant = parse(known.reference(reference) or reference)
    if meant is None:
        near = known.like(reference)
        raise SettingsError(
            f"{reference!r} is not a repository on the hub",
            hint=f"did you mean `{near}`?" if near else "write `user/repo[:TYPE][@revision]`, and no local path",
        )
    with session.reporting() as progress:
        path = hub.pull(meant, offline=offline, renew=True, progress=progress)
    if as_json:
        tables.print_json({"schema": 1, "reference": str(meant), "path": str(path)})
    else:
        click.echo(path)
