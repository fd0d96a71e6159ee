"""`trsr-lite train`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trsr_lite.cli import config, flags, manual
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.settings import Settings
from trsr_lite.training.request import PRESETS, train
from trsr_lite.training.train_options import PairOptions, TrainOptions

OWN = "trsr_lite.train.config"  # names of the options that `train --config` sets
IN_FRONT = ("step", "steps", "seconds")  # of a line of the log: shown otherwise, or not at all


def _configure(context: click.Context, _: click.Parameter, path: str | None) -> None:
    if path:
        values = config.of_command(Path(path), context.command)
        context.default_map = {**(context.default_map or {}), **values}
        context.meta[OWN] = values.keys()


@manual.command(
    "train",
    """Fine-tune a model on histories: a recommender, or a summarizer.

    It runs on a CPU, on one GPU or on several, and needs the extra `train`. Give --output, --dataset and --data to
    begin; everything else has a default. --data is a folder in the raw layout of MIND or Amazon-M2, or one with
    items.jsonl and interactions.jsonl.

    Then `trsr-lite convert RUN` makes a model that laptops can use.
    """,
    examples="""
    trsr-lite train --dataset mind --data mind/train --output runs/news
    trsr-lite train --config recipe.toml --dataset jsonl --data mine --output runs/mine
    trsr-lite train --output runs/news --resume
    """,
)
@flags.flag("--output", required=True, metavar="RUN", help="Folder of the run.")
@flags.flag(
    "--config",
    is_eager=True,
    expose_value=False,
    callback=_configure,
    metavar="F.toml",
    help="File of options, as TOML. What you type counts instead.",
)
@flags.flag("--preset", type=click.Choice(PRESETS), help="Protocol and hyper-parameters of the paper's authors.")
@flags.flag("--resume", is_flag=True, help="Continue a stopped run. It keeps its own options.")
@flags.flag("--force", is_flag=True, help="Replace an existing run.")
@flags.fields(TrainOptions, "role")
@flags.fields(DataOptions, skip=["seed"], required=False)
@flags.fields(PairOptions, "pairs", required=False)
@flags.fields(TrainOptions, skip=["role"])
@flags.fields(Settings)
@flags.machine
@flags.folders
@flags.as_json
def command(output: str, as_json: bool, preset: str | None, resume: bool, force: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session, tables

    os.environ.setdefault("TQDM_DISABLE", "1")  # transformers draws bars that cannot be turned off otherwise
    folders = {name: chosen.pop(name) for name in ("cache_dir", "data_dir", "offline")}
    machine = flags.taken(EngineOptions, chosen)
    options, defaults = flags.apart(chosen)
    if resume:  # a run goes on with its own options, not with the user's
        own = click.get_current_context().meta.get(OWN, ())
        defaults = {name: value for name, value in defaults.items() if name in own}
    with (
        session.interruptible("checkpoints are kept, and `--resume` goes on"),
        session.reporting(log=True) as progress,
    ):
        result = train(
            output,
            preset=preset,
            resume=resume,
            force=force,
            machine=machine,
            defaults=defaults,
            progress=progress,
            on_event=_show,
            **folders,
            **options,
        )
    if os.environ.get("RANK", "0") != "0":  # torchrun: one process speaks
        return
    if as_json:
        tables.print_json(result.to_dict())
    else:
        tables.print_facts(f"Run {output}", [("steps", result.steps), *result.best.items()], tables.console())


def _show(line: Mapping[str, Any]) -> None:
    """What was read, then one line of the log, on stderr."""
    if "data" in line:
        click.echo("\n".join(line["data"]), err=True)
        return
    facts = " · ".join(
        f"{name} {value:.4g}" for name, value in line.items() if name not in IN_FRONT and value is not None
    )
    click.echo(f"step {line['step']}/{line['steps']}: {facts}", err=True)
