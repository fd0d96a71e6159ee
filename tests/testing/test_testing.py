"""What is offered for tests: scripted models in a real recommender, and waits that end."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from trsr_lite import Recommender, SettingsError, User, testing
from trsr_lite.testing import FakeEngine, fake_recommender, wait_until, wait_until_queued, wait_until_running

ITEMS = [{"id": f"i{number}", "title": f"Title {number}"} for number in range(15)]
USER = User.from_dict({"user_id": "u", "history": ITEMS[:12], "candidates": ITEMS[12:]})


def test_public_functions_say_what_they_do() -> None:
    assert all(inspect.getdoc(getattr(testing, name)) for name in testing.__all__)


def test_a_recommender_follows_the_script_and_what_it_is_asked_is_recorded(tmp_path: Path) -> None:
    engine = FakeEngine(script=lambda _: " likes titles.", margin=lambda prompt: float(prompt.count("13")))
    with fake_recommender(tmp_path, engine) as recommender:
        found = recommender.recommend(USER)
        assert found.recommendations[0].item.id == "i13"
        assert "likes titles." in str(found.summary)
        assert len(engine.prompts) == 3 and len(engine.scored) == 3  # two blocks merged, three candidates
        assert recommender.recommend(USER).summary == found.summary and len(engine.prompts) == 3
    assert (tmp_path / "summaries.sqlite3").exists()


def test_changes_are_settings(tmp_path: Path) -> None:
    with fake_recommender(tmp_path, strategy="none") as recommender:
        assert recommender.settings.strategy == "none"
        assert recommender.recommend(USER).summary is None
    with pytest.raises(SettingsError):
        fake_recommender(tmp_path, strategy="of none")


def test_waits_see_calls_of_other_threads(tmp_path: Path) -> None:
    go_on = threading.Event()

    def script(_: str) -> str:
        assert go_on.wait(60)
        return " a summary."

    with fake_recommender(tmp_path, FakeEngine(script=script)) as recommender:
        threads = [threading.Thread(target=recommender.recommend, args=[USER]) for _ in range(3)]
        threads[0].start()
        wait_until_running(recommender)
        for thread in threads[1:]:
            thread.start()
        wait_until_queued(recommender, 2)
        with pytest.raises(TimeoutError):
            wait_until_queued(recommender, 3, seconds=0.05)
        go_on.set()
        for thread in threads:
            thread.join(60)


def test_a_wait_in_vain_ends() -> None:
    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        wait_until(lambda: False, seconds=0.01)


def test_what_runs_in_production_is_no_test_double(
    python: Callable[..., CompletedProcess[str]], tiny: Path, tmp_path: Path
) -> None:
    code = """
import sys
from trsr_lite.cli import run
assert run(["recommend", "--user", sys.argv[1], "-m", sys.argv[2], "--strategy", "none", "--json"]) == 0
print(sorted(name for name in sys.modules if name.startswith("trsr_lite.testing")))
"""
    user = tmp_path / "user.json"
    user.write_text(
        '{"user_id": "u", "history": [{"id": "a", "title": "A"}], "candidates": [{"id": "b", "title": "B"}]}'
    )
    assert python("-c", code, user, tiny).stdout.splitlines()[-1] == "[]"
    assert Recommender.__module__ == "trsr_lite.recommender.recommender"
