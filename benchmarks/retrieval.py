"""How often is the item that a user chose next among the first 50 that a catalog finds?

    python -m benchmarks.retrieval --data DIR [--sets mind,office,authors] [--users N]

Each user's last item is looked for among all items, with the history before it. Users are halved: a catalog counts the
users of one half (`catalog build --interactions`) and is asked for those of the other, so that nobody is counted for
the own answer. `words` is the search of titles alone, `popular` and `near` are the two lists of what users had. `even`
fuses the three with the same weight, and `merged`, what `retrieve` gives, with the weights that the catalog learned.
The data are not part of the repository.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import orjson

from benchmarks.measure import RESULTS
from trsr_lite import Item
from trsr_lite.catalog import build, counters
from trsr_lite.catalog.catalog import Catalog
from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.dataset import Example
from trsr_lite.metrics import intervals

COUNT = 50
ALL: dict[str, Any] = {"validation": 0.0, "test": 1.0, "min_items": 3}
SETS: dict[str, dict[str, Any]] = {
    "authors": {"dataset": "jsonl", "data": "acl", **ALL},
    "mind": {"dataset": "mind", "data": "mind/train", **ALL},
    "office": {"dataset": "amazon-m2", "data": "amazon-office", **ALL},
}
VARIANTS: dict[str, dict[str, float]] = {
    "words": {"words": 1.0, "near": 0.0, "popular": 0.0},
    "near": {"words": 0.0, "near": 1.0, "popular": 0.0},
    "popular": {"words": 0.0, "near": 0.0, "popular": 1.0},
    "even": dict.fromkeys(counters.LISTS, 1.0),
    "merged": {},
}


def own(example: Example) -> Item:
    return example.candidates[example.labels.index(1)]


def halves(examples: Sequence[Example]) -> list[tuple[list[Example], list[Example]]]:
    """(counted, asked) twice."""
    order = np.random.default_rng(0).permutation(len(examples)) % 2
    parts = [[one for one, half in zip(examples, order, strict=True) if half == number] for number in (0, 1)]
    return [(parts[0], parts[1]), (parts[1], parts[0])]


def made(items: Sequence[Item], counted: Sequence[Example], folder: Path) -> Path:
    source, clicks, path = (folder / name for name in ("items.jsonl", "clicks.jsonl", "items.catalog"))
    with source.open("wb") as out:
        out.writelines(orjson.dumps({"id": item.id, **item.attributes}) + b"\n" for item in items)
    with clicks.open("wb") as out:
        for user, one in enumerate(counted):
            rows = ({"user_id": str(user), "item_id": item.id} for item in (*one.history, own(one)))
            out.writelines(orjson.dumps(row) + b"\n" for row in rows)
    build.build([source], path, interactions=clicks)
    return path


def hits(path: Path, asked: Sequence[Example]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with Catalog(path) as catalog:
        for name, weights in VARIANTS.items():
            patched = mock.patch.object(counters, "weights", return_value=weights)
            with patched if weights else nullcontext():
                found[name] = [holds(lambda one: catalog.retrieve(one.history, None, COUNT), one) for one in asked]
    return found


def holds(retrieve: Callable[[Example], Sequence[Item]], one: Example) -> float:
    return float(own(one).id in {item.id for item in retrieve(one)})


def measure(data: Path, name: str, most: int | None) -> dict[str, Any]:
    options = DataOptions(**{**SETS[name], "data": str(data / SETS[name]["data"])})
    with dataset.load(options) as loaded:
        items, examples = list(loaded.items()), list(loaded.examples("test"))
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for counted, asked in halves(examples):
        with tempfile.TemporaryDirectory() as folder:
            some = asked if most is None else asked[: most // 2]
            for variant, values in hits(made(items, counted, Path(folder)), some).items():
                found[variant] += values
    users = np.arange(len(found["merged"]))
    recall = {variant: intervals.mean(np.array(values), users).to_dict() for variant, values in found.items()}
    return {"items": len(items), "users": len(users), f"recall@{COUNT}": recall}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--users", type=int, help="ask for so many at most; all are counted")
    parser.add_argument("--output", type=Path, default=RESULTS / "retrieval.json")
    chosen = parser.parse_args()
    results = json.loads(chosen.output.read_text()) if chosen.output.exists() else {}
    for name in chosen.sets.split(","):
        results[name] = measure(chosen.data, name, chosen.users)
        recall = results[name][f"recall@{COUNT}"]
        print(f"{name}: {results[name]['items']:,} items, {results[name]['users']:,} users", flush=True)
        for variant, one in recall.items():
            print(f"  {variant:8} {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]", flush=True)
        chosen.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
