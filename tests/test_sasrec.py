"""What the benchmark hands to an outside recommender: training users whole, held-out users only to be ranked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.options import DataOptions

sasrec = pytest.importorskip("benchmarks.sasrec", reason="run pytest from the project's folder: `python -m pytest`")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"user_id": f"u{user}", "item_id": f"n{user}-{place}"} for user in range(20) for place in range(5)]
    items = [{"id": row["item_id"], "title": row["item_id"]} for row in rows]
    for name, lines in (("items", items), ("interactions", rows)):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return tmp_path


def test_an_outside_recommender_is_trained_on_whole_sequences_of_training_users_alone(data: Path) -> None:
    options = DataOptions("jsonl", str(data), test=0.3, validation=0.2, targets=3)
    with datasets.load(options) as dataset:
        trained = list(sasrec.sequences(dataset))
        lists = {part: list(sasrec.held_out(dataset, part)) for part in ("validation", "test")}
    assert [len(lists[part]) for part in lists] == [4, 6]
    users = [{line["user_id"] for line in lines} for lines in (trained, *lists.values())]
    assert sum(map(len, users)) == len(set.union(*users)) == 20
    for line in trained:  # three targets make three examples, of which the longest has everything
        assert line["items"] == [f"n{line['user_id'][1:]}-{place}" for place in range(5)]
    for line in lists["test"]:
        assert line["history"] == [f"n{line['user_id'][1:]}-{place}" for place in range(4)]
        assert f"n{line['user_id'][1:]}-4" in line["candidates"]
        assert "labels" not in line
    assert all(sum(line["labels"]) == 1 for line in lists["validation"])
