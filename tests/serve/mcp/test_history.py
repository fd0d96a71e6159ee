"""The file in which an assistant remembers: nothing is lost, and what is not known stays."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trsr_lite import DataError, TrsrError, read_user
from trsr_lite.serve.mcp import history
from trsr_lite.serve.mcp.history import HistoryFile


def test_a_new_file_is_a_user_file_that_its_owner_alone_reads(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "me.json")
    assert file.read()["history"] == []
    assert not file.path.exists(), "reading makes nothing"
    assert [file.append({"title": "Rye"}), file.append({"title": "Wheat", "category": "bread"})] == [1, 2]
    user = read_user(file.path)
    assert [item.title for item in user.history] == ["Rye", "Wheat"]
    if os.name == "posix":
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["me.json"]


def test_what_is_not_known_stays_and_new_ids_are_free(tmp_path: Path) -> None:
    known = {"user_id": "u", "note": "mine", "history": [{"id": "i2", "title": "a", "isbn": 7}]}
    (tmp_path / "me.json").write_text(json.dumps(known))
    HistoryFile(tmp_path / "me.json").append({"title": "b"})
    kept = json.loads((tmp_path / "me.json").read_text())
    assert kept == {
        "user_id": "u",
        "note": "mine",
        "history": [{"id": "i2", "title": "a", "isbn": 7}, {"id": "i3", "title": "b"}],
    }


def test_items_are_taken_out_by_title_whatever_its_case(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "me.json")
    for title in ("Rye", "rye ", "Wheat"):
        file.append({"title": title})
    assert (file.remove(" RYE"), file.remove("absent"), file.clear()) == (2, 0, 1)
    assert file.read()["history"] == []
    with pytest.raises(DataError, match="title is empty"):
        file.remove(" ")


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST", 2)
    file = HistoryFile(tmp_path / "me.json")
    for title in ("a", "b", "c"):
        file.append({"title": title})
    assert [item["title"] for item in file.read()["history"]] == ["b", "c"]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    files = [HistoryFile(tmp_path / "me.json") for _ in range(4)]
    with ThreadPoolExecutor(4) as writers:
        list(writers.map(lambda number: files[number % 4].append({"title": f"t{number}"}), range(40)))
    kept = files[0].read()["history"]
    assert {item["title"] for item in kept} == {f"t{number}" for number in range(40)}
    assert len({item["id"] for item in kept}) == 40


@pytest.mark.parametrize("content", ["[]", "{", '{"history": 3}', "\x00", "title\nRye"])
def test_a_file_that_is_none_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "me.json").write_text(content)
    file = HistoryFile(tmp_path / "me.json")
    for call in (file.read, file.clear, lambda: file.append({"title": "a"})):
        with pytest.raises(DataError, match=r"me\.json"):
            call()
    assert (tmp_path / "me.json").read_text() == content


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrsrError, match=r"me\.json: cannot be written"):
        HistoryFile(tmp_path / "none" / "me.json").append({"title": "a"})
