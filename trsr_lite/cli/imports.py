"""`trsr-lite import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.errors import SettingsError
from trsr_lite.imports.read import ImportOptions

if TYPE_CHECKING:
    from trsr_lite.imports.read import Import


@manual.command(
    "import",
    """Make a user file from what other programs export.

    FORMAT may be left out: each file is then read as what it looks like. Several files become one user. What you still
    want to read, such as a watchlist, becomes the candidates.

    Nothing is fetched: export the file yourself. --list shows the formats, and where each program gives its file.
    """,
    examples="""
    trsr-lite import --list
    trsr-lite import goodreads goodreads_library_export.csv -o me.json
    trsr-lite import bookmarks.html -o me.json
    trsr-lite import feeds.opml planet.xml -o me.json
    """,
)
@click.argument("files", nargs=-1, metavar="[FORMAT] FILE…")
@flags.flag("-o", "--output", metavar="FILE", help="The user file to write.  [default: stdout]")
@flags.flag("--candidates-output", metavar="FILE", help="Write the candidates here, not into the user file.")
@flags.fields(ImportOptions)
@flags.flag("--force", is_flag=True, help="Replace files that exist.")
@flags.flag("--list", "listed", is_flag=True, help="Show the formats, and end.")
@flags.flag("--json", "as_json", is_flag=True, help="Print what was done as JSON, with a schema number.")
def command(
    files: Sequence[str],
    output: str | None,
    candidates_output: str | None,
    force: bool,
    listed: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    from trsr_lite.cli import session
    from trsr_lite.imports.read import read

    if listed:
        _list(as_json=as_json)
        return
    if as_json and output is None:
        raise SettingsError("`--json` needs `-o`", hint="without `-o`, the user file itself is printed as JSON")
    name, paths = _parted(files)
    _check_free(output, candidates_output, force=force)
    options = flags.taken(ImportOptions, chosen)
    with session.reporting(log=True) as progress:
        done = read(paths, name, options, progress)
    _write(done, output, candidates_output)
    _report(done, output, candidates_output, as_json=as_json)


def _parted(files: Sequence[str]) -> tuple[str | None, list[str]]:
    """The format, where one is named, and the files."""
    from trsr_lite.imports import registry

    if not files:
        raise SettingsError("no file is given", hint="`trsr-lite import --list` shows what can be read")
    first, *rest = files
    if first in registry.formats():
        if not rest:
            raise SettingsError(
                f"no file of format {first!r} is given", hint=f"trsr-lite import {first} FILE -o me.json"
            )
        return first, rest
    if rest and first != "-" and not Path(first).exists() and Path(first).suffix == "" and "/" not in first:
        registry.named(first)  # says which one may have been meant
    return None, list(files)


def _check_free(*outputs: str | None, force: bool) -> None:
    from trsr_lite.io import files as disk

    named = [Path(output) for output in outputs if output]
    if len(named) == 2 and named[0].absolute() == named[1].absolute():
        raise SettingsError("`-o` and `--candidates-output` are one file", hint="name another")
    for path in named:
        disk.check_free(path, force=force)


def _write(done: Import, output: str | None, candidates_output: str | None) -> None:
    from trsr_lite.cli import tables
    from trsr_lite.io import files as disk

    found = done.found
    if not found.history and output and not candidates_output:
        raise SettingsError(
            f"there is no history in {done.files[0].path}, only candidates",
            hint="`--candidates-output FILE` writes them, or `--as history` takes them as read",
        )
    user = found.to_dict(candidates=candidates_output is None)
    if candidates_output:
        with disk.checked(Path(candidates_output)):
            disk.replace(Path(candidates_output), tables.json_bytes(found.candidates))
    if output and found.history:
        with disk.checked(Path(output)):
            disk.replace(Path(output), tables.json_bytes(user))
    elif not output and not (candidates_output and not found.history):
        tables.print_json(user)


def _report(done: Import, output: str | None, candidates_output: str | None, *, as_json: bool) -> None:
    from trsr_lite.cli import tables

    found = done.found
    if as_json:
        said = {
            "schema": 1,
            "files": [{"path": one.path, "format": one.format.name, "guessed": one.guessed} for one in done.files],
            "domain": found.domain,
            "history": len(found.history),
            "candidates": len(found.candidates),
            "notes": found.notes.to_dict(),
        }
        tables.print_json(said)
        return
    to_stderr = output is None and candidates_output is None  # stdout has the user
    for one in done.files:
        click.echo(f"{one.path}: read as {one.format.program}{', which it looks like' * one.guessed}", err=to_stderr)
    counts = f"history: {len(found.history):,} items{_span(found.history)}; candidates: {len(found.candidates):,}"
    click.echo(counts, err=to_stderr)
    for line in found.notes.lines():
        click.echo(f"noted: {line}", err=True)
    _next(done, output, candidates_output)


def _span(history: Sequence[dict[str, Any]]) -> str:
    days = sorted(item["time"][:10] for item in history if "time" in item)
    return f" from {days[0]} to {days[-1]}" if days else ""


def _next(done: Import, output: str | None, candidates_output: str | None) -> None:
    """What to type now."""
    from trsr_lite.cli import session

    found = done.found
    if output and found.history and found.candidates:
        more = f" --candidates {candidates_output}" if candidates_output else ""
        session.hint(f"rank them: `trsr-lite recommend --user {output}{more}`")
    elif output and found.history:
        session.hint(f"to rank something, give candidates: `trsr-lite recommend --user {output} --candidates FILE`")


def _list(*, as_json: bool) -> None:
    from trsr_lite.cli import tables
    from trsr_lite.imports import registry

    known = registry.formats().values()
    if as_json:
        tables.print_json(
            {
                "schema": 1,
                "formats": [
                    {"name": one.name, "program": one.program, "domain": one.domain, "about": one.about}
                    for one in known
                ],
            }
        )
        return
    tables.print_rows(
        ("FORMAT", "what it reads", "where to get it"),
        ((one.name, one.program, one.about) for one in known),
        tables.console(),
    )
