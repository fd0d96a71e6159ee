"""`trsr-lite bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trsr_lite.cli import options


@click.command("bench")
@click.argument("new", required=False, metavar="[NEW]")
@options.model
@click.option("--quick", is_flag=True, help="Fewer rounds: sooner, and less sure.")
@click.option(
    "--compare", "old", metavar="OLD", help="Compare with OLD, a file of --json: a fresh run, or the file NEW."
)
@options.machine
@options.data_dir
@options.as_json
def command(new: str | None, old: str | None, quick: bool, as_json: bool, **chosen: Any) -> None:
    """Measure how fast a model is on this machine, and say what helps.

    Loading, prefill, decoding, scoring, summaries, `recommend`, memory and, where it can be read, energy; a few minutes
    for a small model. Your cache is left alone. `--json > FILE` keeps the figures; `--compare FILE` compares with them.
    """
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
            options=EngineOptions(chosen["threads"], chosen["gpu_layers"], chosen["ctx_size"]),
            data_dir=chosen["data_dir"],
            offline=chosen["offline"],
            quick=quick,
            progress=progress,
        )
