"""`trsr-lite batch`."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from trsr_lite.batch.batch_options import BatchOptions
from trsr_lite.cli import flags, manual, retrieval
from trsr_lite.io.files import granted
from trsr_lite.options import Option


@manual.command(
    "batch",
    """Summarize and rank for every user of a file.

    The users' file is read once before any model runs. Bad rows and repeated users go to DIR/rejects.jsonl. Each file
    DIR/part-… appears whole. Add --resume to continue a batch that was stopped.
    """,
    examples="""
    trsr-lite batch --users users.jsonl --output results
    trsr-lite batch --users users.parquet --catalog items.catalog --output results --workers 2
    trsr-lite batch --users users.jsonl --output results --resume
    """,
)
@flags.fields(BatchOptions, "users", "output", "summaries_only", "sort_history", "strict", "format", "partition_users")
@flags.flag("--resume", is_flag=True, help="Continue the batch in DIR.")
@flags.model
@flags.fields(BatchOptions, "candidates")
@flags.top
@flags.exact
@retrieval.flags
@flags.settings
@flags.ranking
@flags.flag(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where workers run.",
    heading="Workers",
)
@flags.flag(
    "--workers",
    type=flags.Number(int, Option("", at_least=1)),
    default=1,
    metavar="N",
    help="Workers at once; each uses --threads.  [default: 1]",
    heading="Workers",
)
@flags.flag(
    "--gpus",
    type=flags.Number(float, Option("", at_least=0)),
    default=0.0,
    metavar="N",
    help="GPUs for each Ray worker, such as 0.5.  [default: 0]",
    heading="Workers",
)
@flags.machine
@flags.folders
@flags.cache_size
@flags.as_json
def command(
    resume: bool,
    engine: str,
    workers: int,
    gpus: float,
    as_json: bool,
    **chosen: Any,
) -> None:
    from trsr_lite.batch import run
    from trsr_lite.cli import session, tables

    with retrieval.opened(chosen) as found:
        catalog = {"catalog": str(found["catalog"].path), "retrieve": found["retrieve"]} if found else {}
    batch_options = replace(flags.taken(BatchOptions, chosen), **catalog)
    with (
        session.interruptible("finished files are kept, and `--resume` goes on"),
        session.reporting(log=True) as progress,
    ):
        report = run(
            batch_options,
            partial(_open, _anywhere(chosen)),
            resume=resume,
            engine=engine,
            workers=workers,
            threads=chosen["threads"],
            gpus=gpus,
            progress=progress,
        )
    if as_json:
        tables.print_json({"schema": 1, **report.to_dict()})
    else:
        click.echo("\n".join(report.lines()))
    session.hint(report.hint)


def _open(chosen: dict[str, Any], threads: int | None) -> Any:
    from trsr_lite.cli import session

    return session.load({**chosen, "threads": threads or chosen["threads"], "background": True})


def _anywhere(chosen: dict[str, Any]) -> dict[str, Any]:
    """The options for a worker that was started in another folder."""
    with granted(chosen["model"]):
        paths = ["cache_dir", "data_dir", *(["model"] if Path(chosen["model"]).exists() else [])]
    return {**chosen, **{name: os.path.abspath(chosen[name]) for name in paths if chosen[name]}}  # noqa: PTH100
