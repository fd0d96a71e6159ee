"""Forty summaries to read and judge: of the first ten items of twenty readers of MIND and twenty shoppers of Office.

    python examples/default_model/forty.py MIND OFFICE [--no-grounded]

The folders are read in place. Titles come first, then what was made of them, so that a reader can say what is true.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import click

from trsr_lite import Item, Recommender
from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions, domain_of

SEED, PEOPLE, ITEMS = 3, 20, 10


def histories(kind: str, folder: Path) -> list[list[Item]]:
    """The beginnings of some people's histories, the same ones each time."""
    with dataset.load(DataOptions(kind, str(folder), min_items=6)) as found:
        examples = list(found.examples("test"))
    random.Random(SEED).shuffle(examples)
    return [list(example.history[:ITEMS]) for example in examples if len(example.history) >= ITEMS][:PEOPLE]


@click.command()
@click.argument("mind", type=click.Path(path_type=Path))
@click.argument("office", type=click.Path(path_type=Path))
@click.option("--grounded/--no-grounded", default=True, help="Write as the default does, or freely.")
def main(mind: Path, office: Path, grounded: bool) -> None:
    """Print forty people's titles and summaries."""
    with tempfile.TemporaryDirectory() as cache, Recommender.load(cache_dir=cache) as recommender:
        for kind, folder in (("mind", mind), ("amazon-m2", office)):
            people = histories(kind, folder)
            settings = recommender.settings.updated(domain=domain_of(kind), grounded=grounded)
            for history, summary in zip(people, recommender.summaries([*people], settings=settings), strict=True):
                click.echo("\n".join(f"  - {item.title[:100]}" for item in history))
                click.echo(f"{summary.text}\n")


if __name__ == "__main__":
    main()
