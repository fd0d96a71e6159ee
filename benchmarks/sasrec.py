"""A trained sequential recommender on the lists of a data set: SASRec, as RecTools has it, as a file of scores.

    python -m benchmarks.sasrec --env DIR --output sasrec.jsonl --dataset mind --data DIR […]
    trsr-lite evaluate --scores sasrec.jsonl --dataset mind --data DIR […]

Both take the same data options. RecTools wants another numpy than this project, so it lives in an environment of its
own, made in `--env` at the first run (torch is in it: about 1 GB). Training users' sequences train it, validation
lists choose the number of epochs (without any it is the most), and a held-out user is met when ranked, with the history
that every system sees.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from trsr_lite.cli import flags
from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.dataset import Dataset

MODEL = Path(__file__).with_name("sasrec_model.py")
PACKAGES = ("rectools[torch]==0.19.0", "torch==2.13.0")


@click.command(help=__doc__)
@flags.fields(DataOptions)
@click.option("--env", type=click.Path(path_type=Path), required=True, help="Where its environment is, or is made.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The file of scores.")
@click.option("--epochs", type=int, default=100, show_default=True, help="Epochs at most.")
def main(env: Path, output: Path, epochs: int, **chosen: Any) -> None:
    """Write what SASRec needs, let it train and rank, and keep its scores."""
    python = environment(env)
    options = DataOptions(**{name: value for name, value in chosen.items() if value is not None})
    with tempfile.TemporaryDirectory() as folder, datasets.load(options) as dataset:
        place = Path(folder)
        write(place / "train.jsonl", sequences(dataset))
        for part in ("validation", "test"):
            write(place / f"{part}.jsonl", held_out(dataset, part))
        subprocess.run([python, MODEL, place, output, str(epochs), str(options.seed)], check=True)


def environment(folder: Path) -> Path:
    """The Python of an environment that has RecTools."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "ready").touch()
    return python


def sequences(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """What each training user did, whole."""
    longest: dict[str, list[str]] = {}
    for one in dataset.examples("train"):
        own = [item.id for item, label in zip(one.candidates, one.labels, strict=True) if label]
        found = [*(item.id for item in one.history), *own]
        longest[one.user_id] = max(longest.get(one.user_id, []), found, key=len)
    return ({"user_id": user_id, "items": items} for user_id, items in longest.items())


def held_out(dataset: Dataset, part: str) -> Iterator[dict[str, Any]]:
    """Lists of held-out users; labels are for validation alone."""
    for one in dataset.examples(part):
        yield {
            "user_id": one.user_id,
            "history": [item.id for item in one.history],
            "candidates": [item.id for item in one.candidates],
            **({"labels": one.labels} if part == "validation" else {}),
        }


def write(path: Path, lines: Iterator[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
