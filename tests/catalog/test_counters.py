"""What users had of a catalog's items: what is found for it, how it is kept current, and what cannot be counted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import runner
from trsr_lite import Catalog, DataError, Item, Retrieval
from trsr_lite.catalog import build, counters, database, retrieval
from trsr_lite.catalog.terms import Tokenizer

ITEMS = [{"id": f"n{number}", "title": f"Word{number} title{number}"} for number in range(30)]
HISTORY = [Item("n0", {"title": "Word0 title0"})]


def lines(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def act(user: Any, item: Any, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, **more}


def crowd() -> list[dict[str, Any]]:
    """Twelve users had n5, of whom four had n0 and n7 before; n9 had one."""
    rows = [act(f"u{number}", "n5") for number in range(12)]
    return [*(act(f"u{number}", item) for number in range(4) for item in ("n0", "n7")), *rows, act("v", "n9")]


def made(folder: Path, clicks: Iterable[Any] | None = None) -> Path:
    items = lines(folder / "items.jsonl", ITEMS)
    interactions = None if clicks is None else lines(folder / "clicks.jsonl", clicks)
    build.build([items], folder / "c", interactions=interactions)
    return folder / "c"


def found(path: Path, options: Retrieval | int | None = None) -> list[str]:
    with Catalog(path) as catalog:
        return [item.id for item in catalog.retrieve(HISTORY, None, options)]


def test_what_is_popular_and_what_the_same_users_had_is_found_without_a_shared_word(tmp_path: Path) -> None:
    assert found(made(tmp_path)) == []
    (tmp_path / "counted").mkdir()
    path = made(tmp_path / "counted", crowd())
    assert found(path)[0] == "n5"
    assert set(found(path)) == {"n5", "n7", "n9"}
    assert set(found(path, 2)) == {"n5", "n7"}
    with Catalog(path) as catalog:
        assert catalog.info()["users"] == 13
        assert catalog.change is None


def test_an_item_of_the_history_is_never_found_and_filters_hold(tmp_path: Path) -> None:
    rows = [{**row, "kind": "even" if number % 2 == 0 else "odd"} for number, row in enumerate(ITEMS)]
    build.build([lines(tmp_path / "i.jsonl", rows)], tmp_path / "c", interactions=lines(tmp_path / "a.jsonl", crowd()))
    assert "n0" not in found(tmp_path / "c")
    assert found(tmp_path / "c", Retrieval(5, filters={"kind": ["even"]})) == []


def test_what_was_disliked_or_skipped_is_not_counted(tmp_path: Path) -> None:
    rows = [{**row, "feedback": "dislike"} if row["item_id"] == "n5" else row for row in crowd()]
    assert set(found(made(tmp_path, rows))) == {"n7", "n9"}


def test_what_the_user_disliked_has_no_neighbours_and_is_not_found_again(tmp_path: Path) -> None:
    path = made(tmp_path, crowd())
    disliked = [Item("n0", {"title": "Word0"}, feedback="dislike")]
    with contextlib.closing(database.connect(path)) as connection:
        liking, against = _near(connection, HISTORY, disliked)
    assert (len(liking), against) == (2, [])
    with Catalog(path) as catalog:
        assert "n0" not in [item.id for item in catalog.retrieve(disliked)]


def _near(connection: sqlite3.Connection, *histories: list[Item]) -> list[list[int]]:
    tokenizer = Tokenizer(connection)
    return [retrieval.lists(connection, tokenizer, history, None, 9)["near"] for history in histories]


def test_counting_again_takes_the_place_of_what_was_counted(tmp_path: Path) -> None:
    path = made(tmp_path, crowd())
    with Catalog(path) as catalog:
        change = catalog.add(interactions=lines(tmp_path / "more.jsonl", [act("u", "n1"), act("u", "nowhere")]))
        assert (change.users, change.unknown, change.new) == (1, 1, 0)
        assert [item.id for item in catalog.retrieve(HISTORY)] == ["n1"]
        assert catalog.info()["users"] == 1


def test_items_that_are_added_or_replaced_leave_the_counters_and_those_removed_have_none(tmp_path: Path) -> None:
    path = made(tmp_path, crowd())
    build.add([lines(tmp_path / "new.jsonl", [{"id": "n5", "title": "Other"}, {"id": "x", "title": "New"}])], path)
    assert found(path)[0] == "n5"
    build.remove(["n5", "x"], path)
    assert set(found(path)) == {"n7", "n9"}


def test_a_row_is_never_given_again_so_that_no_counter_speaks_of_another_item(tmp_path: Path) -> None:
    clicks = [act(f"u{number}", item) for number in range(4) for item in ("n0", "n29")]
    path = made(tmp_path, clicks)
    assert found(path) == ["n29"]
    build.remove(["n29"], path)
    build.add([lines(tmp_path / "new.jsonl", [{"id": "y", "title": "Another"}])], path)
    assert found(path) == []


def test_weights_are_learned_from_the_users_themselves(tmp_path: Path) -> None:
    popular = [act(f"u{number}", item) for number in range(40) for item in (f"n{number % 25}", "n29")]
    path = made(tmp_path, popular)
    with contextlib.closing(database.connect(path)) as connection:
        weights = counters.weights(connection)
    assert list(weights) == list(counters.LISTS)
    assert weights["popular"] > 10 * weights["words"]
    assert all(0 < weight <= 1 for weight in weights.values())


def test_the_order_of_users_in_the_file_changes_only_who_is_asked_for_weights(tmp_path: Path) -> None:
    path = made(tmp_path, crowd())
    (tmp_path / "turned").mkdir()
    turned = made(tmp_path / "turned", sorted(crowd(), key=lambda row: row["user_id"], reverse=True))
    assert set(found(path)) == set(found(turned))


def test_times_order_what_a_user_had(tmp_path: Path) -> None:
    rows = [act("u", "n1", time="2026-02-01"), act("u", "n2", time="2026-01-01"), act("v", "n3")]
    path = made(tmp_path, rows)
    assert set(found(path)) == {"n1", "n2", "n3"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (5, "must be an object, not a number"),
        ({"item_id": "n1"}, "user_id: must be text or a whole number, not null"),
        ({"user_id": "u", "item_id": ""}, "item_id: must be text or a whole number, not text"),
        (act("u", "n1", feedback="meh"), "'meh' is not known; it must be like, dislike or skip"),
        (act("u", "n1", rating="x"), "'x' is no rating; it must be a finite number"),
        (act("u", "n1", time="soon"), "is not a time"),
    ],
)
def test_an_interaction_that_cannot_be_used_is_counted_or_refused_alone(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(DataError, match=r"clicks\.jsonl") as caught:
        made(tmp_path, [row])
    assert said in str(caught.value)
    assert not (tmp_path / "c").exists()
    change = build.build(
        [tmp_path / "items.jsonl"], tmp_path / "c", interactions=lines(tmp_path / "a.jsonl", [row, act("v", "n1")])
    )
    assert change.users == 1
    assert said in change.notes[0]


def test_users_of_other_items_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no user had an item of this catalog"):
        made(tmp_path, [act("u", "strange")])
    path = tmp_path / "kept"
    build.build([tmp_path / "items.jsonl"], path, interactions=lines(tmp_path / "a.jsonl", crowd()))
    with pytest.raises(DataError):
        build.add([], path, interactions=lines(tmp_path / "b.jsonl", [act("u", "strange")]))
    assert found(path)[0] == "n5"


def test_a_catalog_of_version_3_is_read_and_finds_by_words(tmp_path: Path) -> None:
    path = made(tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table in ("popularity", "neighbours"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM facts WHERE name = 'rows'")
        connection.execute("PRAGMA user_version = 3")
    with Catalog(path) as old:
        assert [item.id for item in old.retrieve([Item("h", {"title": "word3"})])] == ["n3"]
    with pytest.raises(DataError, match=r"catalog version 3; this one changes 4"):
        build.add([], path, interactions=lines(tmp_path / "a.jsonl", crowd()))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE neighbours SET others = zeroblob(3)",
        "UPDATE neighbours SET likeness = 'text'",
        "UPDATE neighbours SET others = zeroblob(1000000)",
        "UPDATE popularity SET row = 'text'",
        "UPDATE popularity SET row = 999",
        "UPDATE facts SET value = 'much' WHERE name LIKE 'weight%'",
        "UPDATE facts SET value = 9e999 WHERE name LIKE 'weight%'",
    ],
)
def test_counters_of_a_stranger_cost_nothing_but_themselves(tmp_path: Path, statement: str) -> None:
    path = made(tmp_path, crowd())
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    assert set(found(path)) <= {"n5", "n7", "n9"}


def test_the_command_line_counts_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runner(capsys, "catalog")
    items, clicks = lines(tmp_path / "items.jsonl", ITEMS), lines(tmp_path / "clicks.jsonl", [*crowd(), "5"])
    first = run("build", items, "--interactions", clicks, "--output", tmp_path / "c", "--json")
    assert (first.code, first.json["users"], first.json["unknown"]) == (0, 13, 0)
    again = run("add", tmp_path / "c", "--interactions", clicks)
    assert again.code == 0
    assert "interaction left out: must be an object, not a number" in again.err
    nothing = run("add", tmp_path / "c")
    assert (nothing.code, "no file of items is given" in nothing.err) == (2, True)
