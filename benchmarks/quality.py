"""Does training help? Runs of about CPU size on real data, against simple systems on the same held-out lists.

    python -m benchmarks.quality --data DIR --runs DIR [--steps 96] [--only amazon:none:uniform:0:both]

Each cell (data set, strategy, negatives, seed, objective) is trained for so many steps of four rows, scored on held-out
test users and kept in `results/quality.json` as soon as it is done; a second run fills in what is missing, and two can
run side by side on cells of their own. The data are not part of the repository.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import RESULTS
from trsr_lite import Recommender, Settings
from trsr_lite.bench.machine import facts
from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.evaluation import lists as made
from trsr_lite.evaluation import open_systems
from trsr_lite.evaluation.evaluate import rank_lists
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES
from trsr_lite.models import resolve
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.training import run_dir, train, trainer
from trsr_lite.training.train_options import TrainOptions

FILE = RESULTS / "quality.json"
SETS: dict[str, dict[str, Any]] = {
    "mind": {
        "data": {"dataset": "mind", "data": "mind/train", "test": 0.2, "validation": 0.08, "targets": 4},
        "settings": {"domain": "news", "attributes": ("title", "category", "subcategory")},
    },
    "amazon": {
        "data": {"dataset": "amazon-m2", "data": "amazon-office", "test": 0.08, "validation": 0.06, "min_items": 6},
        "settings": {"domain": "product", "attributes": ("title", "brand")},
    },
}
TRAINING = {"learning_rate": 1e-3, "batch_rows": 4, "epochs": 50, "validation_users": 100}
ITEM_TOKENS = 32
QUARTERS = 4
SEEDS = (0, 1, 2)
STEPS = 96  # 384 rows; a validation half-way and one at the end


class Cell(NamedTuple):
    """What is trained and measured."""

    data: str
    strategy: str = "none"
    negatives: str = "uniform"
    seed: int = 0
    objective: str = "both"

    def named(self, steps: int, by: str = ":") -> str:
        """Its name where it is trained for so many steps."""
        return by.join(map(str, (*self, steps)))


def cells() -> Iterator[Cell]:
    """Objectives with three seeds; what differs from the first of them in its summaries, or in its negatives."""
    yield from objectives()
    for name in SETS:
        yield from (Cell(name, strategy) for strategy in ("hierarchical", "recurrent"))
        yield Cell(name, negatives="popularity")


def objectives() -> Iterator[Cell]:
    """What is compared to choose an objective."""
    for name, seed, objective in itertools.product(SETS, SEEDS, ("both", "listwise")):
        yield Cell(name, seed=seed, objective=objective)
    yield Cell("amazon", objective="answer")


def measure(cell: Cell, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one cell and score its test lists with every system."""
    place = trained(cell, arguments)
    record = run_dir.read(place)
    options = _data(cell, arguments)
    with ExitStack() as opened:
        dataset = opened.enter_context(datasets.load(options))
        lists = made.of_dataset(dataset, "test", most=None, seed=cell.seed)
        untrained = cell == Cell(cell.data, negatives=cell.negatives)  # much the same for all, and every seed
        systems, notes = open_systems.run(
            str(place), lists, opened, Recommender.load, untrained=untrained, offline=True
        )
        default = opened.enter_context(Recommender.load(resolve.DEFAULT_MODEL, offline=True)).bundle
        signals, said = open_systems.signals_of(lists, systems, opened, seed=cell.seed, bundle=default)
        simple, _ = open_systems.simple(ALL_BASELINES, signals)
        scored = rank_lists(
            lists, [*systems, *simple], output=place / "evaluation", notes=[*notes, *said], signals=signals
        ).to_dict()
    return {
        "training_rows": record["steps"] * TRAINING["batch_rows"],
        "training_seconds": round(record["seconds"]),
        **curves(place),
        **scored,
    }


def trained(cell: Cell, arguments: argparse.Namespace) -> Path:
    """The run of a cell, trained first where there is none."""
    data = _data(cell, arguments)
    settings = Settings(**SETS[cell.data]["settings"], strategy=cell.strategy, item_tokens=ITEM_TOKENS)
    steps = {"max_steps": arguments.steps, "validate_every": arguments.steps // 2}
    options = TrainOptions(**TRAINING, **steps, seed=cell.seed, objective=cell.objective)
    place = arguments.runs / cell.named(arguments.steps, "-")
    record = run_dir.read(place) if (place / run_dir.RUN).is_file() else {}
    if record.get("status") != "finished":
        train.train(options, settings, data, place, resume=bool(record), on_event=print)
    return place


def _data(cell: Cell, arguments: argparse.Namespace) -> DataOptions:
    data = {**SETS[cell.data]["data"], "negatives": cell.negatives, "seed": cell.seed}
    return DataOptions(**{**data, "data": str(arguments.data / data["data"])})


def curves(place: Path) -> dict[str, Any]:
    """How the run learned: its validations, and the mean loss of each quarter of its steps."""
    log = list(trainer.read_log(place))
    losses = [line["loss"] for line in log if "loss" in line]
    return {
        "validation": [
            {key: round(line[key], 4) for key in ("step", "recall@3", "score")} for line in log if "score" in line
        ],
        "losses": [round(float(quarter.mean()), 3) for quarter in np.array_split(losses, QUARTERS)],
    }


def main() -> None:
    """Fill in the missing cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept, so that they can be continued")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", help="one cell, such as amazon:none:uniform:0:both")
    arguments = parser.parse_args()
    names = {":".join(map(str, cell)): cell for cell in cells()}
    if arguments.only not in (None, *names):
        parser.error(f"no cell is called {arguments.only}: {', '.join(names)}")
    for name, cell in names.items():
        key = cell.named(arguments.steps)
        if key in found() or arguments.only not in (None, name):
            continue
        result = {**measure(cell, arguments), "machine": facts()}
        keep(key, result)
        print(key, {system: values["recall@3"]["value"] for system, values in result["systems"].items()}, flush=True)


def keep(key: str, result: dict[str, Any]) -> None:
    """Add a cell; another run may be adding one of its own at this moment."""
    import fcntl

    lock = os.open(FILE.parent, os.O_RDONLY)  # the folder itself, so that no file of a lock stays there
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside = FILE.with_suffix(".new")
        cells = {**found(), key: {"prompt_version": PROMPT_VERSION, **result}}
        beside.write_text(json.dumps({"cells": cells}, indent=2) + "\n")
        beside.replace(FILE)
    finally:
        os.close(lock)


def found() -> dict[str, Any]:
    """The cells that were measured with today's prompts, each with its steps as the last part of its name."""
    cells: dict[str, Any] = json.loads(FILE.read_text())["cells"] if FILE.exists() else {}
    return {name: cell for name, cell in cells.items() if cell["prompt_version"] == PROMPT_VERSION}


if __name__ == "__main__":
    main()
