"""SASRec, trained and asked in an environment of its own; `benchmarks.sasrec` starts it.

    python sasrec_model.py FOLDER OUTPUT EPOCHS SEED

Reads train.jsonl, validation.jsonl and test.jsonl of FOLDER; writes a line of scores for each list of the last one.
Candidates that no training user has are unknown to it: they stand below the others, and level with each other. Where
there are no validation lists it is trained for all its epochs.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

EVERY = 5  # epochs between two validations
PATIENCE = 4  # validations without a better one
SHAPE = {"n_blocks": 2, "n_heads": 2, "n_factors": 64, "session_max_len": 50, "dropout_rate": 0.3, "lr": 1e-3}


def main(folder: Path, output: Path, epochs: int, seed: int) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    seed_everything(seed)
    train, validation, test = (read(folder / f"{part}.jsonl") for part in ("train", "validation", "test"))
    known = interactions([line["items"] for line in train])
    items = len({item for line in train for item in line["items"]})
    model = SASRecModel(**SHAPE, batch_size=128, epochs=EVERY, loss="softmax", verbose=0)
    best, best_scores, since = -1.0, None, 0
    for epoch in range(EVERY, epochs + 1, EVERY):
        model.fit_partial(known, min_epochs=EVERY, max_epochs=EVERY)
        if not validation:
            print(f"epoch {epoch}: nobody to validate on", file=sys.stderr)
            continue
        recall = np.mean(
            [recall_at_3(s, line) for s, line in zip(scores(model, items, validation), validation, strict=True)]
        )
        print(f"epoch {epoch}: Recall@3 of {len(validation)} validation lists {recall:.3f}", file=sys.stderr)
        if recall > best:
            best, best_scores, since = recall, scores(model, items, test), 0
        elif (since := since + 1) == PATIENCE:
            break
    if best_scores is None:  # nobody chose an epoch: the last one counts
        best_scores = scores(model, items, test)
    lines = (
        {"user_id": line["user_id"], "scores": dict(zip(line["candidates"], found, strict=True))}
        for line, found in zip(test, best_scores, strict=True)
    )
    # Whole or not there: `quality_report` takes a file that exists for a finished one.
    beside = output.with_name(f".{output.name}.new")
    beside.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    beside.replace(output)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def interactions(sequences: list[list[str]]) -> Dataset:
    """Sequences by number, in order of time."""
    rows = [(number, item, place) for number, items in enumerate(sequences) for place, item in enumerate(items)]
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "place"])
    frame[Columns.Datetime] = pd.Timestamp("2026-01-01") + pd.to_timedelta(frame.pop("place"), unit="min")
    frame[Columns.Weight] = 1.0
    return Dataset.construct(frame)


def scores(model: SASRecModel, items: int, lists: list[dict]) -> list[list[float]]:
    """Scores of the candidates of each list; a history of unknown items says nothing about any of them."""
    histories = interactions([line["history"] for line in lists])
    found = model.recommend(
        users=list(range(len(lists))),
        dataset=histories,
        k=items,  # every one, so that any list can be answered
        filter_viewed=False,
        add_rank_col=False,
        on_unsupported_targets="ignore",
    )
    by_list = {
        number: dict(zip(group[Columns.Item], group[Columns.Score].astype(float), strict=True))
        for number, group in found.groupby(Columns.User)
    }
    return [answer(by_list.get(number, {}), line["candidates"]) for number, line in enumerate(lists)]


def answer(known: dict[str, float], candidates: list[str]) -> list[float]:
    lowest = min(known.values(), default=0.0) - 1
    return [known.get(name, lowest) for name in candidates]


def recall_at_3(found: list[float], line: dict) -> float:
    """Share of the user's items among the first three, ties in their expected order."""
    values, labels = np.array(found), np.array(line["labels"])
    own = values[labels == 1]
    above, level = (values[None] > own[:, None]).sum(1), (values[None] == own[:, None]).sum(1)
    return float(np.clip((3 - above) / level, 0, 1).mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
