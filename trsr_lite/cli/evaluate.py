"""`trsr-lite evaluate`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from trsr_lite.cli import fields as generated
from trsr_lite.cli import options
from trsr_lite.datasets import options as data_options
from trsr_lite.datasets.options import DataOptions
from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.evaluation.options import BASELINES, PARTS, STUDIES
from trsr_lite.io import files as io_files

_REPORT_HINT = "name another file; `--force` replaces it, and the evaluation of `--output`, too"


@click.command("evaluate")
@generated.options(DataOptions, choices=data_options.CHOICES, skip=["max_users"])
@click.option("--lists", "file", metavar="FILE", help="Your own lists: users with candidates and `positives` (ids).")
@click.option("--part", type=click.Choice(PARTS), default="test", show_default=True, help="Users that are ranked for.")
@click.option("--max-users", type=click.IntRange(min=1), metavar="N", help="Lists at most, chosen by the seed.")
@click.option("--preset", type=click.Choice(["paper"]), help="The authors' protocol.")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    callback=lambda ctx, _param, given: given or (options.usual_model(ctx),),
    help="A bundle, a .gguf file, user/repo[:TYPE], smollm2, or a run; may be repeated [default: smollm2]",
)
@click.option("--untrained", is_flag=True, help="The base of each run too, as it was before training.")
@click.option(
    "--baselines",
    type=generated.Names(),
    default=",".join(BASELINES),
    show_default=True,
    help="Simple systems; `embeddings` may be named too (extra `embeddings`); '' for none.",
)
@click.option(
    "--scores",
    "files",
    multiple=True,
    metavar="FILE",
    help="What another program scored for the same lists, JSON Lines; may be repeated.",
)
@click.option(
    "--ablations",
    type=generated.Names(),
    default="",
    help=f"Studies too, of {', '.join(STUDIES)}; all for all of them.",
)
@click.option(
    "--retrieve",
    type=click.IntRange(min=1),
    metavar="N",
    help="Say too how often the user's item is among the first N that a catalog of all items gives.",
)
@click.option("--catalog", metavar="FILE", help="That catalog [default: the items of the data set]")
@options.settings
@click.option("--exact", is_flag=True, help="One candidate at a time: reproducible to the bit, slower.")
@click.option("--output", metavar="DIR", help="Keep every answer here: a stopped evaluation goes on, models are added.")
@click.option("--force", is_flag=True, help="Replace the evaluation in DIR, and the page of --report.")
@click.option("--report", metavar="FILE.html", help="Write figures, plots and ten lists as one page of HTML.")
@options.machine
@options.folders
@options.as_json
def command(
    models: Sequence[str],
    baselines: Sequence[str],
    files: Sequence[str],
    ablations: Sequence[str],
    retrieve: int | None,
    catalog: str | None,
    untrained: bool,
    exact: bool,
    output: str | None,
    force: bool,
    report: str | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Rank held-out lists with models and with simple systems, and say how sure the figures are.

    The lists come from a data set (--dataset and --data), from the test users of a run (-m RUN alone), or from a file
    (--lists). The first model is what the others are compared with.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")
    from trsr_lite.cli import session, tables
    from trsr_lite.evaluation import ablations as studies
    from trsr_lite.evaluation import open_systems
    from trsr_lite.evaluation.evaluate import evaluate
    from trsr_lite.evaluation.report import report as reports

    folder = Path(output) if output else None
    if report:
        reports.check(Path(report), folder)
        io_files.check_free(Path(report), force=force, hint=_REPORT_HINT)
    studies.check(ablations)
    _refuse(models, {**chosen, "exact": exact, "untrained": untrained, "retrieve": retrieve, "catalog": catalog})
    seed = chosen["seed"] or 0

    def load(model: str) -> Any:
        return session.load({**chosen, "model": model}, progress)

    with ExitStack() as opened:
        opened.enter_context(session.interruptible(_kept(output, force)))
        progress = opened.enter_context(session.reporting(log=True))
        lists, domain = _lists(chosen, models, opened)
        systems, notes = open_systems.models(
            models,
            lists,
            opened,
            load,
            domain=None if chosen["domain"] else domain,
            exact=exact,
            untrained=untrained,
            offline=chosen["offline"],
            summarizing=studies.summarizing(ablations),
        )
        simple, more = open_systems.simple(baselines, lists, seed=seed)
        systems += simple
        systems += open_systems.scored(files, [system.name for system in systems])
        study = partial(studies.study, studies.plan(ablations, systems), seed=seed, output=folder, progress=progress)
        result = evaluate(
            lists, systems, output=folder, force=force, notes=[*notes, *more], progress=progress, then=study
        )
        failed = None
        if retrieve:
            result, failed = _with_first_stage(result, systems[0].name, retrieve, catalog, progress)
    if as_json:
        tables.print_json(result.to_dict())
    else:
        tables.print_evaluation(result.to_dict(), tables.console())
    if report:
        _write(Path(report), result)
    if failed:
        raise failed


def _with_first_stage(
    result: Any, ranker: str, retrieve: int, catalog: str | None, progress: Any
) -> tuple[Any, TrsrError | None]:
    """The same with what a catalog finds, or with a note and the error, which is raised once the figures are out."""
    from trsr_lite.evaluation import candidate_recall

    outcomes = result.outcomes[ranker]
    try:
        found = candidate_recall.measure(result.lists, outcomes, retrieve, catalog=catalog, progress=progress)
    except TrsrError as error:
        return replace(result, notes=[*result.notes, f"the first stage could not be measured: {error}"]), error
    return replace(result, first_stage=found), None


def _write(report: Path, result: Any) -> None:
    """The page, after the figures of hours are out: nothing that fails here can take them away."""
    from trsr_lite.evaluation.report import report as reports

    sys.stdout.flush()
    reports.write(report, reports.html(result, command=shlex.join(["trsr-lite", *sys.argv[1:]])))
    click.echo(f"report: {report}", err=True)


def _kept(output: str | None, force: bool) -> str:
    """What an interrupted evaluation leaves, and how to go on."""
    if output is None:
        return "finished summaries are kept, answers only with `--output DIR`"
    return f"answers are kept, and the same command{' without `--force`' * force} goes on"


def _refuse(names: Sequence[str], chosen: Mapping[str, Any]) -> None:
    """Raise `SettingsError` for an option that lacks another one or would change nothing; look at the catalog."""
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.training import run_dir

    if chosen["catalog"] and not chosen["retrieve"]:
        raise SettingsError("`--catalog` needs `--retrieve N`", hint="such as `--retrieve 50`")
    if chosen["retrieve"] and chosen["file"] and not chosen["catalog"]:
        raise SettingsError(
            "`--retrieve` of `--lists` needs `--catalog FILE`", hint="`trsr-lite catalog build` makes it"
        )
    if chosen["catalog"]:
        Catalog(chosen["catalog"]).close()  # what is wrong with it is said before hours are spent
    runs = [name for name in names if run_dir.is_run(name)]
    if chosen["untrained"] and not runs:
        raise SettingsError("`--untrained` is the base of a run, and none is given", hint="give `-m RUN`")
    given = [name for name in (*options.SETTING_NAMES, "exact") if options.typed(name)]
    if given and len(runs) == len(names):
        raise SettingsError(
            f"`--{given[0].replace('_', '-')}` changes nothing: a run brings its own settings and is ranked by torch"
        )


def _lists(chosen: dict[str, Any], models: Sequence[str], opened: ExitStack) -> tuple[Any, str | None]:
    """What is ranked, and what its items are."""
    from trsr_lite.datasets import dataset as datasets
    from trsr_lite.evaluation import lists

    given = {
        field.name: chosen[field.name]
        for field in fields(DataOptions)
        if field.name != "max_users" and chosen[field.name] is not None
    }
    if chosen["preset"] and "dataset" not in given:
        raise SettingsError("`--preset` needs `--dataset`", hint="a run brings its own data options")
    if chosen["file"]:
        unused = [name for name in (*given, "max_users") if name != "seed" and chosen[name] is not None]
        unused += ["part"] * options.typed("part")
        if unused:
            raise SettingsError(f"`--lists` is data enough: leave `--{unused[0].replace('_', '-')}` away")
        return lists.of_file(chosen["file"]), None
    if chosen["preset"]:
        given = {**data_options.paper(given["dataset"]), **given}
    if "dataset" not in given:
        given = {**_of_run(models), **given}
    if "data" not in given:
        raise SettingsError("which data? `--data` is missing", hint="`--data` is the folder of the data set")
    data = DataOptions(**given)
    dataset = opened.enter_context(datasets.load(data))
    click.echo("\n".join(dataset.report.lines()), err=True)
    found = lists.of_dataset(dataset, chosen["part"], most=chosen["max_users"], seed=data.seed)
    return found, data_options.domain_of(data.dataset)


def _of_run(models: Sequence[str]) -> dict[str, Any]:
    """The data options of the first model that is a run: its own test users are what it may be judged on."""
    from trsr_lite.evaluation import open_systems
    from trsr_lite.training import run_dir

    runs = [name for name in models if run_dir.is_run(name)]
    if not runs:
        raise SettingsError(
            "which lists? Give `--dataset` and `--data`, or `--lists FILE`",
            hint="a training run as `-m` brings its own test users",
        )
    data: dict[str, Any] = open_systems.data_of(runs[0])
    return data
