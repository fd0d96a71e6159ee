"""`trsr-lite train`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from trsr_lite.cli import fields as generated
from trsr_lite.cli import options
from trsr_lite.datasets import options as data_options
from trsr_lite.datasets.options import DataOptions
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import SettingsError
from trsr_lite.settings import CHOICES, Settings
from trsr_lite.training import options as hyper
from trsr_lite.training import run_dir
from trsr_lite.training.options import TrainOptions

OWN = "trsr_lite.train.config"  # names of the options that `train --config` sets
PAPER_SETTINGS = {"ragged": True, "fan_in": 8}  # the authors merge all block summaries in one prompt
OF_LISTS = ("summarizer", "objective", "answer_weight", "drop_summaries", "content_free", "whole_text")
IN_FRONT = ("step", "steps", "seconds")  # of a line of the log: shown otherwise, or not at all
PAPER_ATTRIBUTES = {"mind": ("category", "subcategory", "title")}  # of Amazon-M2, all


def _configure(context: click.Context, _: click.Parameter, path: str | None) -> None:
    if path:
        values = generated.read_toml(path, context.command)
        context.default_map = {**(context.default_map or {}), **values}
        context.meta[OWN] = values.keys()


@click.command("train")
@click.option(
    "--config", is_eager=True, expose_value=False, callback=_configure, metavar="F.toml", help="Options, as TOML."
)
@click.option("--output", required=True, metavar="RUN", help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Continue a stopped run; its options need not be repeated.")
@click.option("--force", is_flag=True, help="Replace an existing run.")
@click.option("--preset", type=click.Choice(["paper"]), help="The authors' protocol and hyper-parameters.")
@generated.options(DataOptions, choices=data_options.CHOICES, skip=["seed"])
@click.option("--pairs", metavar="FILE", help="Pairs for `--role summarizer`, as JSON Lines.")
@generated.options(TrainOptions, choices=hyper.CHOICES)
@generated.options(Settings, choices=CHOICES)
@options.machine
@options.folders
@options.as_json
def command(output: str, resume: bool, force: bool, as_json: bool, **chosen: Any) -> None:
    """Fine-tune the recommender, or the summarizer, on one GPU, several, or a CPU.

    --data is a folder in the raw layout of MIND or Amazon-M2, or one with items.jsonl and interactions.jsonl.
    """
    folders = {name: chosen.pop(name) for name in ("cache_dir", "data_dir", "offline")}
    machine = EngineOptions(*(chosen.pop(name) for name in ("threads", "gpu_layers", "ctx_size")))
    given = {name: value for name, value in chosen.items() if value is not None}
    if resume:
        config = run_dir.read(Path(output))["config"]
        given = {name: value for name, value in given.items() if _is_asked(name)}
        given = {**config["options"], **config["settings"], **config["data"], **given}
    _refuse(given)
    os.environ.setdefault("TQDM_DISABLE", "1")  # transformers draws bars that cannot be turned off otherwise
    try:
        from trsr_lite.training import train as run
    except ImportError as error:
        raise SettingsError(f"training needs {error.name}", hint="pip install 'trsr-lite[train]'") from error
    train, settings, data = _resolve(given, hyper.PairOptions)
    from trsr_lite.cli import session, tables

    with (
        session.interruptible("checkpoints are kept, and `--resume` goes on"),
        session.reporting(log=True) as progress,
    ):
        outcome = run.train(
            train,
            settings,
            data,
            output,
            resume=resume,
            force=force,
            machine=machine,
            progress=progress,
            on_event=_show,
            **folders,
        )
    if os.environ.get("RANK", "0") != "0":  # torchrun: one process speaks
        return
    if as_json:
        tables.print_json(outcome.to_dict())
    else:
        tables.print_facts(f"Run {output}", [("steps", outcome.steps), *outcome.best.items()], tables.console())


def _is_asked(name: str) -> bool:
    """Whether an option was typed or is of this command's own file: a run goes on with its own, not with the user's."""
    context = click.get_current_context()
    is_default = context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP
    return not is_default or name in context.meta.get(OWN, ())


def _refuse(given: Mapping[str, Any]) -> None:
    """Raise `SettingsError` for an option that was typed and would change nothing."""
    of_lists = {field.name for field in fields(DataOptions)} - {"seed", "validation"}
    objective = given.get("objective", TrainOptions.objective)
    idle = [
        (given.get("role") == "summarizer", {*of_lists, *OF_LISTS}, "`--role summarizer`, which learns from pairs"),
        (given.get("full"), {"rank", "alpha", "dropout", "layers"}, "`--full`, which makes no adapter"),
        (given.get("whole_text"), {"objective", "answer_weight"}, "`--whole-text`, which is an objective of its own"),
        (objective != "both", {"answer_weight"}, f"`--objective {objective}`, which has one loss: it is for `both`"),
    ]
    for applies, names, why in idle:
        if applies and (found := [name for name in given if name in names and options.typed(name)]):
            raise SettingsError(f"`--{found[0].replace('_', '-')}` changes nothing with {why}", hint="leave it away")


def _resolve(given: Mapping[str, Any], pair_options: type) -> tuple[TrainOptions, Settings, Any]:
    """The options of hyper-parameters, settings and data: preset below what was given."""
    given = dict(given)
    preset, pairs = given.pop("preset", None), given.get("pairs")
    if given.get("role") == "summarizer":
        if not pairs or "dataset" in given:
            raise SettingsError("`--role summarizer` learns from `--pairs FILE`, and from no data set")
    elif pairs or not ("dataset" in given and "data" in given):
        raise SettingsError(
            "a recommender learns from `--dataset` and `--data`" + (", not from `--pairs`" if pairs else ""),
            hint="a summarizer is trained with `--role summarizer --pairs FILE`",
        )
    if preset:
        if pairs:
            raise SettingsError("the preset `paper` is for recommenders")
        attributes = PAPER_ATTRIBUTES.get(given["dataset"], ())
        given = {
            **data_options.paper(given["dataset"]),
            **hyper.paper(),
            "whole_text": "objective" not in given,
            **PAPER_SETTINGS,
            "attributes": attributes,
            **given,
        }
    if not pairs and "domain" not in given:
        given["domain"] = data_options.domain_of(given["dataset"])
    data_kind = pair_options if pairs else DataOptions
    train, settings, data = (
        {field.name: given[field.name] for field in fields(kind) if field.name in given}
        for kind in (TrainOptions, Settings, data_kind)
    )
    return TrainOptions(**train), Settings.from_dict(settings), data_kind(**data)


def _show(line: Mapping[str, Any]) -> None:
    """What was read, then one line of the log, on stderr."""
    if "data" in line:
        click.echo("\n".join(line["data"]), err=True)
        return
    facts = " · ".join(
        f"{name} {value:.4g}" for name, value in line.items() if name not in IN_FRONT and value is not None
    )
    click.echo(f"step {line['step']}/{line['steps']}: {facts}", err=True)
