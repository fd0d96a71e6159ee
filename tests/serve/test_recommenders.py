"""The recommenders of a server: what is forgotten, and that a model that was replaced is opened anew."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import EngineOptions, ModelError, Recommender, StoreError
from trsr_lite.serve.recommenders import Recommenders
from trsr_lite.summaries.store import SummaryStore

MakeRecommender = Callable[..., Recommender]
HISTORY = [{"id": f"h{number}", "title": f"Film {number}"} for number in range(10)]


def in_memory(make_recommender: MakeRecommender, tmp_path: Path) -> Recommenders:
    """Recommenders whose cache folder cannot be made, so that each holds its summaries itself."""
    (tmp_path / "file").touch()

    def open_recommender(model: str | None, progress: Any) -> Recommender:
        recommender = make_recommender(name=model or "")
        recommender.store = SummaryStore(tmp_path / "file" / "cache")
        return recommender

    return Recommenders(open_recommender, SummaryStore(tmp_path / "file" / "cache"))


def kept(recommenders: Recommenders, model: str) -> int:
    """How many summaries the recommender of a model holds."""
    with recommenders.using(model) as recommender:
        return int(recommender.store.info()["summaries"])


def test_where_nothing_can_be_written_a_user_is_forgotten_in_memory(
    make_recommender: MakeRecommender, tmp_path: Path
) -> None:
    recommenders = in_memory(make_recommender, tmp_path)
    for model in ("a", "b"):
        with recommenders.using(model) as recommender:
            recommender.summarize({"user_id": "u1", "history": HISTORY})
        assert kept(recommenders, model) == 3
    with suppress(StoreError):  # the store may say that it cannot be written
        recommenders.forget("u1")
    assert [kept(recommenders, model) for model in ("a", "b")] == [0, 0]


def test_what_cannot_be_deleted_is_raised_once_the_rest_is_deleted(
    make_recommender: MakeRecommender, store: SummaryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(user_id: str) -> int:
        raise StoreError("the disk is full")

    own = SummaryStore(tmp_path / "cache")
    recommenders = Recommenders(lambda *_: make_recommender(), own)
    with recommenders.using(None) as recommender:
        recommender.summarize({"user_id": "u1", "history": HISTORY})
    monkeypatch.setattr(own, "clear", fail)
    with pytest.raises(StoreError, match="the disk is full"):
        recommenders.forget("u1")
    assert store.info()["summaries"] == 0


def test_a_model_file_that_was_replaced_is_opened_anew(tiny: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    shutil.copy(tiny, model)

    opened: list[Recommender] = []

    def open_recommender(model: str | None, progress: Any) -> Recommender:
        assert model is not None
        opened.append(Recommender.load(model, cache_dir=tmp_path / "cache", options=EngineOptions(threads=1)))
        return opened[-1]

    user = {"user_id": "u1", "history": HISTORY[:2], "candidates": [{"id": "c1", "title": "Book"}]}
    recommenders = Recommenders(open_recommender, SummaryStore(tmp_path / "cache"))

    def ask() -> None:
        with recommenders.using(str(model)) as recommender:
            recommender.recommend(user)

    ask()
    opened[0].unload()  # as `unload_after` does
    shutil.copy(tiny, tmp_path / "newer")
    with (tmp_path / "newer").open("ab") as file:
        file.write(b"\0")
    os.utime(tmp_path / "newer", (time.time() + 10,) * 2)
    (tmp_path / "newer").replace(model)

    with pytest.raises(ModelError, match="changed since it was loaded"):
        ask()
    with pytest.raises(Exception, match="closed"):
        opened[0].recommend(user)
    for _ in range(2):
        ask()
    assert len(opened) == 2
    recommenders.close()
