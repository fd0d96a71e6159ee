"""`trsr-lite catalog`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.errors import DataError, SettingsError

if TYPE_CHECKING:
    from trsr_lite.catalog.build import CatalogChange
    from trsr_lite.catalog.catalog import Catalog


@manual.group(
    "catalog",
    """Index many items in one file.

    Start with `catalog build`. Then `recommend --catalog FILE` finds each user's candidates in it.

    Items come from JSON Lines, CSV (its first line names the columns) or Parquet. Each item needs an `id` and some
    text, such as a `title`; a `time` is optional.
    """,
    examples="""
    trsr-lite catalog build items.jsonl
    trsr-lite recommend --user me.json --catalog items.catalog
    """,
)
def command() -> None:
    pass


reading = flags.together(
    flags.flag(
        "--interactions",
        metavar="FILE",
        help="What users had, as JSON Lines of `user_id` and `item_id`. What is popular is then found too.",
    ),
    flags.flag("--strict", is_flag=True, help="Stop at the first bad row."),
    flags.flag("--rejects", metavar="FILE", help="New file for bad rows.  [default: CATALOG.rejects.jsonl]"),
    flags.as_json,
)


@command.command(
    "build",
    help="""Make a catalog of the items in FILE…

    `-` reads JSON Lines from stdin. Of several rows with one id, the last one counts.
    """,
    examples="""
    trsr-lite catalog build items.jsonl
    trsr-lite catalog build books.csv films.csv --output shop.catalog
    trsr-lite catalog build items.jsonl --interactions clicks.jsonl
    """,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@flags.flag("--output", metavar="CATALOG", help="File of the catalog.  [default: the first FILE, ending in .catalog]")
@flags.flag("--force", is_flag=True, help="Replace an existing catalog, and its file of bad rows.")
@reading
def build(files: Sequence[str], output: str | None, force: bool, as_json: bool, **reading: Any) -> None:
    from trsr_lite.catalog.build import SUFFIX
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.cli import session

    if output is None and files[0] == "-":
        raise SettingsError("`--output` is missing", hint="items from stdin need a name for their catalog")
    path = output or str(Path(files[0]).with_suffix(SUFFIX))
    with session.reporting(log=True) as progress:
        built = Catalog.build(files, path, force=force, progress=progress, **reading)
    with built as catalog:
        _print(path, catalog, catalog.change, as_json=as_json)


@command.command(
    "add",
    help="Put the items in FILE… into CATALOG. An id that is there already gets its new text.",
    examples="""
    trsr-lite catalog add items.catalog new_items.jsonl
    trsr-lite catalog add items.catalog --interactions clicks.jsonl
    """,
)
@click.argument("catalog")
@click.argument("files", nargs=-1, metavar="[FILE…]")
@flags.flag("--force", is_flag=True, help="Replace an existing file of bad rows.")
@reading
def add(catalog: str, files: Sequence[str], force: bool, as_json: bool, **reading: Any) -> None:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.cli import session

    if not files and reading["interactions"] is None:
        raise SettingsError("no file of items is given", hint="name one, or give `--interactions`")
    with Catalog(catalog) as opened:
        with session.reporting(log=True) as progress:
            change = opened.add(files, force=force, progress=progress, **reading)
        _print(catalog, opened, change, as_json=as_json)


@command.command(
    "remove",
    help="Take items out of CATALOG by their ids.",
    examples="""
    trsr-lite catalog remove items.catalog n12 n13
    trsr-lite catalog remove items.catalog --ids sold.txt --missing-ok
    """,
)
@click.argument("catalog")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@flags.flag("--ids", "file", metavar="FILE", type=click.File("rb"), help="File with one id a line; `-` is stdin.")
@flags.flag("--missing-ok", is_flag=True, help="Ignore ids that are not in the catalog.")
@flags.as_json
def remove(catalog: str, ids: Sequence[str], file: Any, missing_ok: bool, as_json: bool) -> None:
    from trsr_lite.catalog.catalog import Catalog

    wanted = [*ids, *_lines(file)] if file else list(ids)
    if not wanted:
        raise SettingsError("no id is given", hint="name them, or give a file of them with `--ids`")
    with Catalog(catalog) as opened:
        _print(catalog, opened, opened.remove(wanted, missing_ok=missing_ok), as_json=as_json)


def _lines(file: IO[bytes]) -> list[str]:
    """The lines that are not blank."""
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: is not UTF-8 text (byte {error.start:,})") from None
    return [line for line in map(str.strip, text.split("\n")) if line]


@command.command(
    "info",
    help="Show what CATALOG holds: items, attributes, sizes and its digest.",
    examples="trsr-lite catalog info items.catalog",
)
@click.argument("catalog")
@flags.as_json
def info(catalog: str, as_json: bool) -> None:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.cli import tables

    with Catalog(catalog) as opened:
        facts = opened.info()
    if as_json:
        tables.print_json({"schema": 1, **facts})
    else:
        tables.print_facts("Catalog", facts.items(), tables.console())


def _print(path: str, catalog: Catalog, change: CatalogChange | None, *, as_json: bool) -> None:
    """What was changed on stdout; what was wrong with the input on stderr."""
    from trsr_lite.cli import tables

    facts = {"path": path, "items": len(catalog), "digest": catalog.digest}
    found = change.to_dict() if change else {}
    if as_json:
        tables.print_json({"schema": 1, **facts, **found})
    else:
        changed = {name: number for name, number in found.items() if number and name not in ("rejects", "notes")}
        tables.print_facts("Catalog", {**facts, **changed}.items(), tables.console())
    for line in change.notes if change else ():
        click.echo(f"noted: {line}", err=True)
    if change and change.repeated:
        count = f"{change.repeated:,} ids came again with another text"
        click.echo(f"{count}; the last counts: see {change.rejects}", err=True)
    if change and change.rejected:
        click.echo(f"{change.rejected:,} bad rows were left out: see {change.rejects}", err=True)
