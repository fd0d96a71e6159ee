"""The command line: parse, call one function of the public API, print.

Invariant: stdout is the result and stderr everything else. Errors become one `Error:` line, a `hint:` line and an exit
code here and nowhere else. `--help` imports click and the standard library only; commands are imported when they run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trsr_lite import __version__
from trsr_lite.cli import manual
from trsr_lite.errors import Cancelled, TrsrError
from trsr_lite.io import files

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Recommend": {
        "recommend": "Rank candidates for a user.",
        "summarize": "Summarize what a user likes.",
        "prompt": "Show exactly what the models see.",
        "batch": "Summarize and rank for every user of a file.",
        "serve": "Serve programs (stdin, HTTP) and assistants (MCP).",
    },
    "Items and summaries": {
        "import": "Make a user file from what other programs export.",
        "catalog": "Index many items in one file.",
        "cache": "Show, count or delete the stored summaries and margins.",
    },
    "Models": {
        "models": "List models to choose from.",
        "inspect": "Show what a model is.",
        "pull": "Fetch a model from the Hugging Face hub.",
        "push": "Publish a bundle on the Hugging Face hub.",
        "train": "Fine-tune a model on histories.",
        "tune": "Learn the weights of signals from clicks.",
        "convert": "Turn a training run into a verified bundle.",
        "evaluate": "Compare models on held-out lists.",
    },
    "This machine": {
        "doctor": "Check this machine and say what is missing.",
        "bench": "Measure how fast a model is on this machine.",
    },
}
COMMANDS: Mapping[str, str] = {name: text for section in SECTIONS.values() for name, text in section.items()}
MODULES = {"import": "imports"}  # of commands that are called like words of Python
INTERRUPTED = 130


class LazyGroup(manual.Group):
    """A group that knows its commands' one-line helps, and imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, sorted; a program that was frozen has left some out."""
        return [name for name in sorted(COMMANDS) if importlib.util.find_spec(_module(name))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command itself, imported now."""
        if name not in COMMANDS:
            return None
        if name not in self.list_commands(ctx):
            raise TrsrError(f"`{name}` is not part of this program", hint="install trsr-lite with Python: it is there")
        command: click.Command = importlib.import_module(_module(name)).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lists of `--help`, without importing any command."""
        there = self.list_commands(ctx)
        width = max(map(len, COMMANDS))  # the same in every list
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", text) for name, text in commands.items() if name in there])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Recommend from long, text-rich histories, with a small language model on this machine.

    Start with `trsr-lite doctor`, then rank the example below. Every command has examples: `trsr-lite COMMAND --help`.

    Set flags for good in the environment, as TRSR_LITE_NAME, or in a config file: those of the model, the machine and
    the folders. What you type counts first.
    """,
    examples="""
    trsr-lite doctor
    trsr-lite recommend --user examples/news_reader.json
    """,
)
@click.version_option(__version__, prog_name="trsr-lite", help="Show the version and exit.")
@click.option("--config", metavar="FILE", envvar="TRSR_LITE_CONFIG", help="File of options, as TOML.")
@click.option("--verbose", is_flag=True, help="Show the log of trsr-lite and llama.cpp on stderr.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with an error.")  # `run` looks for it
@click.pass_context
def group(ctx: click.Context, config: str | None, verbose: bool) -> None:
    from trsr_lite.cli.config import read_config, set_up_logging

    set_up_logging(verbose)
    defaults, name = read_config(config), str(ctx.invoked_subcommand)
    ctx.default_map = {name: _nested(group.get_command(ctx, name), defaults)}


def _module(name: str) -> str:
    return f"{__name__}.{MODULES.get(name, name)}"


def _nested(command: click.Command | None, defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults as click looks for them: those of a group's commands are under their names. Arguments have none."""
    if isinstance(command, click.Group):
        return {name: _nested(inner, defaults) for name, inner in command.commands.items()}
    arguments = {one.name for one in command.params if isinstance(one, click.Argument)} if command else ()
    return {name: value for name, value in defaults.items() if name not in arguments}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # closed by who started this
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            return run(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # as on stderr, a letter that an encoding lacks ends no command
    try:
        result: Any = group.main(arguments, prog_name="trsr-lite", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        manual.show(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort, Cancelled) as stop:
        if debug:
            traceback.print_exc()
        click.echo(f"\n{stop if isinstance(stop, Cancelled) else 'Interrupted'}", err=True)
        return INTERRUPTED
    except TrsrError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"Error: {error}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; say nothing more
        return 1
    except OSError as error:
        if error.errno not in files.FULL:  # stdout too may be a file on a disk that is full
            raise
        if debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"Error: {where}{error.strerror}", err=True)
        return TrsrError.exit_code
