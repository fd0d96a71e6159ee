"""What docs/reference/privacy.md says of files, permissions and logs is what happens."""

from __future__ import annotations

import fnmatch
import json
import logging
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import runner
from trsr_lite import EngineOptions, Recommender, User
from trsr_lite.models import default

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "privacy.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\.[^`]+)` \|.*\| (you [^|]*) \| ([^|]+) \|$", PAGE, re.MULTILINE)
CACHE = {name: until for name, _, until in ROWS if name.startswith(".cache")}
DATA = [name for name, _, _ in ROWS if name.startswith(".local")]
MARK = "zanzibarquokka"  # stands in every text of the user below


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with nothing in the environment that leads elsewhere."""
    home = tmp_path / "empty"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def marked(news_user: User) -> dict[str, object]:
    """A user whose every text and id is marked."""
    items = [
        {"id": f"{item.id}-{MARK}", "title": f"{item.title} {MARK}", MARK: f"{MARK} {number}"}
        for number, item in enumerate((*news_user.history, *news_user.candidates))
    ]
    return {"user_id": f"u-{MARK}", "history": items[:23], "candidates": items[23:]}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(os.name != "posix", reason="the page's paths are those of Linux")
def test_a_recommendation_in_an_empty_home_leaves_the_files_of_the_page_and_no_others(
    home: Path, tiny: Path, news_user: User
) -> None:
    with Recommender.load(tiny, options=EngineOptions(threads=1), offline=True) as recommender:
        recommender.recommend(news_user)
        assert files(home) == set(CACHE)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (home / ".cache/trsr-lite").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((home / ".cache/trsr-lite").stat().st_mode) == 0o700
    assert files(home) == {name for name, until in CACHE.items() if until != "the program ends"}


@pytest.mark.real_model
def test_the_prepared_model_is_the_files_of_the_page_and_no_others(prepared: Path) -> None:
    patterns = [name.removeprefix(".local/share/trsr-lite/") for name in DATA]
    found = files(prepared)
    assert all(any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) for name in found), found
    assert all(fnmatch.filter(found, pattern) for pattern in patterns)
    assert stat.S_IMODE(default.folder(prepared).stat().st_mode) == 0o700


def test_what_a_user_has_read_is_in_no_log_and_on_no_disk(
    home: Path,
    tiny: Path,
    marked: dict[str, object],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("trsr_lite", "trsr_lite.llama"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with Recommender.load(tiny, options=EngineOptions(threads=1), offline=True) as recommender:
        free = recommender.settings.updated(grounded=False)  # a grounded summary repeats words, as the page says
        recommender.recommend(marked, settings=free)
        stored = b"".join(path.read_bytes() for path in (home / ".cache/trsr-lite").rglob("*") if path.is_file())
    assert len(caplog.records) > 20, "llama.cpp tells its log what it does"
    assert MARK not in caplog.text
    assert MARK not in "".join(capfd.readouterr())
    assert MARK.encode() not in stored


def test_verbose_shows_the_log_without_what_was_read(
    tmp_path: Path, tiny: Path, marked: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    user = tmp_path / "user.json"
    user.write_text(json.dumps(marked), encoding="utf-8")
    outcome = runner(capsys, "--verbose")("summarize", "--user", user, "-m", tiny, "--threads", "1", "--json")
    assert outcome.code == 0
    assert "llama" in outcome.err
    assert MARK not in outcome.err


@pytest.mark.parametrize("command", re.findall(r"`trsr-lite (cache clear[^`]*)`", PAGE))
def test_the_page_deletes_with_commands_that_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run: Callable[..., object] = runner(capsys)
    assert run(*command.split()) == (0, "0 summaries deleted\n", "")
