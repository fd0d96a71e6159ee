"""`trsr-lite import`."""

from __future__ import annotations

import json
import re
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.commands import Run, runner
from tests.imports.conftest import EXAMPLES, SAMPLES
from trsr_lite import read_candidates, read_user

BOOKS, FEEDS, NEWS = (EXAMPLES / name for name in ("goodreads.csv", "feeds.opml", "planet.xml"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys, "import")


def test_a_user_file_is_written_that_this_package_reads(run: Run, tmp_path: Path) -> None:
    me = tmp_path / "me.json"
    done = run("goodreads", BOOKS, "-o", me)
    assert done.code == 0
    assert done.out == (
        f"{BOOKS}: read as Goodreads library\nhistory: 9 items from 2025-05-05 to 2026-02-02; candidates: 3\n"
    )
    assert f"trsr-lite recommend --user {me}" in done.err
    user = read_user(me)
    assert (len(user.history), len(user.candidates)) == (9, 3)


def test_without_a_format_each_file_says_what_it_looks_like(run: Run, tmp_path: Path) -> None:
    done = run(FEEDS, NEWS, "-o", tmp_path / "me.json")
    assert "feeds.opml: read as OPML list of feeds, which it looks like\n" in done.out
    assert "planet.xml: read as RSS or Atom feed, which it looks like\n" in done.out
    assert json.loads((tmp_path / "me.json").read_text())["domain"] == "news"


def test_without_an_output_the_user_is_printed(run: Run) -> None:
    assert [item["title"] for item in run(SAMPLES / "diary.csv").json["history"]] == [
        "Engine Room (2021)",
        "The Glass Harbour (2019)",
    ]


def test_candidates_can_have_a_file_of_their_own(run: Run, tmp_path: Path) -> None:
    me, wanted = tmp_path / "me.json", tmp_path / "wanted.json"
    assert run(BOOKS, "-o", me, "--candidates-output", wanted).code == 0
    assert not read_user(me).candidates
    assert len(read_candidates(wanted)) == 3


def test_a_file_of_candidates_alone_needs_a_place_for_them(run: Run, tmp_path: Path) -> None:
    me, wanted = tmp_path / "me.json", tmp_path / "wanted.json"
    done = run(NEWS, "-o", me)
    assert done.code == 2
    assert "there is no history" in done.err
    assert not me.exists()
    assert run(NEWS, "--candidates-output", wanted).code == 0
    assert len(read_candidates(wanted)) == 5
    assert run(NEWS, "-o", me, "--as", "history").code == 0
    assert len(read_user(me).history) == 5


def test_a_file_that_exists_is_kept_unless_forced(run: Run, tmp_path: Path) -> None:
    me = tmp_path / "me.json"
    me.write_text("mine")
    assert (run(BOOKS, "-o", me).code, me.read_text()) == (2, "mine")
    assert run(BOOKS, "-o", me, "--force").code == 0
    assert len(read_user(me).history) == 9


def test_a_format_that_is_misspelt_is_suggested(run: Run) -> None:
    done = run("goodread", BOOKS)
    assert (done.code, done.err) == (2, "Error: there is no format 'goodread'\nhint: did you mean `goodreads`?\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no file is given"),
        (["goodreads"], "no file of format 'goodreads' is given"),
        (["missing.csv"], "missing.csv: cannot be read"),
        (["goodreads", SAMPLES / "diary.csv"], "this is no Goodreads library; it looks like: Letterboxd export"),
        (["-o", "x.json", "--candidates-output", "x.json", BOOKS], "are one file"),
        (["--json", BOOKS], "`--json` needs `-o`"),
    ],
)
def test_a_wrong_call_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.code in (2, 4)
    assert done.err.startswith("Error: ")
    assert said in done.err
    assert done.err.count("\n") <= 2


def test_the_list_names_every_format_and_where_its_file_is_got(run: Run) -> None:
    from trsr_lite.imports import registry

    found = run("--list", "--json").json["formats"]
    assert [one["name"] for one in found] == list(registry.formats())
    assert all(one["about"] for one in found)
    assert len(found) >= 12
    assert "Goodreads library" in run("--list").out


def test_json_says_what_was_read_and_what_was_left_out(run: Run, tmp_path: Path) -> None:
    said = run(EXAMPLES / "bookmarks.html", "-o", tmp_path / "me.json", "--json").json
    assert (said["schema"], said["history"], said["candidates"], said["domain"]) == (1, 7, 4, "item")
    assert said["files"][0]["format"] == "bookmarks"
    assert {note["count"] for note in said["notes"]} == {1, 2}


def test_stdin_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(BOOKS.read_bytes())))
    assert len(run("-").json["history"]) == 9


def test_a_parser_that_is_missing_names_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "feedparser", None)
    done = run(NEWS, "--as", "history")
    assert (done.code, "hint: pip install 'trsr-lite[import]'" in done.err) == (2, True)


def test_the_guide_names_every_format() -> None:
    from trsr_lite.imports import registry

    page = (EXAMPLES.parents[1] / "docs" / "guides" / "import.md").read_text(encoding="utf-8")
    table = page.split("## Formats")[1].split("##")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(registry.formats())
