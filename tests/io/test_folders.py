"""Where this user's files are, for the library as for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from trsr_lite import Recommender
from trsr_lite.io import folders
from trsr_lite.summaries.store import SummaryStore


def test_what_is_given_comes_before_the_environment_and_that_before_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tmp_path in folders.cache().parents
    assert tmp_path in folders.data().parents
    monkeypatch.setenv("TRSR_LITE_CACHE_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("TRSR_LITE_DATA_DIR", str(tmp_path / "d"))
    assert (folders.cache(), folders.data()) == (tmp_path / "c", tmp_path / "d")
    assert (folders.cache(""), folders.cache("other"), folders.data("other")) == (
        tmp_path / "c",
        Path("other"),
        Path("other"),
    )


def test_the_library_keeps_summaries_where_the_command_line_does(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRSR_LITE_CACHE_DIR", str(tmp_path / "c"))
    with Recommender.load(tiny) as recommender:
        assert recommender.store.path.parent == tmp_path / "c"
    assert SummaryStore.at(None).path.parent == tmp_path / "c"
