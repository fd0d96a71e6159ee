"""`trsr-lite inspect`."""

from __future__ import annotations

from typing import Any

import click

from trsr_lite.cli import flags, manual


@manual.command(
    "inspect",
    "Show what a model is: its files, settings, answers and measurements.",
    examples="""
    trsr-lite inspect
    trsr-lite inspect my_bundle --json
    """,
)
@click.argument(
    "named", metavar="[MODEL]", required=False, callback=lambda ctx, _param, given: given or flags.usual_model(ctx)
)
@flags.machine
@flags.folders
@flags.as_json
def command(named: str, as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session, tables

    with (
        session.reporting() as progress,
        session.load({"model": named, **dict.fromkeys(flags.SETTING_NAMES), **chosen}, progress) as recommender,
    ):
        facts = {"signals": None, **recommender.bundle.to_dict(), "models": recommender.describe()}
    if as_json:
        tables.print_json(facts)
        return
    console = tables.console()
    described = facts.pop("models")
    settings, signals = facts.pop("settings"), facts.pop("signals")
    if facts.get("probes"):  # hundreds of token ids, which `--json` has
        facts["probes"] = f"{len(facts['probes'])} texts with the tokens they must become"
    tables.print_facts(f"{facts['name']}", [(name, value) for name, value in facts.items() if name != "name"], console)
    tables.print_facts("Settings", settings.items(), console)
    tables.print_signals(signals, console)
    for role, facts_of_role in described.items():
        tables.print_facts(role.capitalize(), facts_of_role.items(), console)
    session.hint(recommender.bundle.hint)
