"""`trsr-lite batch`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from trsr_lite.batch.options import FORMATS, BatchOptions
from trsr_lite.cli import options, retrieval
from trsr_lite.io.files import granted

_defaults = BatchOptions(users="", output="")


@click.command("batch")
@click.option("--users", required=True, metavar="FILE", help="Users: *.jsonl or *.parquet, local or s3://….")
@click.option("--output", required=True, metavar="DIR", help="The folder of the results, local or s3://….")
@options.candidates
@retrieval.options
@click.option("--summaries-only", is_flag=True, help="Make the summaries, rank nothing.")
@options.model
@options.top
@options.settings
@click.option("--exact", is_flag=True, help="One candidate at a time: reproducible to the bit, slower.")
@click.option("--sort-history", is_flag=True, help="Order histories by time instead of requiring that order.")
@click.option("--format", type=click.Choice(FORMATS), help="Of the results [default: that of the users]")
@click.option(
    "--partition-users",
    type=click.IntRange(min=1),
    default=_defaults.partition_users,
    show_default=True,
    help="Users in one file of the results; it is worked and resumed as a whole.",
)
@click.option("--strict", is_flag=True, help="Stop at the first row or user that cannot be used.")
@click.option("--resume", is_flag=True, help="Go on with the batch in DIR.")
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where workers run."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Engines at work; --threads is for each of them.",
)
@click.option("--gpus", type=click.FloatRange(min=0), default=0.0, help="GPUs of each Ray worker; a part of one, too.")
@options.machine
@options.folders
@options.as_json
def command(
    resume: bool,
    engine: str,
    workers: int,
    gpus: float,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Summarize and rank for every user of a file.

    The whole file is read once before any model runs: rows that cannot be used, and users that come a second time, are
    written to DIR/rejects.jsonl. Each file DIR/part-… appears whole; a batch that was stopped goes on with --resume.
    """
    from trsr_lite.batch import run
    from trsr_lite.cli import session, tables

    with retrieval.opened(chosen) as found:
        catalog = {"catalog": str(found["catalog"].path), "retrieve": found["retrieve"]} if found else {}
    asked = BatchOptions(
        candidates=chosen["candidate_file"],
        **catalog,
        **{
            name: chosen.pop(name)
            for name in (
                "users output summaries_only k exact sort_history format partition_users strict".split()  # noqa: SIM905
            )
        },
    )
    with (
        session.interruptible("finished files are kept, and `--resume` goes on"),
        session.reporting(log=True) as progress,
    ):
        report = run(
            asked,
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

    return session.load({**chosen, "threads": threads or chosen["threads"]})


def _anywhere(chosen: dict[str, Any]) -> dict[str, Any]:
    """The options for a worker that was started in another folder."""
    with granted(chosen["model"]):
        paths = ["cache_dir", "data_dir", *(["model"] if Path(chosen["model"]).exists() else [])]
    return {**chosen, **{name: os.path.abspath(chosen[name]) for name in paths if chosen[name]}}  # noqa: PTH100
