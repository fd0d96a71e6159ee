"""`trsr-lite prompt`."""

from __future__ import annotations

from typing import Any

import click

from trsr_lite.cli import flags, manual


@manual.command(
    "prompt",
    """Show exactly what the models see.

    It prints the summarizer's prompts, and the recommender's prompt with each candidate. No weights are loaded.
    """,
    examples="""
    trsr-lite prompt --user examples/news_reader.json
    trsr-lite prompt --user me.json --attributes title,category
    """,
)
@flags.user
@flags.candidates
@flags.model
@flags.settings
@flags.machine
@flags.folders
@flags.as_json
def command(as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session, tables
    from trsr_lite.prompts.attributes import hidden
    from trsr_lite.prompts.templates import fold

    user, candidates = session.read_input(chosen)
    with session.reporting() as progress, session.load(chosen, progress) as recommender, session.naming(chosen):
        shown = recommender.prompt(user, candidates)
    items = (*user.history, *(user.candidates if candidates is None else candidates))
    names = dict.fromkeys(name for item in items for name in hidden(item.attributes))
    left_out = [] if recommender.settings.attributes else list(names)
    if as_json:
        prompts = [{"name": name, "text": text} for name, text in shown]
        tables.print_json({"schema": 1, "prompts": prompts, "not_shown": left_out})
        return
    for name, text in shown:
        click.secho(f"── {fold(name)} ──", bold=True)
        click.echo(text)
    if left_out:
        said = ", ".join(map(fold, left_out))
        click.echo(f"not shown, because it is no text for people: {said}", err=True)
        session.hint("name what the model shall see with `--attributes`")
