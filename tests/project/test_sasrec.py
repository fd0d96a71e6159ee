"""What the benchmark hands to an outside recommender: training users whole, held-out users only to be ranked."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.data_options import DataOptions

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


class Model:
    """In place of RecTools', which lives in another environment."""

    fits = 0

    def __init__(self, **_: Any) -> None:
        Model.fits = 0

    def fit_partial(self, *_: Any, **__: Any) -> None:
        Model.fits += 1


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program of that environment, whose model scores a candidate by the number of fits at `good`."""
    names = {
        "pandas": (), "pytorch_lightning": ("seed_everything",), "rectools": ("Columns",),
        "rectools.dataset": ("Dataset",), "rectools.models": ("SASRecModel",),
    }  # fmt: skip
    for name, members in names.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, Model if member == "SASRecModel" else lambda *_: None)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "benchmarks.sasrec_model", raising=False)
    found = importlib.import_module("benchmarks.sasrec_model")
    monkeypatch.setattr(found, "interactions", lambda _: None)
    monkeypatch.setattr(
        found,
        "scores",
        lambda _, __, lists: [[float(Model.fits), *[2.0] * (len(one["candidates"]) - 1)] for one in lists],
    )
    yield found
    sys.modules.pop("benchmarks.sasrec_model", None)


def prepared(folder: Path, validation: int) -> Path:
    line = {"user_id": "u", "history": ["a"], "candidates": ["b", "c", "d", "e"]}
    parts = {
        "train": [{"user_id": "t", "items": ["a", "b"]}],
        "validation": [{**line, "labels": [1, 0, 0, 0]}] * validation,
        "test": [line],
    }
    for name, lines in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    return folder


@pytest.mark.parametrize(("validation", "fits"), [(0, 8.0), (1, 3.0)])
def test_the_last_epoch_counts_where_nobody_chooses_one(
    tmp_path: Path, model: Any, validation: int, fits: float
) -> None:
    model.main(prepared(tmp_path, validation), tmp_path / "scores.jsonl", 40, 0)
    (line,) = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert json.loads(line) == {"user_id": "u", "scores": {"b": fits, "c": 2.0, "d": 2.0, "e": 2.0}}


def test_scores_are_whole_or_not_there(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path.write_text

    def half(self: Path, text: str, **more: Any) -> int:
        plain(self, text[:9], **more)
        raise KeyboardInterrupt

    prepared(tmp_path, 0)
    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        model.main(tmp_path, tmp_path / "scores.jsonl", 5, 0)
    assert not (tmp_path / "scores.jsonl").exists()
