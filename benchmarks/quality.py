"""Does training help? Runs of about CPU size on real data, against simple systems on the same held-out lists.

    python -m benchmarks.quality --data ../shared/data --minutes 30 [--only amazon:none:uniform:0]

Each cell (data set, strategy, negatives, seed) is trained, scored on held-out test users and kept in
`results/quality.json` as soon as it is done; a second run fills in what is missing. The data are not part of the
repository.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import RESULTS, machine
from trsr_lite import Recommender, Settings
from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.options import DataOptions
from trsr_lite.evaluation import baselines, metrics
from trsr_lite.training import run
from trsr_lite.training.options import TrainOptions
from trsr_lite.training.scorer import Scorer

FILE = RESULTS / "quality.json"
SETS: dict[str, dict[str, Any]] = {
    "mind": {
        "data": {"dataset": "mind", "data": "mind/train", "test": 0.2, "validation": 0.08, "targets": 4},
        "settings": {"domain": "news", "attributes": ("title", "category", "subcategory")},
    },
    "amazon": {
        "data": {"dataset": "amazon-m2", "data": "amazon-office", "test": 0.08, "validation": 0.02, "min_items": 6},
        "settings": {"domain": "product", "attributes": ("title", "brand")},
    },
}
TRAINING = {"learning_rate": 5e-4, "batch_rows": 8, "epochs": 50, "validation_users": 30}
ITEM_TOKENS = 32


def cells() -> Iterator[tuple[str, str, str, int]]:
    """Strategies side by side with one seed, then three seeds of `none`, then popularity negatives."""
    yield from itertools.product(SETS, ("none", "hierarchical", "recurrent"), ("uniform",), (0,))
    yield from itertools.product(SETS, ("none",), ("popularity",), (0,))
    yield from itertools.product(SETS, ("none",), ("uniform",), (1, 2))


def measure(name: str, strategy: str, negatives: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one cell and score its test lists with every system."""
    data = {**SETS[name]["data"], "negatives": negatives, "seed": seed}
    options = DataOptions(**{**data, "data": str(arguments.data / data["data"])})
    settings = Settings(**SETS[name]["settings"], strategy=strategy, item_tokens=ITEM_TOKENS)
    training = TrainOptions(**TRAINING, max_steps=arguments.steps, validate_every=arguments.steps // 3, seed=seed)
    place = arguments.runs / f"{name}-{strategy}-{negatives}-{seed}"
    record = run.folder.read(place) if (place / run.folder.RUN).is_file() else {}
    if record.get("status") != "finished":
        run.train(training, settings, options, place, resume=bool(record), on_event=print)
        record = run.folder.read(place)
    with datasets.load(options) as dataset:
        examples = list(dataset.examples("test"))
        scores = {
            system.__class__.__name__.lower(): [system.score(example) for example in examples]
            for system in (
                baselines.Random(seed),
                baselines.Popularity(dataset.counts()),
                baselines.TfIdf(dataset.items()),
                baselines.BM25(dataset.items()),
            )
        }
        with Recommender.load("smollm2", **{key: getattr(settings, key) for key in settings.to_dict()}) as recommender:
            texts = [found.text for found in recommender.summaries([example.history for example in examples])]
        for label, base_model in (("untrained", True), ("trained", False)):
            if label == "untrained" and strategy != "none":
                continue
            scorer = Scorer(place, base_model=base_model)
            rows = [
                scorer.row(example.history, text, example.candidates)
                for example, text in zip(examples, texts, strict=True)
            ]
            scores[label] = [np.asarray(margins) for margins in scorer.margins(rows)]
    labels = [np.asarray(example.labels) for example in examples]
    log = run.trainer.read_log(place)
    return {
        "users": len(examples),
        "rows": record["steps"] * training.batch_rows,
        "training_seconds": round(record["seconds"]),
        "validation": [
            {key: round(line[key], 4) for key in ("step", "recall@3", "score")} for line in log if "score" in line
        ],
        "systems": {
            system: {key: round(value, 4) for key, value in metrics.summary(zip(values, labels, strict=True)).items()}
            for system, values in scores.items()
        },
    }


def main() -> None:
    """Fill in the missing cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept, so that they can be continued")
    parser.add_argument("--steps", type=int, default=75)
    parser.add_argument("--only", help="one cell, such as amazon:none:uniform:0")
    arguments = parser.parse_args()
    for cell in cells():
        name = ":".join(map(str, cell))
        found = json.loads(FILE.read_text()) if FILE.exists() else {"cells": {}}
        if name in found["cells"] or arguments.only not in (None, name):
            continue
        result = measure(*cell, arguments)
        found["cells"][name] = {**result, "machine": machine()}
        FILE.write_text(json.dumps(found, indent=2) + "\n")
        print(name, {system: values["recall@3"] for system, values in result["systems"].items()}, flush=True)


if __name__ == "__main__":
    main()
