"""`trsr-lite convert`: a run to a bundle, or one step of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.conversion import request
from trsr_lite.conversion.convert_options import FLOATS, ConvertOptions
from trsr_lite.engine.interface import FILE_TYPES
from trsr_lite.errors import VerificationError
from trsr_lite.options import nearest

WHOLE = "bundle"
WHAT = ("recommender_type", "summarizer", "summarizer_type", "adapter_only")  # all but the limits of verification


class StepGroup(manual.Group):
    """`convert RUN …` is `convert bundle RUN …`; a step is named first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before anything that is not a step; what is nearly a step's name is no run."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            near = nearest(args[0], self.commands)
            if near and not os.path.lexists(args[0]):
                raise manual.Unknown(f"No such step or run {args[0]!r}.", near, ctx)
            args = [WHOLE, *args]
        return super().parse_args(ctx, args)


@manual.group(
    "convert",
    """Turn a training run into a verified bundle.

    `trsr-lite convert RUN --output BUNDLE` does everything: it merges the adapter, writes GGUF, quantizes, and checks
    that the ranking survived. Each step is also a command of its own.
    """,
    examples="""
    trsr-lite convert runs/news --output news_bundle
    trsr-lite convert verify news_bundle --run runs/news
    """,
    cls=StepGroup,
)
def command() -> None:
    pass


llama_cpp = flags.flag(
    "--llama-cpp",
    metavar="DIR",
    help="llama.cpp checkout whose converter is used.  [default: that of the installed version]",
)
output = flags.flag("--output", required=True, metavar="PATH", help="File or folder to write.")
force = flags.flag("--force", is_flag=True, help="Replace an existing output.")


@command.command(
    WHOLE,
    help="""Convert RUN to a bundle and verify it.

    Stopped? The same command continues after the last finished step.
    """,
    examples="""
    trsr-lite convert runs/news --output news_bundle
    trsr-lite convert runs/news --output news_bundle --recommender-type auto
    """,
)
@click.argument("run")
@output
@force
@flags.fields(ConvertOptions)
@llama_cpp
@flags.folders
@flags.offline
@flags.as_json
def whole(run: str, output: str, force: bool, llama_cpp: str | None, as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session, tables

    os.environ.setdefault("TQDM_DISABLE", "1")
    with (
        session.interruptible("finished steps are kept, and the same command goes on"),
        session.reporting(log=True),
        _failed_report(as_json),
    ):
        bundle = request.convert(
            run,
            output,
            force=force,
            llama_cpp=llama_cpp,
            on_plan=_plan,
            on_step=lambda step: click.echo(f"… {step}", err=True),
            **flags.given(chosen),
        )
    if as_json:
        tables.print_json(bundle.to_dict())
    else:
        tables.print_conversion(bundle, tables.console())


@command.command(
    "merge",
    help="""Merge the adapter of RUN into its base.

    The result is a Hugging Face folder, in float32.
    """,
    examples="trsr-lite convert merge runs/news --output merged",
)
@click.argument("run")
@output
@force
@flags.offline
def merge(run: str, output: str, force: bool, offline: bool) -> None:
    os.environ.setdefault("TQDM_DISABLE", "1")
    click.echo(request.merge(run, output, force=force, offline=offline))


@command.command(
    "gguf",
    help="""Write a Hugging Face folder as GGUF.

    MODEL is the folder. llama.cpp's own converter does the work.
    """,
    examples="trsr-lite convert gguf merged --output merged-F16.gguf",
)
@click.argument("model")
@output
@force
@flags.flag(
    "--type",
    "file_type",
    type=click.Choice(FLOATS),
    default="F16",
    show_default=True,
    help="Floating-point type of the tensors.",
)
@llama_cpp
@flags.folders
@flags.offline
def gguf(model: str, output: str, **chosen: Any) -> None:
    del chosen["data_dir"]  # no default model is used here
    click.echo(request.write_gguf(model, output, **flags.given(chosen)))


@command.command(
    "quantize",
    help="""Write a GGUF with another tensor type.

    MODEL has floating-point tensors. The types of the new file's tensors are printed.
    """,
    examples="trsr-lite convert quantize merged-F16.gguf --type Q8_0 --output merged-Q8_0.gguf",
)
@click.argument("model")
@output
@force
@flags.flag(
    "--type",
    "file_type",
    type=click.Choice(list(FILE_TYPES)),
    required=True,
    metavar="TYPE",
    help=f"Tensor type: {', '.join(FILE_TYPES)}.",
)
def quantize(model: str, output: str, force: bool, file_type: str) -> None:
    from trsr_lite.cli import tables

    types = request.quantize(model, output, file_type, force=force)
    tables.print_facts(output, types.items(), tables.console())


@command.command(
    "verify",
    help="""Check that the ranking of MODEL survived.

    MODEL is a bundle or a .gguf file. It is compared with the run that it was made from. The command exits with 5
    where the ranking did not survive.
    """,
    examples="trsr-lite convert verify news_bundle --run runs/news",
)
@click.argument("model")
@flags.flag("--run", required=True, metavar="RUN", help="Run that MODEL was made from.")
@flags.fields(ConvertOptions, skip=WHAT)
@flags.offline
@flags.as_json
def verify(model: str, run: str, as_json: bool, **chosen: Any) -> None:
    os.environ.setdefault("TQDM_DISABLE", "1")
    with _failed_report(as_json):
        report = request.verify(model, run, **flags.given(chosen))
    _print_report(report, as_json)


def _plan(steps: Sequence[str]) -> None:
    click.echo("\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)), err=True)


@contextmanager
def _failed_report(as_json: bool) -> Iterator[None]:
    """Where the ranking did not survive, its comparisons come before the error."""
    try:
        yield
    except VerificationError as error:
        if error.report:
            _print_report(error.report, as_json)
        raise


def _print_report(report: Mapping[str, Any], as_json: bool) -> None:
    from trsr_lite.cli import tables

    if as_json:
        tables.print_json({"schema": 1, **report})
    else:
        tables.print_comparisons(report["steps"], tables.console())
