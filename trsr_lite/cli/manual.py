"""What `--help` shows: a sentence, examples, and flags under headings; and which name was meant by one that is unknown.

Invariant: texts are arguments, not docstrings, so that `python -OO` shows them too. Only click is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

HEADING = "Options"  # of flags that have no other


class HeadedOption(click.Option):
    """A flag that help shows under a heading."""

    def __init__(self, *args: Any, heading: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.heading = heading


class Command(click.Command):
    """A command whose help has examples, and its flags under headings."""

    def __init__(self, *args: Any, examples: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = lines(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Flags without a heading first, then each group, in the order of their first flags."""
        write_options(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        write_examples(self.examples, formatter)


class Group(click.Group):
    """A group whose help has examples, and that suggests the nearest command."""

    command_class = Command

    def __init__(self, *args: Any, examples: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = lines(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        write_examples(self.examples, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; raises `Unknown`."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            from trsr_lite.options import nearest

            raise Unknown(f"No such command {name!r}.", nearest(name, self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)


class Unknown(click.UsageError):
    """A name that there is not; `near` is the one that may have been meant."""

    def __init__(self, message: str, near: str | None, ctx: click.Context | None = None) -> None:
        super().__init__(message, ctx)
        self.near = near


def show(error: click.ClickException) -> None:
    """Print an error of click's on stderr, with what may have been meant as its hint."""
    near = getattr(error, "near", None)
    if isinstance(error, click.NoSuchOption):
        near = next(iter(error.possibilities or []), None)
        error = click.UsageError(error.message, error.ctx)  # else click says it too, in the `Error:` line
    error.show()
    if near:
        click.echo(f"hint: did you mean `{near}`?", err=True)


def command(name: str, about: str, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """A command of this name; `about` is its help, and `examples` are lines to type, with comments."""
    return click.command(name, cls=Command, help=about, examples=examples)


def group(name: str, about: str, examples: str, cls: type[Group] = Group) -> Callable[[Callable[..., Any]], Group]:
    """A group of commands."""
    return click.group(name, cls=cls, help=about, examples=examples)


def lines(text: str) -> list[str]:
    """The lines of a text that is indented as code is."""
    return [line for line in map(str.strip, text.splitlines()) if line]


def write_options(params: Sequence[click.Parameter], ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """A section for each heading."""
    sections: dict[str, list[tuple[str, str]]] = {HEADING: []}
    for param in params:
        record = param.get_help_record(ctx)
        if record is not None and isinstance(param, click.Option):
            sections.setdefault(getattr(param, "heading", "") or HEADING, []).append(record)
    for heading, records in sections.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)


def write_examples(examples: Iterable[str], formatter: click.HelpFormatter) -> None:
    """Lines to type, as they are."""
    with formatter.section("Examples"):
        for line in examples:
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
