"""Tables of anybody as users and candidates."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.commands import runner
from tests.imports.conftest import EXAMPLES, SAMPLES, Reader, notes, titles
from trsr_lite import DataError, SettingsError, read_candidates, read_user, read_users
from trsr_lite.imports.read import columns

TABLE = 'Headline,Published,Section,My Rating\nComet returns,2026-01-31,Sky,4\n"Rye, and\nwater",2026-01-02,Food,5\n'
ROWS = [
    {"Headline": "Comet returns", "Published": "2026-01-31", "Section": "Sky", "My Rating": 4},
    {"Headline": "Rye, and water", "Published": "2026-01-02", "Section": "Food", "My Rating": 5},
]


def _forms(folder: Path) -> list[Path]:
    """The same rows in five kinds of files."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    paths = [folder / f"rows.{suffix}" for suffix in ("csv", "tsv", "json", "jsonl", "parquet")]
    paths[0].write_text(TABLE)
    paths[1].write_text(TABLE.replace(",", "\t").replace("Rye\t", "Rye,"))
    paths[2].write_text(json.dumps(ROWS))
    paths[3].write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), paths[4])
    return paths


def test_five_kinds_of_files_are_one_user(tmp_path: Path) -> None:
    for path in _forms(tmp_path):
        user = read_user(path)
        assert [item.title for item in user.history] == ["Rye, and water", "Comet returns"], path.suffix
        assert [item.time for item in user.history] == [1_767_312_000.0, 1_769_817_600.0]
        assert user.history[1].attributes.get("Section", user.history[1].attributes.get("section")) == "Sky"
        assert user.history[0].id == "rye, and water"


def test_five_kinds_of_files_are_candidates(tmp_path: Path) -> None:
    for path in _forms(tmp_path):
        assert sorted(item.title for item in read_candidates(path)) == ["Comet returns", "Rye, and water"], path.suffix


def test_what_was_guessed_is_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(TABLE)
    with caplog.at_level(logging.WARNING):
        read_user(path)
    assert (
        "columns are guessed: 'headline' for the title, 'published' for the time, "
        "'my rating' for the rating; `--map` names others" in caplog.text
    )
    assert "newest first: turned round" in caplog.text


def test_columns_are_named_and_renamed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\nComet,2026-01-02,Sky\n")
    user = read_user(path, columns=columns('title=a, time="b",category=c'))
    assert dict(user.history[0].attributes) == {"title": "Comet", "category": "Sky"}
    assert user.history[0].time == 1_767_312_000.0
    with pytest.raises(SettingsError, match="no column is called 'Headlin'") as caught:
        read_user(path, columns={"title": "Headlin"})
    assert caught.value.hint == "there are a, b, c"


@pytest.mark.parametrize("text", ["title", "title=", "=x", "title=a,b"])
def test_a_map_that_is_none_is_one_line(text: str) -> None:
    if text == "title=a,b":  # a comma within a name
        assert columns(text) == {"title": "a,b"}
    else:
        with pytest.raises(SettingsError, match="is not ROLE=NAME"):
            columns(text)


def test_ids_are_kept_where_there_are_some(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("sku,name\nx1,Comet\nx2,Rye\n")
    assert [item.id for item in read_user(path).history] == ["x1", "x2"]


def test_an_export_is_a_user_without_importing_it_first(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        user = read_user(EXAMPLES / "goodreads.csv")
    assert (len(user.history), len(user.candidates)) == (9, 3)
    assert "read as Goodreads library" in caplog.text
    assert len(read_candidates(EXAMPLES / "planet.xml")) == 5
    assert read_user(SAMPLES / "watch-history.json").history[0].title == "Gravel roads of the north"
    assert len(next(iter(read_users(EXAMPLES / "bookmarks.html"))).history) == 7


def test_one_user_of_a_table_with_several_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("user_id,title\nada,Comet\nben,Rye\nada,Moss\n")
    assert [item.title for item in read_user(path, user_id="ada").history] == ["Comet", "Moss"]
    with pytest.raises(DataError, match="a second user") as caught:
        read_user(path)
    assert caught.value.hint == "choose with `--user-id`"
    with pytest.raises(DataError, match="no user called 'eve'"):
        read_user(path, user_id="eve")


def test_our_own_json_is_read_as_before(tmp_path: Path) -> None:
    own = tmp_path / "me.json"
    own.write_text(json.dumps({"history": [{"id": "1", "title": "Comet", "url": "x", "headline": "y"}]}))
    assert dict(read_user(own).history[0].attributes) == {"title": "Comet", "url": "x", "headline": "y"}
    own.write_text("{broken")
    with pytest.raises(DataError, match="not valid JSON"):
        read_user(own)
    own.write_text("")
    with pytest.raises(DataError, match="is empty"):
        read_user(own)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_user(tmp_path / "missing.csv")


def test_a_table_that_nobody_knows_says_how_to_name_a_column(imported: Reader) -> None:
    with pytest.raises(DataError) as caught:
        imported("a,b\n1,2\n")
    assert caught.value.hint == "name a column of titles: `--map title=Headline`"
    assert titles(imported("a,b\nComet,2\n", columns={"title": "a"}).found.history) == ["Comet"]
    assert notes(imported("a,b\nComet,2\n", "x.csv", columns={"title": "a"})) == ""


def test_ratings_of_a_table_get_the_scale_that_their_largest_tells(imported: Reader) -> None:
    found = imported("title,rating\nComet,8\nRye,3\n").found
    assert found.rating_scale == (1, 10)


def test_commands_take_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: Path) -> None:
    user, wanted = tmp_path / "rows.csv", tmp_path / "wanted.csv"
    user.write_text("a,b\nComet returns,2026-01-02\n")
    wanted.write_text("title\nA telescope\nBread\n")
    run = runner(capsys, "prompt", "-m", str(tiny), "--candidates", str(wanted))
    shown = run("--user", user, "--map", "title=a,time=b")
    assert shown.code == 0, shown.err
    assert "- Comet returns" in shown.out
    assert "A telescope" in shown.out
    missing = run("--user", user, "--map", "title=zz")
    assert (missing.code, "no column is called 'zz'" in missing.err) == (2, True)
