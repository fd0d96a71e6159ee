"""`trsr-lite catalog`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from trsr_lite.cli import options
from trsr_lite.errors import DataError, SettingsError

if TYPE_CHECKING:
    from trsr_lite.catalog.build import CatalogChange

F = TypeVar("F", bound=Callable[..., Any])


@click.group("catalog")
def command() -> None:
    """An index of items in one file, from which `recommend --catalog FILE` takes its candidates.

    Items come from JSON Lines, CSV (the first line names the columns) or Parquet; each needs an `id` and some text,
    such as a `title`, and may have a `time`.
    """


def _reading(function: F) -> F:
    """What building and adding have in common."""
    for decorator in (
        options.as_json,
        click.option(
            "--rejects", metavar="FILE", help="Where bad rows go [default: CATALOG.rejects.jsonl]; a new file"
        ),
        click.option("--strict", is_flag=True, help="Stop at the first bad row."),
    ):
        function = decorator(function)
    return function


@command.command("build")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--output", metavar="CATALOG", help="Where it goes [default: the first FILE, ending in .catalog]")
@click.option("--force", is_flag=True, help="Replace an existing catalog and file of rejects.")
@_reading
def build(
    files: Sequence[str], output: str | None, force: bool, rejects: str | None, strict: bool, as_json: bool
) -> None:
    """Make a catalog of the items in FILE…; `-` is JSON Lines on stdin."""
    from trsr_lite.catalog import build as changes
    from trsr_lite.cli import session

    if output is None and files[0] == "-":
        raise SettingsError("`--output` is missing", hint="items from stdin need a name for their catalog")
    path = output or str(Path(files[0]).with_suffix(changes.SUFFIX))
    with session.reporting(log=True) as progress:
        outcome = changes.build(files, path, rejects=rejects, strict=strict, force=force, progress=progress)
    _print(path, outcome, as_json=as_json)


@command.command("add")
@click.argument("catalog")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--force", is_flag=True, help="Replace an existing file of rejects.")
@_reading
def add(catalog: str, files: Sequence[str], force: bool, rejects: str | None, strict: bool, as_json: bool) -> None:
    """Put the items in FILE… into CATALOG; an id that is there already gets its new text."""
    from trsr_lite.catalog import build as changes
    from trsr_lite.cli import session

    with session.reporting(log=True) as progress:
        outcome = changes.add(files, catalog, rejects=rejects, strict=strict, force=force, progress=progress)
    _print(catalog, outcome, as_json=as_json)


@command.command("remove")
@click.argument("catalog")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--ids", "file", metavar="FILE", type=click.File("rb"), help="One id a line; `-` is stdin.")
@click.option("--missing-ok", is_flag=True, help="Pass over ids that are not there.")
@options.as_json
def remove(catalog: str, ids: Sequence[str], file: Any, missing_ok: bool, as_json: bool) -> None:
    """Take items out of CATALOG by their ids."""
    from trsr_lite.catalog import build as changes

    wanted = [*ids, *_lines(file)] if file else list(ids)
    if not wanted:
        raise SettingsError("no id is given", hint="name them, or give a file of them with `--ids`")
    _print(catalog, changes.remove(wanted, catalog, missing_ok=missing_ok), as_json=as_json)


def _lines(file: IO[bytes]) -> list[str]:
    """The lines that are not blank."""
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: is not UTF-8 text (byte {error.start:,})") from None
    return [line for line in map(str.strip, text.split("\n")) if line]


@command.command("info")
@click.argument("catalog")
@options.as_json
def info(catalog: str, as_json: bool) -> None:
    """Show how many items CATALOG has, what it takes and its digest."""
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.cli import tables

    with Catalog(catalog) as opened:
        facts = opened.info()
    if as_json:
        tables.print_json({"schema": 1, **facts})
    else:
        tables.print_facts("Catalog", facts.items(), tables.console())


def _print(path: str, outcome: CatalogChange, *, as_json: bool) -> None:
    """What was changed on stdout; what was wrong with the input on stderr."""
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.cli import tables

    with Catalog(path) as opened:
        facts = {"path": path, "items": len(opened), "digest": opened.digest}
    found = outcome.to_dict()
    if as_json:
        tables.print_json({"schema": 1, **facts, **found})
    else:
        changed = {name: number for name, number in found.items() if number and name != "rejects"}
        tables.print_facts("Catalog", {**facts, **changed}.items(), tables.console())
    if outcome.rejected:
        click.echo(f"{outcome.rejected:,} bad rows were left out: see {outcome.rejects}", err=True)
