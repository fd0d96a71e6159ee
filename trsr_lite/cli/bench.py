"""`trsr-lite bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trsr_lite.cli import flags, manual


@manual.command(
    "bench",
    """Measure how fast a model is on this machine, and say what helps.

    It measures loading, reading, writing, scoring, summaries, memory and, where it can, energy. A small model takes a
    few minutes. Your stored summaries are not touched.
    """,
    examples="""
    trsr-lite bench --quick
    trsr-lite bench --json > before.json
    trsr-lite bench --compare before.json
    """,
)
@click.argument("new", required=False, metavar="[NEW]")
@flags.model
@flags.flag("--quick", is_flag=True, help="Measure fewer rounds: faster, less certain.")
@flags.flag(
    "--compare",
    "old",
    metavar="OLD",
    help="Compare with OLD, the output of an earlier `bench --json`. NEW is such a file too; without it, measure now.",
)
@flags.machine
@flags.data_dir
@flags.as_json
def command(new: str | None, old: str | None, quick: bool, as_json: bool, **chosen: Any) -> None:
    if new and not old:
        raise click.UsageError("NEW is for `--compare OLD NEW`")
    from trsr_lite.bench.comparison import compare
    from trsr_lite.bench.figures import read
    from trsr_lite.cli import bench_tables, tables

    before = read(Path(old)) if old else None
    report = read(Path(new)) if new else _measured(chosen, quick)
    compared = compare(before, report) if before else None
    if as_json:
        fresh = {} if new else {"new": report}
        tables.print_json({**compared, **fresh} if compared else report)
        return
    console = tables.console()
    if not new:
        bench_tables.print_report(report, console)
    if compared:
        bench_tables.print_comparison(compared, console)


def _measured(chosen: dict[str, Any], quick: bool) -> dict[str, Any]:
    from trsr_lite.bench.measurements import run
    from trsr_lite.cli import session
    from trsr_lite.engine.interface import EngineOptions

    with session.reporting() as progress:
        return run(
            chosen["model"],
            options=flags.taken(EngineOptions, chosen),
            data_dir=chosen["data_dir"],
            offline=chosen["offline"],
            quick=quick,
            progress=progress,
        )
