"""How often a catalog finds what the user chose at all: the recall of the first stage, apart from any ranking.

Invariant: the catalog is searched as `recommend --catalog` searches it: all items, the history, and the summary that
the first system saw. Beside it stand the most popular items that are not in the history.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from trsr_lite.catalog import build
from trsr_lite.catalog.catalog import Catalog
from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.outcomes import ListOutcome
from trsr_lite.io import files
from trsr_lite.metrics import intervals
from trsr_lite.records import Item
from trsr_lite.results import OnProgress, Progress


def measure(
    lists: EvalLists,
    outcomes: Sequence[ListOutcome],
    count: int,
    *,
    catalog: str | Path | None = None,
    progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Parts of the user's items that are among the first `count`, as plain JSON values: means with intervals.

    `outcomes` are those of the system whose summaries are searched for. Without a `catalog` one is made of all items
    of the lists, for as long as this takes. `popularity` is None where nobody counted.
    """
    summaries = {outcome.number: outcome.summary for outcome in outcomes}
    with ExitStack() as opened:
        found = opened.enter_context(Catalog(catalog or _made(lists.items, opened)))
        parts = []
        for done, (number, example) in enumerate(sorted(lists.examples.items())):
            if progress:
                progress(Progress("retrieve", done / len(lists.examples)))
            retrieved = found.retrieve(example.history, summaries.get(number), Retrieval(count))
            parts.append(_part({item.id for item in retrieved}, example))
        known = len(found)
    return {
        "count": count,
        "items": known,
        "catalog": intervals.mean(np.array(parts, np.float64), lists.users()).to_dict(),
        "popularity": _popularity(lists, count),
    }


def _made(items: Sequence[Item], opened: ExitStack) -> Path:
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="trsr-lite-")))
    file = folder / "items.jsonl"
    with files.checked(file), file.open("wb") as out:
        out.writelines(orjson.dumps({"id": item.id, **item.attributes}) + b"\n" for item in items)
    build.build([file], folder / "items.catalog", strict=True)
    return folder / "items.catalog"


def _popularity(lists: EvalLists, count: int) -> Mapping[str, Any] | None:
    if lists.counts is None:
        return None
    order = sorted(lists.counts, key=lambda item_id: (-(lists.counts or {})[item_id], item_id))
    parts = []
    for _, example in sorted(lists.examples.items()):
        seen = {item.id for item in example.history}
        unseen = [item_id for item_id in order[: count + len(seen)] if item_id not in seen]
        parts.append(_part(set(unseen[:count]), example))
    return intervals.mean(np.array(parts, np.float64), lists.users()).to_dict()


def _part(found: set[str], example: Example) -> float:
    """The part of the user's items that is among those found."""
    own = [item.id for item, is_own in zip(example.candidates, example.labels, strict=True) if is_own]
    return sum(item_id in found for item_id in own) / len(own)
