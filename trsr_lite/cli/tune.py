"""`trsr-lite tune`."""

from __future__ import annotations

from typing import Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.evaluation.tune_options import TuneOptions


@manual.command(
    "tune",
    """Learn the weights of signals from clicks.

    Your own clicks say what each signal of a model counts, and a new bundle keeps it. It takes seconds on a
    laptop and needs no torch: the language model stays as it is. Each list shows what a person could choose from and
    what they chose. 200 lists are a good start.

    The figures are of people whom the weights never saw. With the model's margins it takes as long as scoring all
    lists: --margins never ranks by the other signals alone.
    """,
    examples="""
    trsr-lite tune smollm2 --lists lists.jsonl --output bundles/mine --margins never
    trsr-lite tune my_bundle --lists lists.jsonl --output bundles/mine --statistics lists --json
    """,
)
@click.argument(
    "named", metavar="[MODEL]", required=False, callback=lambda ctx, _param, given: given or flags.usual_model(ctx)
)
@flags.fields(TuneOptions)
@flags.flag("--output", required=True, metavar="BUNDLE", help="Folder of the new bundle.", heading="Output")
@flags.flag("--force", is_flag=True, help="Replace the bundle in it.", heading="Output")
@flags.settings
@flags.machine
@flags.folders
@flags.as_json
def command(named: str, output: str, force: bool, as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session, tables
    from trsr_lite.evaluation.tune import tune

    own = {name: chosen.pop(name) for name in ("cache_dir", "data_dir", "offline")}
    machine = flags.taken(EngineOptions, chosen)
    with session.interruptible(), session.reporting() as progress:
        found = tune(named, output, force=force, machine=machine, progress=progress, **own, **flags.given(chosen))
    if as_json:
        tables.print_json(found.to_dict())
    else:
        tables.print_tuning(found.to_dict(), tables.console())
