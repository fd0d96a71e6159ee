"""`trsr-lite models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from trsr_lite.cli import flags, manual

if TYPE_CHECKING:
    from trsr_lite.models.known import KnownModel

NOTES = """
`time` is the work of a token against that of smollm2; `trsr-lite bench -m NAME` measures it here.
A model that does not rank yet writes summaries. Train it to rank, on your own lists:
  trsr-lite train --config convert/recipes/qwen2.5-0.5b.toml --dataset jsonl --data logs --output runs/first
Where texts are not English, take one of 29 languages; `--json` names them.
""".strip()


@manual.command(
    "models",
    """List models to choose from: what each needs, may be used for, and is worth.

    Any name works for `-m` and for `pull`. Bundle folders, .gguf files and other hub repositories work as well.
    """,
    examples="""
    trsr-lite models
    trsr-lite pull qwen2.5-0.5b
    """,
)
@flags.as_json
def command(as_json: bool) -> None:
    from trsr_lite.cli import tables
    from trsr_lite.models import known

    found = list(known.models().values())
    if as_json:
        tables.print_json({"schema": 1, "models": [model.to_dict() for model in found]})
        return
    _print(found)


def _print(found: Sequence[KnownModel]) -> None:
    from rich.table import Table

    from trsr_lite.cli import tables

    console = tables.console()
    table = Table()
    for head in ("name", "file", "RAM", "time", "licence", "languages", "ranks"):
        table.add_column(head, no_wrap=head == "name", overflow="fold")
    for model in found:
        languages = model.languages.partition(",")[0]
        table.add_row(
            model.name,
            _gigabytes(model.size),
            _gigabytes(model.ram),
            f"{model.time:g}×",
            model.licence,
            languages,
            "yes" if model.trained else "no",
        )
    console.print(table)
    for model in found:
        if model.recall:
            figures = ", ".join(f"{value:.2f} on {kind}" for kind, value in model.recall.items())
            click.echo(f"{model.name}, {model.about}: Recall@3 {figures}.")
    click.echo(NOTES)


def _gigabytes(mib: int) -> str:
    return f"{mib} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"
