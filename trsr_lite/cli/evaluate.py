"""`trsr-lite evaluate`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.evaluation.evaluate_options import EvaluateOptions
from trsr_lite.io import files

if TYPE_CHECKING:
    from trsr_lite.evaluation.evaluate import Evaluation

_REPORT_HINT = "name another file; `--force` replaces it, and the evaluation of `--output`, too"


@manual.command(
    "evaluate",
    """Compare models on held-out lists, with each other and with simple systems.

    In each list, one candidate was really chosen. The figures say how often a system ranks it high, and how sure that
    is. The first model is what the others are compared with.

    Lists come from a data set: give --dataset and --data. A run brings its own test users: give -m RUN alone. Your own
    lists come from a file: give --lists.
    """,
    examples="""
    trsr-lite evaluate -m news_bundle --dataset mind --data mind/test
    trsr-lite evaluate -m runs/news -m smollm2 --output evaluations/news
    trsr-lite evaluate --lists my_lists.jsonl --baselines tfidf,bm25 --report page.html
    """,
)
@flags.flag("--output", metavar="DIR", help="Keep every answer here. The same command then continues after a stop.")
@flags.flag("--force", is_flag=True, help="Replace the evaluation in DIR, and the page of --report.")
@flags.flag("--report", metavar="FILE.html", help="Write figures, plots and ten lists as one HTML page.")
@flags.flag("--preset", type=click.Choice(["paper"]), help="Protocol of the paper's authors.")
@flags.fields(EvaluateOptions, unset={"models": flags.DEFAULT_MODEL})
@flags.fields(DataOptions, skip=["max_users"], required=False)
@flags.settings
@flags.ranking
@flags.machine
@flags.folders
@flags.as_json
def command(output: str | None, force: bool, report: str | None, as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session, tables
    from trsr_lite.evaluation.report.report import check
    from trsr_lite.evaluation.request import evaluate

    os.environ.setdefault("TQDM_DISABLE", "1")
    if report:
        check(Path(report), Path(output) if output else None)
        files.check_free(Path(report), force=force, hint=_REPORT_HINT)
    models = chosen.pop("models") or (flags.usual_model(click.get_current_context()),)
    own = {name: chosen.pop(name) for name in ("preset", "cache_dir", "data_dir", "offline")}
    machine = flags.taken(EngineOptions, chosen)
    options, defaults = flags.apart(chosen)
    with session.interruptible(_kept(output, force)), session.reporting(log=True) as progress:
        found = evaluate(
            models,
            output=output,
            force=force,
            machine=machine,
            defaults=defaults,
            progress=progress,
            on_event=lambda event: click.echo("\n".join(event["data"]), err=True),
            **own,
            **options,
        )
    if as_json:
        tables.print_json(found.to_dict())
    else:
        tables.print_evaluation(found.to_dict(), tables.console())
    if report:
        _write(Path(report), found)
    if found.error:
        raise found.error


def _write(report: Path, found: Evaluation) -> None:
    """The page, after the figures of hours are out: nothing that fails here can take them away."""
    from trsr_lite.evaluation.report.report import html, write

    sys.stdout.flush()
    write(report, html(found, command=shlex.join(["trsr-lite", *sys.argv[1:]])))
    click.echo(f"report: {report}", err=True)


def _kept(output: str | None, force: bool) -> str:
    """What an interrupted evaluation leaves, and how to go on."""
    if output is None:
        return "finished summaries are kept, answers only with `--output DIR`"
    return f"answers are kept, and the same command{' without `--force`' * force} goes on"
