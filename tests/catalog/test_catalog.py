"""Catalogs: what is in them, how they change, what goes wrong, and what is found."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands import Run, runner
from trsr_lite import Catalog, CatalogChange, DataError, Item, Retrieval, SettingsError, StoreError
from trsr_lite.catalog import build as changes
from trsr_lite.catalog import database, terms, writer
from trsr_lite.catalog.similarity import Folding, diverse
from trsr_lite.io import lines

SHOP = [
    {"id": "p1", "title": "Walnut desk lamp", "category": "Lighting", "time": "2026-01-01"},
    {"id": "p2", "title": "Brass desk lamp", "category": "Lighting", "time": "2026-02-01"},
    {"id": "p3", "title": "Garden spade", "category": "Garden, Tools", "time": "2026-03-01"},
    {"id": "p4", "title": "Garden rake", "category": "Garden", "text": "With a handle of ash"},
    {"id": "p5", "title": "Café crème cups", "category": "Kitchen"},
]

Build = Callable[..., Path]


def item(item_id: str, title: str = "", **attributes: str) -> Item:
    return Item(item_id, {**({"title": title} if title else {}), **attributes})


def write(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """`build(rows, name)` makes a catalog of dicts (or of lines as they are)."""

    def make(rows: Iterable[Any] = SHOP, name: str = "shop", **options: Any) -> Path:
        path = tmp_path / f"{name}.catalog"
        changes.build([write(tmp_path / f"{name}.jsonl", rows)], path, **options)
        return path

    return make


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `trsr-lite catalog …`."""
    return runner(capsys, "catalog")


def found(path: Path, *titles: str, options: Retrieval | int | None = None, summary: str | None = None) -> list[str]:
    """Ids that are found for a history of these titles, oldest first."""
    history = [item(f"h{number}", title) for number, title in enumerate(titles)]
    with Catalog(path) as catalog:
        return [one.id for one in catalog.retrieve(history, summary, options)]


def digest(path: Path) -> str:
    with Catalog(path) as catalog:
        return catalog.digest


def state(path: Path) -> tuple[Any, ...]:
    """Everything that a catalog says of its items, for comparing two of them."""
    with sqlite3.connect(path) as connection:
        vocabulary = connection.execute("SELECT * FROM vocabulary").fetchall()
        counted = connection.execute("SELECT term, doc FROM search_terms").fetchall()
        facts = connection.execute("SELECT * FROM facts WHERE name <> 'rows'").fetchall()
        attributes = connection.execute("SELECT name, items FROM attributes ORDER BY name").fetchall()
    assert vocabulary == counted, "the vocabulary is not what the index says"
    return vocabulary, facts, attributes


# What is in a catalog


def test_an_item_comes_back_as_it_was(build: Build) -> None:
    with Catalog(build()) as catalog:
        assert len(catalog) == 5
        assert catalog.get("p3") == Item.from_dict(SHOP[2])
        assert list(catalog.get("p4").attributes) == ["title", "category", "text"]
        assert catalog.get("p9") is None


def test_the_digest_does_not_depend_on_the_order_of_the_items(build: Build) -> None:
    assert digest(build(SHOP, "one")) == digest(build(SHOP[::-1], "other"))


@pytest.mark.parametrize(
    "change",
    [{"title": "Garden fork"}, {"time": "2026-03-02"}, {"id": "p6"}, {"new": "attribute"}],
    ids=["text", "time", "id", "attribute"],
)
def test_the_digest_depends_on_everything_that_is_in_an_item(build: Build, change: dict[str, str]) -> None:
    changed = [*SHOP[:2], {**SHOP[2], **change}, *SHOP[3:]]
    assert digest(build(SHOP, "one")) != digest(build(changed, "other"))


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["red car", "red bus", "blue", "a b c"]))))
def test_adding_and_removing_leads_to_the_catalog_that_is_built_at_once(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str]]
) -> None:
    """Each id brings an attribute that no other item has."""
    folder = tmp_path_factory.mktemp("events")
    first = {"id": "z", "title": "first"}
    path, expected = folder / "grown", {"z": first}
    changes.build([write(folder / "first.jsonl", [first])], path)
    for number, (item_id, title) in enumerate(events):
        if number % 3 == 2 and item_id in expected:
            changes.remove([item_id], path)
            del expected[item_id]
        else:
            expected[item_id] = {"id": item_id, "title": title, f"of {item_id}": title}
            changes.add([write(folder / "more.jsonl", [expected[item_id]])], path)
    changes.build([write(folder / "all.jsonl", expected.values())], folder / "built")
    assert state(path) == state(folder / "built")


def test_what_was_removed_or_replaced_is_not_found_again(build: Build, tmp_path: Path) -> None:
    path = build()
    assert set(found(path, "garden")) == {"p3", "p4"}
    changes.remove(["p4"], path)
    changes.add([write(tmp_path / "new.jsonl", [{"id": "p3", "title": "Snow shovel"}])], path)
    assert found(path, "garden") == []
    assert found(path, "shovel") == ["p3"]


def test_changes_are_counted_by_what_they_were(build: Build, tmp_path: Path) -> None:
    path = build()
    rows = [
        SHOP[0],
        {"id": "p2", "title": "Steel desk lamp"},
        {"id": "p6", "title": "Hoe"},
        {"id": "p6", "title": "Hoe"},
    ]
    outcome = changes.add([write(tmp_path / "new.jsonl", rows)], path)
    assert (outcome.new, outcome.replaced, outcome.same, outcome.removed) == (1, 1, 2, 0)


def test_of_rows_with_one_id_the_last_counts(build: Build) -> None:
    rows = [{"id": "p1", "title": "First"}, {"id": "p1", "title": "Second"}]
    with Catalog(build(rows)) as catalog:
        assert (len(catalog), catalog.get("p1").title) == (1, "Second")


def test_more_items_than_are_put_in_together(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "TOGETHER", 7)
    monkeypatch.setattr(writer, "VARIABLES", 3)
    rows = [{"id": number, "title": f"Thing {number % 11}"} for number in range(50)]
    path = build(rows)
    changes.remove([str(number) for number in range(0, 50, 2)], path)
    assert state(path) == state(build(rows[1::2], "other"))


# Inputs


def test_csv_and_parquet_make_the_same_catalog_as_json_lines(build: Build, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: `pip install 'trsr-lite[parquet]'`")
    from pyarrow import parquet

    rows = [{"id": f"p{number}", "title": f'A "title", {number}', "note": "two\nlines"} for number in range(5)]
    with (tmp_path / "items.csv").open("w", newline="", encoding="utf-8-sig") as out:
        table = csv.DictWriter(out, ["id", "title", "note"])
        table.writeheader()
        table.writerows(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "items.parquet")
    expected = digest(build(rows))
    for name in ("items.csv", "items.parquet"):
        changes.build([tmp_path / name], tmp_path / f"{name}.catalog")
        assert digest(tmp_path / f"{name}.catalog") == expected


def test_parquet_has_times_decimals_and_missing_values(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: `pip install 'trsr-lite[parquet]'`")
    import datetime
    import decimal

    from pyarrow import parquet

    time = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    row = {
        "id": 7,
        "title": "A",
        "time": time,
        "price": decimal.Decimal("1.50"),
        "weight": float("nan"),
        "tags": ["a", "b"],
    }
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "items.parquet")
    changes.build([tmp_path / "items.parquet"], tmp_path / "c")
    with Catalog(tmp_path / "c") as catalog:
        assert catalog.get("7") == Item("7", {"title": "A", "price": "1.50", "tags": "a, b"}, time.timestamp())


def test_a_value_of_parquet_that_cannot_be_read_spoils_its_row_alone(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "id": pyarrow.array([b"p1", b"\xff", b"p3", b"p4"]).view(pyarrow.string()),
        "title": pyarrow.array(["One", "Two", "Three", "Four"]),
        "added": pyarrow.array([0, 0, 1 << 41, 0], pyarrow.timestamp("s")),  # milliseconds by mistake: the year 71,000
        "codes": pyarrow.array([[Decimal("1.5")]] * 4),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "items.parquet")
    outcome = changes.build([tmp_path / "items.parquet"], tmp_path / "c")
    kept = [json.loads(line) for line in outcome.rejects.read_text().splitlines()]
    assert [row["where"].rsplit(": ")[-1] for row in kept] == ["row 2", "row 3"]
    assert all("value that cannot be read" in row["reason"] for row in kept)
    with Catalog(tmp_path / "c") as catalog:
        assert catalog.get("p4").attributes["codes"] == "1.5"


def test_without_pyarrow_parquet_names_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(SettingsError, match="needs the package pyarrow") as caught:
        changes.build([tmp_path / "items.parquet"], tmp_path / "c")
    assert caught.value.hint == "pip install 'trsr-lite[parquet]'"
    assert not (tmp_path / "c").exists()


BAD = [
    '{"id": "p1", "title": "Good"}',
    "{broken",
    '["no object"]',
    '{"id": "p2"}',
    "",
    '{"id": "p3", "title": "Also good"}',
]


def test_bad_rows_are_counted_and_kept_with_their_places(build: Build, tmp_path: Path, run: Run) -> None:
    write(tmp_path / "bad.jsonl", BAD)
    outcome = run("build", tmp_path / "bad.jsonl", "--json")
    assert (outcome.json["new"], outcome.json["rejected"]) == (2, 3)
    assert "3 bad rows were left out" in outcome.err
    kept = [json.loads(line) for line in Path(outcome.json["rejects"]).read_text().splitlines()]
    assert [row["where"].rsplit("/")[-1] for row in kept] == ["bad.jsonl:2", "bad.jsonl:3", "bad.jsonl:4"]
    assert kept[0]["row"] == "{broken" and "not valid JSON" in kept[0]["reason"]
    assert all(row["reason"] for row in kept)


def test_strict_stops_at_the_first_bad_row_and_makes_nothing(tmp_path: Path, run: Run) -> None:
    write(tmp_path / "bad.jsonl", BAD)
    outcome = run("build", tmp_path / "bad.jsonl", "--strict")
    assert outcome.code == 4
    assert "bad.jsonl:2: column" in outcome.err and "hint: run without `--strict`" in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["bad.jsonl"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("id,title\np1,A,B\np2,Good\n", 2, "3 values for the 2 columns"),
        ("id,title\np2,Good\n,No id\n", 3, "id: missing"),
        ('id,title\np2,Good\np3,"A"B\n', 3, "not valid CSV"),
        (b"id,title\np2,Good\np3,\xff\n", 3, "is no UTF-8: it may be Windows-1252"),
    ],
)
def test_a_bad_row_of_csv_is_named_by_its_line(tmp_path: Path, text: Any, line: int, reason: str) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    outcome = changes.build([path], tmp_path / "c")
    assert (outcome.new, outcome.rejected) == (1, 1)
    kept = json.loads(outcome.rejects.read_text())
    assert kept["where"] == f"{path}:{line}" and reason in kept["reason"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("items.csv", "name,title\na,b\n", "no column is called `id`"),
        ("items.csv", "id,title,title\na,b,c\n", "two columns are called 'title'"),
        ("items.jsonl", "", "there are no items"),
        ("items.jsonl", "{}\n", "no item can be used; the first of 1 bad rows"),
        ("items.parquet", "PAR1", "cannot be read as Parquet"),
        ("items.xlsx", "", "items are read from files named"),
    ],
)
def test_a_file_that_gives_no_items_is_refused_by_name(tmp_path: Path, name: str, text: str, says: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="needs pyarrow: `pip install 'trsr-lite[parquet]'`")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        changes.build([tmp_path / name], tmp_path / "c")
    assert name in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_bad_rows_are_never_written_over_an_input(build: Build, tmp_path: Path) -> None:
    source = write(tmp_path / "bad.jsonl", BAD)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for name in ("bad.jsonl", "sub/../bad.jsonl", "link/bad.jsonl", "link/c"):
        with pytest.raises(SettingsError, match="would be written over"):
            changes.build([source], tmp_path / "c", rejects=tmp_path / name)
    assert source.read_text().splitlines() == BAD


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "/c", "x" * 245])
@pytest.mark.parametrize("option", ["path", "rejects"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str, option: str) -> None:
    source = write(tmp_path / "items.jsonl", SHOP)
    places = {"path": tmp_path / "c", option: tmp_path / name}
    with suppress(StoreError):  # the last may be, as one of the two
        changes.build([source], **places)
        assert name == "x" * 245
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.name != "posix", reason="named pipes and devices are of POSIX")
def test_rejects_may_go_to_a_device_which_stays(tmp_path: Path, build: Build) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    build(rejects=pipe)
    assert pipe.is_fifo()
    build([*SHOP, "no JSON"], rejects=Path(os.devnull), force=True)
    assert Path(os.devnull).is_char_device()


def test_no_file_of_anybody_is_removed_or_overwritten_by_rejects(tmp_path: Path, run: Run) -> None:
    path, thesis = tmp_path / "x.catalog", tmp_path / "thesis.txt"
    good, bad = write(tmp_path / "good.jsonl", SHOP), write(tmp_path / "bad.jsonl", BAD)
    thesis.write_text("years of work")
    assert run("build", good, "--output", tmp_path / "there.catalog").code == 0
    for source in (good, bad):  # whether anything is rejected or not
        for command in (["build", source, "--output", path], ["add", tmp_path / "there.catalog", source]):
            outcome = run(*command, "--rejects", thesis)
            assert outcome.code == 2 and f"{thesis}: already exists" in outcome.err
            assert thesis.read_text() == "years of work"
    assert not path.exists()
    first = run("build", bad, "--output", path, "--json").json["rejects"]
    kept = Path(first).read_text()
    assert run("add", path, good, "--json").json["rejects"] is None
    second = run("add", path, bad, "--json").json["rejects"]
    assert first != second and Path(first).read_text() == kept
    assert run("add", path, bad, "--rejects", thesis, "--force").code == 0
    assert "no object" in thesis.read_text()


def test_a_catalog_is_not_written_over_its_own_items(tmp_path: Path, run: Run) -> None:
    source = write(tmp_path / "items.jsonl", SHOP)
    outcome = run("build", source, "--output", source, "--force")
    assert outcome.code == 2 and "would be written over its items" in outcome.err
    assert len(source.read_text().splitlines()) == len(SHOP)


def test_every_line_that_an_open_quote_takes_along_is_counted_and_kept(tmp_path: Path) -> None:
    rows = [f"p{number},Title {number}" for number in range(200)]
    rows[49] = 'p49,"Title 49'
    (tmp_path / "items.csv").write_text("\n".join(["id,title", *rows, ""]))
    outcome = changes.build([tmp_path / "items.csv"], tmp_path / "c")
    assert (outcome.new, outcome.rejected) == (49, 151)
    kept = [json.loads(line) for line in outcome.rejects.read_text().splitlines()]
    assert [row["row"] for row in kept] == rows[49:]
    assert kept[0]["where"].endswith("items.csv:51") and "up to line 201" in kept[0]["reason"]


def test_a_line_without_end_is_one_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 100)
    huge = json.dumps({"id": "p2", "title": "x" * 450})
    source = write(tmp_path / "items.jsonl", [{"id": "p1", "title": "One"}, huge, {"id": "p3", "title": "Three"}])
    outcome = changes.build([source], tmp_path / "c")
    assert (outcome.new, outcome.rejected) == (2, 1)
    assert "jsonl:2" in outcome.rejects.read_text() and "is longer than" in outcome.rejects.read_text()


# Files and faults


def test_an_existing_file_is_replaced_only_by_force(build: Build) -> None:
    build()
    with pytest.raises(SettingsError, match="already exists"):
        build(SHOP[:2])
    assert digest(build(SHOP[:2], force=True)) == digest(build(SHOP[:2], "other"))


def test_a_catalog_of_another_version_is_refused_with_the_way_out(build: Build) -> None:
    path = build()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {database.SCHEMA + 1}")
    for use in (lambda: Catalog(path), lambda: changes.remove(["p1"], path)):
        with pytest.raises(DataError, match="was built by a newer trsr-lite") as caught:
            use()
        assert "build it again" in caught.value.hint and "upgrade" in caught.value.hint


def test_another_file_is_no_catalog(build: Build, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE things (name)")
    whole = build().read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    for name, says in (
        ("text", "is not a catalog"),
        ("other", "is an SQLite file, but not a catalog"),
        ("absent", "there is no such catalog"),
        ("half", "damaged"),
        (".", "is a folder"),
    ):
        with pytest.raises(DataError, match=says):
            found(tmp_path / name, "lamp")


def test_a_build_that_is_killed_leaves_nothing_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    code = (
        "import sys, threading\nfrom trsr_lite.catalog import build as changes, writer\n"
        "def stop(self):\n    print('built', flush=True)\n    threading.Event().wait()\n"
        "writer.Writer.finish = stop\nchanges.build(sys.argv[1:2], sys.argv[2])\n"
    )
    source, target = write(tmp_path / "items.jsonl", SHOP), tmp_path / "shop.catalog"
    with subprocess.Popen([sys.executable, "-c", code, source, target], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "built\n"
        process.kill()
    assert not target.exists()
    assert list(tmp_path.glob(".shop*"))
    changes.build([source], target)
    assert not list(tmp_path.glob(".shop*"))
    assert len(Catalog(target)) == 5


def test_what_an_earlier_process_of_the_same_number_left_is_no_obstacle(tmp_path: Path) -> None:
    """In a container every process may be number 1."""
    source, target = write(tmp_path / "items.jsonl", SHOP), tmp_path / "shop.catalog"
    left = tmp_path / f".{target.name}.{os.getpid()}.building"
    database.create(left).close()
    changes.build([source], target)
    assert len(Catalog(target)) == 5 and not left.exists()


def add_and_be_killed(path: Path) -> None:
    """What was added is half written to the file, and so is what it needs to be as it was."""
    more = write(path.with_name("more.jsonl"), [{"id": f"n{n}", "title": f"New {n}"} for n in range(3000)])
    code = (
        "import os, signal, sys\nfrom trsr_lite.catalog import build, database, writer\ndatabase.CACHE_KIB = 16\n"
        "writer.Writer.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "build.add(sys.argv[1:2], sys.argv[2])\n"
    )
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", code, more, path])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() != before and Path(f"{path}-journal").stat().st_size


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_after_an_addition_that_was_killed_reading_goes_on(build: Build) -> None:
    path = build()
    before = digest(path)
    with Catalog(path) as opened_before:
        for _ in range(2):
            add_and_be_killed(path)
            assert len(opened_before) == 5
            assert [one.id for one in opened_before.retrieve([item("h", "Walnut lamp")])] == ["p1", "p2"]
    add_and_be_killed(path)
    assert digest(path) == before
    state(path)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize("before", ["kept", "deleted", "damaged"])
def test_what_a_killed_addition_left_is_never_played_into_a_new_catalog(
    build: Build, tmp_path: Path, before: str
) -> None:
    path = build()
    add_and_be_killed(path)
    if before == "deleted":
        path.unlink()
    elif before == "damaged":
        path.write_bytes(b"x" * 5000)
    rows = [{"id": f"m{n}", "title": f"Modern {n}"} for n in range(900)]
    build(rows, "other")
    changes.build([tmp_path / "other.jsonl"], path, force=True)
    assert not Path(f"{path}-journal").exists()
    assert digest(path) == digest(tmp_path / "other.catalog")
    assert state(path) == state(tmp_path / "other.catalog")


def test_a_catalog_that_is_being_changed_is_not_replaced(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build()
    before = digest(path)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            build(SHOP[:2], force=True)
    assert digest(path) == before


def test_nobody_changes_a_catalog_while_another_takes_its_name(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was added to the old file would be lost, and its journal played into the new one."""
    path, more = build(), write(tmp_path / "more.jsonl", [{"id": "late", "title": "Late lamp"}])
    replace, seen = Path.replace, []

    def meanwhile(self: Path, target: Path) -> Path:
        with monkeypatch.context() as quick:
            quick.setattr(database, "BUSY_SECONDS", 0)
            with pytest.raises(StoreError, match="locked"):
                changes.add([more], path)
        seen.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", meanwhile)
    build(SHOP[:2], force=True)
    assert seen == [path]


def test_an_addition_that_waited_for_a_catalog_which_is_replaced_by_then_says_so(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, more = build(), write(tmp_path / "more.jsonl", [{"id": "late", "title": "Late lamp"}])
    other, connect = build(SHOP[:2], "other"), database.connect

    def replaced(target: Path, **options: Any) -> Any:
        connection = connect(target, **options)
        other.replace(path)
        return connection

    with monkeypatch.context() as slow:
        slow.setattr(database, "connect", replaced)
        with pytest.raises(StoreError, match="was replaced at this moment"):
            changes.add([more], path)
    assert len(Catalog(path)) == 2


def test_an_open_catalog_follows_the_file_that_takes_its_name(build: Build, tmp_path: Path) -> None:
    path = build()
    with Catalog(path) as catalog:
        assert len(catalog) == 5
        build(SHOP[:2], force=True)
        assert len(catalog) == 2
        changes.add([write(tmp_path / "more.jsonl", [{"id": "late", "title": "Late lamp"}])], path)
        assert len(catalog) == 3
        assert "late" in [one.id for one in catalog.retrieve([item("h", "A late lamp")])]
        path.write_text("no catalog")
        for _ in range(2):
            with pytest.raises((DataError, StoreError), match="is not a catalog"):
                len(catalog)
        path.unlink()


def test_damage_is_no_fault_of_the_user_who_is_looked_for(build: Build) -> None:
    path = build()
    with Catalog(path) as catalog:
        with path.open("r+b") as damaged:
            damaged.seek(4096)
            damaged.write(b"x" * (path.stat().st_size - 4096))
        with pytest.raises(StoreError, match="damaged"):
            catalog.retrieve([item("h", "Walnut lamp")])


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_an_addition_that_is_killed_leaves_the_catalog_as_it_was(build: Build, tmp_path: Path) -> None:
    path = build()
    before = digest(path)
    add_and_be_killed(path)
    changes.remove(["p1"], path)  # rolls back what was half written
    changes.add([write(tmp_path / "p1.jsonl", SHOP[:1])], path)
    assert digest(path) == before
    state(path)


def test_a_fault_while_adding_leaves_the_catalog_as_it_was(build: Build, tmp_path: Path) -> None:
    path = build()
    before = path.read_bytes()
    with pytest.raises(DataError):
        changes.add([write(tmp_path / "more.jsonl", [{"id": "p9", "title": "New"}, {"id": ""}])], path, strict=True)
    with pytest.raises(DataError, match="no item has the id 'p9'; nothing was removed"):
        changes.remove(["p1", "p9"], path)
    assert path.read_bytes() == before
    assert changes.remove(["p1", "p9"], path, missing_ok=True).removed == 1


@pytest.mark.parametrize("change", ["build", "add"])
def test_a_full_disk_is_said_and_leaves_what_was_there(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = build()
    more = write(tmp_path / "more.jsonl", [{"id": f"n{n}", "title": f"New {n} {'x' * 500}{n}"} for n in range(2000)])
    before = digest(path)
    begin = writer.Writer.__init__

    def filling(self: writer.Writer, connection: sqlite3.Connection, **options: Any) -> None:
        begin(self, connection, **options)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")

    monkeypatch.setattr(writer.Writer, "__init__", filling)
    with pytest.raises(StoreError, match="full") as caught:
        if change == "build":
            changes.build([more], path, force=True)
        else:
            changes.add([more], path)
    assert "make room" in caught.value.hint
    assert digest(path) == before
    assert not list(tmp_path.glob(".shop*"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs POSIX permissions, which root passes over")
def test_a_read_only_catalog_is_read_and_not_changed(build: Build) -> None:
    path = build()
    path.chmod(0o400)
    assert found(path, "lamp")
    with pytest.raises(StoreError, match="readonly"):
        changes.remove(["p1"], path)


def test_who_only_reads_cannot_write(build: Build) -> None:
    path = build()
    with pytest.raises(StoreError, match="readonly") as caught, database.mapped(path):
        database.connect(path).execute("DELETE FROM items")
    assert "must be writable" in caught.value.hint


def test_two_processes_that_change_a_catalog_wait_for_each_other_or_say_so(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build()
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert found(path, "lamp"), "reading goes on"
        with pytest.raises(StoreError, match="locked") as caught:
            changes.remove(["p1"], path)
    assert "another process" in caught.value.hint


# What is found


def test_items_like_the_newest_ones_come_first(build: Build) -> None:
    path = build()
    assert found(path, "garden", "desk lamp")[:2] == ["p1", "p2"]
    assert found(path, "desk lamp", "garden")[0] in ("p3", "p4")


def test_the_summary_is_searched_too(build: Build) -> None:
    assert found(build(), "nothing known", summary="The user likes cafe creme") == ["p5"]


def test_seen_items_and_their_near_duplicates_are_never_found(build: Build) -> None:
    rows = [*SHOP, {"id": "p6", "title": "LAMP, desk: walnut!", "category": "Lighting"}]
    with Catalog(build(rows)) as catalog:
        history = [Item.from_dict(SHOP[0])]
        assert [one.id for one in catalog.retrieve(history)] == ["p2"]
        assert {one.id for one in catalog.retrieve(history, options=Retrieval(fold=False))} == {"p2", "p6"}


def test_at_most_as_many_as_asked_for(build: Build) -> None:
    assert len(found(build(), "garden desk lamp", options=3)) == 3
    with pytest.raises(SettingsError, match="count is 0"):
        found(build(name="other"), "lamp", options=0)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"category": ["garden"]}, {"p3", "p4"}),
        ({"category": ["tools"]}, {"p3"}),
        ({"category": ["Garden", "Lighting"]}, {"p1", "p2", "p3", "p4"}),
        ({"category": ["garden"], "text": ["with a handle of ash"]}, {"p4"}),
        ({"text": ["garden"]}, set()),
    ],
)
def test_a_filter_is_an_attributes_text_or_an_entry_of_its_list(
    build: Build, filters: dict[str, list[str]], expected: set[str]
) -> None:
    assert set(found(build(), "garden desk lamp", options=Retrieval(filters=filters))) == expected


def test_a_filter_on_an_attribute_that_no_item_has_is_an_error_that_names_those_that_exist(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, options = build(), Retrieval(filters={"category": ["garden"], "text": ["x"], "Text": ["x"]})
    with pytest.raises(SettingsError, match="no item has the attribute 'Text' of the filter") as caught:
        found(path, "garden", options=options)
    assert caught.value.hint == "its items have title, category, text"
    with Catalog(path) as catalog, pytest.raises(SettingsError, match="'Text'"):
        catalog.check(options)
    monkeypatch.setattr("trsr_lite.catalog.catalog.SHOWN", 2)
    with pytest.raises(SettingsError) as caught:
        found(path, "garden", options=options)
    assert caught.value.hint == "its items have title, category and more"


def test_an_attribute_is_known_as_long_as_one_item_has_it(build: Build, tmp_path: Path) -> None:
    path, options = build(), Retrieval(filters={"colour": ["red"]})

    def put(**attributes: str) -> None:
        changes.add([write(tmp_path / "more.jsonl", [{"id": "new", "title": "Garden hose", **attributes}])], path)

    put(colour="red")
    changes.add([write(tmp_path / "other.jsonl", [{"id": "other", "title": "Cap", "colour": "blue"}])], path)
    assert found(path, "garden", options=options) == ["new"]
    put()
    assert found(path, "garden", options=options) == []
    changes.remove(["other"], path)
    with pytest.raises(SettingsError, match="'colour'"):
        found(path, "garden", options=options)


def test_a_filter_of_an_empty_catalog_finds_nothing(build: Build) -> None:
    path = build()
    changes.remove([str(row["id"]) for row in SHOP], path)
    assert found(path, "garden", options=Retrieval(filters={"category": ["garden"]})) == []


def test_only_newer_items_pass_and_those_without_a_time_do_not(build: Build) -> None:
    newer = Item.from_dict({"id": "x", "title": "x", "time": "2026-02-01"}).time
    assert found(build(), "garden desk lamp", options=Retrieval(newer_than=newer)) == ["p3"]


def test_a_filter_that_leaves_little_reads_more_of_the_index(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite.catalog import retrieval

    rows = [
        {"id": n, "title": f"Common {'rare' if n < 10 else ''} {n}", "kind": "b" if n == 99 else "a"}
        for n in range(100)
    ]
    monkeypatch.setattr(retrieval, "POSTINGS", 20)
    path = build(rows)
    rare = {str(number) for number in range(10)}
    assert set(found(path, "common rare", options=10)) == rare, "the frequent word is not worth its entries"
    assert found(path, "common rare", options=Retrieval(filters={"kind": ["b"]})) == ["99"]


def test_a_filter_that_only_items_far_down_the_list_pass_finds_them(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.catalog import retrieval

    rows = [{"id": n, "title": f"Common {n}", "kind": "b" if n > 97 else "a"} for n in range(100)]
    monkeypatch.setattr(retrieval, "POSTINGS", 20)  # fewer than have the only word there is
    assert found(build(rows), "common", options=Retrieval(filters={"kind": ["b"]})) == ["98", "99"]


def test_without_a_history_the_summary_is_searched_alone(build: Build) -> None:
    path = build()
    assert found(path, summary="Likes garden tools")[:1] == ["p3"]
    assert found(path) == []
    assert found(path, options=Retrieval(diversity=0.5)) == []


def test_the_rarest_words_are_searched_and_no_more_entries_read_than_allowed() -> None:
    from trsr_lite.catalog import retrieval

    searches = [[("a", 5), ("b", 30), ("c", 90)], [], [("d", 500)], [("e", 1), ("f", 2)]]
    chosen = retrieval.within(searches, 120)
    assert chosen == [[("a", 5)], [], [("d", 500)], [("e", 1)]]
    assert retrieval.within(searches, 10_000) == searches


NASTY = [
    '"', '""', '" OR "a" NEAR("b" "c", 2) AND title : x', "NEAR(lamp desk)", "lamp*", "^lamp", "-lamp", "NOT lamp",
    "title:lamp", "{title text}: lamp", "lamp + desk", "(lamp", "lamp AND", "'; DROP TABLE items; --", "lamp\0desk",
    "🪔🎉", "👩‍👩‍👧", "漢字", "台灯", "ランプ", "\u202e lamp", "a" * 5000, "%s %d {0}", "\\", "ﬁ", "İ", "ß", "  ",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_a_users_text_is_never_query_syntax(build: Build, text: str) -> None:
    path = build([*SHOP, {"id": "q", "title": f"{text} marked", "note": text}])
    assert "q" in found(path, f"{text} marked", options=Retrieval(fold=False))
    assert set(found(path, text, summary=text)) <= {one["id"] for one in SHOP} | {"q"}
    with Catalog(path) as catalog:
        assert len(catalog) == 6


@settings(max_examples=40)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_asked_for(any_catalog: Catalog, title: str, summary: str) -> None:
    history = [Item("h", {"title": title or "-"})]
    assert {one.id for one in any_catalog.retrieve(history, summary)} <= {"p1", "p2", "p3", "p4", "p5"}


@pytest.fixture(scope="module")
def any_catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Catalog]:
    folder = tmp_path_factory.mktemp("any")
    changes.build([write(folder / "shop.jsonl", SHOP)], folder / "shop")
    with Catalog(folder / "shop") as catalog:
        yield catalog


def test_a_term_is_one_string_whatever_a_tokenizer_leaves_in_it() -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE VIRTUAL TABLE notes USING fts5 (text)")
        for term in ('"', 'a" OR "b', "NEAR(a b)", "text : a", "a*", "AND"):
            connection.execute("SELECT * FROM notes WHERE notes MATCH ?", (terms.quoted(term),)).fetchall()


def test_accents_and_case_make_no_difference(build: Build) -> None:
    assert found(build(), "CAFE CREME") == ["p5"]


def test_chinese_and_japanese_are_found_by_parts_of_sentences(build: Build) -> None:
    rows = [
        {"id": "a", "title": "绿色台灯和书桌"},
        {"id": "b", "title": "木製の机とランプ"},
        {"id": "c", "title": "红茶"},
    ]
    assert found(build(rows), "台灯") == ["a"]
    assert found(build(rows, "other"), "ランプ") == ["b"]
    assert terms.spaced("ab 绿色台灯 cd").split() == ["ab", "绿色", "色台", "台灯", "cd"]


def test_the_same_catalog_and_user_give_the_same_items(build: Build) -> None:
    source = random.Random(0)
    rows = [
        {"id": n, "title": " ".join(source.choices(["red", "blue", "green", "car", "bus", "van"], k=3))}
        for n in range(200)
    ]
    path = build(rows)
    assert found(path, "red car", "blue van") == found(path, "red car", "blue van")
    moved = shutil.copy(path, path.with_name("copy"))
    assert found(path, "green bus") == found(Path(moved), "green bus")


# Likeness


def test_a_reprint_is_folded_and_another_text_under_the_same_title_is_not() -> None:
    folding = Folding()
    assert folding.is_new(item("a", "Daily briefing", text="Storms hit the coast and trains stand still"))
    assert folding.is_new(item("b", "Daily briefing", text="A new museum of modern art opens in spring"))
    assert not folding.is_new(item("c", "Daily Briefing!", text="Storms hit the coast, and the trains stand still"))
    assert not folding.is_new(item("d", "briefing, daily"))
    assert folding.is_new(item("e", "Daily briefing 2"))


def test_chinese_and_japanese_texts_under_one_title_are_told_apart() -> None:
    folding = Folding()
    texts = ("暴风雨袭击海岸列车停运", "现代艺术博物馆春天开放", "暴风雨袭击海岸列车停运了")
    assert [folding.is_new(item(text, "今日新闻", text=text)) for text in texts] == [True, True, False]


def test_items_without_a_title_are_folded_by_their_whole_text() -> None:
    folding = Folding()
    assert folding.is_new(item("a", kind="shoe", text="red"))
    assert folding.is_new(item("b", kind="shoe", text="blue"))
    assert not folding.is_new(item("c", kind="shoe", text="red"))


def test_diversity_prefers_what_is_unlike_the_items_before() -> None:
    shelf = [item("a", "red lamp"), item("b", "red lamp two"), item("c", "red lamp three"), item("d", "garden rake")]
    assert [one.id for one in diverse(shelf, 0.0, 3)] == ["a", "b", "c"]
    assert [one.id for one in diverse(shelf, 0.6, 3)] == ["a", "d", "b"]
    assert {one.id for one in diverse(shelf, 1.0, 9)} == {"a", "b", "c", "d"}
    assert diverse([], 0.5, 3) == []


# Commands


def test_the_commands_build_change_and_describe_a_catalog(run: Run, tmp_path: Path) -> None:
    source, more = write(tmp_path / "shop.jsonl", SHOP[:3]), write(tmp_path / "more.jsonl", SHOP[3:])
    path = tmp_path / "shop.catalog"
    built = run("build", source, "--json").json
    assert (built["path"], built["items"], built["new"], built["rejected"]) == (str(path), 3, 3, 0)
    assert run("add", path, more, "--json").json["items"] == 5
    assert run("remove", path, "p1", "--json").json["removed"] == 1
    write(tmp_path / "ids", ["p2", "p3"])
    assert run("remove", path, "--ids", tmp_path / "ids").code == 0
    facts = run("info", path, "--json").json
    assert (facts["schema"], facts["items"], facts["version"]) == (1, 2, database.SCHEMA)
    assert facts["digest"] == digest(path) and facts["attributes"] == ["title", "category", "text"]
    assert "digest" in run("info", path).out


def test_a_file_of_ids_may_begin_with_a_mark_and_must_be_text(build: Build, run: Run, tmp_path: Path) -> None:
    path = build()
    (tmp_path / "ids").write_bytes("\ufeffp1\r\np2\r\n".encode())
    assert run("remove", path, "--ids", tmp_path / "ids", "--json").json["removed"] == 2
    (tmp_path / "ids").write_bytes(b"p3\n\xe9\n")
    outcome = run("remove", path, "--ids", tmp_path / "ids")
    assert outcome.code == 4 and "ids: is not UTF-8 text (byte 3)" in outcome.err
    with pytest.raises(DataError, match="no item has the id"):
        changes.remove(["\udce9"], path)
    assert len(Catalog(path)) == 3


def test_an_id_that_is_named_twice_is_removed_once(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "TOGETHER", 2)
    path = build()
    assert changes.remove(["p1", "p2", "p3", "p1"], path).removed == 3


def test_a_name_that_no_file_can_have_is_said(run: Run, tmp_path: Path) -> None:
    outcome = run("info", tmp_path / ("x" * 300))
    assert outcome.code == 1 and "cannot be read: File name too long" in outcome.err


def test_what_cannot_be_ends_with_its_code_and_a_hint(run: Run, tmp_path: Path) -> None:
    source = write(tmp_path / "shop.jsonl", SHOP)
    for code, arguments in (
        (2, ["remove", tmp_path / "shop.catalog"]),
        (4, ["info", tmp_path / "shop.catalog"]),
        (4, ["build", tmp_path / "nowhere.jsonl"]),
        (1, ["build", source, "--output", tmp_path / "nowhere" / "c"]),
        (2, ["build", "-"]),
    ):
        outcome = run(*arguments)
        assert (outcome.code, outcome.out) == (code, ""), arguments
        assert outcome.err.startswith("Error: "), arguments


# The class


def test_the_class_builds_changes_and_reads_a_catalog(tmp_path: Path) -> None:
    source = write(tmp_path / "shop.jsonl", [*SHOP, {"id": "bad"}])
    with Catalog.build(source, tmp_path / "shop.catalog") as catalog:
        assert catalog.change == CatalogChange(new=5, rejected=1, rejects=tmp_path / "shop.catalog.rejects.jsonl")
        assert [one.id for one in catalog.retrieve([item("h", "Desk lamp")])] == ["p1", "p2"]
        before = catalog.digest
        more = write(tmp_path / "more.jsonl", [{"id": "p6", "title": "Copper desk lamp"}])
        assert catalog.add([more]) == CatalogChange(new=1)
        assert len(catalog) == 6, "an open catalog sees what was added"
        assert catalog.remove(["p6"]) == CatalogChange(removed=1)
        assert (len(catalog), catalog.digest) == (5, before)
        with pytest.raises(DataError, match="no item has the id 'p6'"):
            catalog.remove(["p6"])
        assert catalog.remove(["p6"], missing_ok=True) == CatalogChange()
    with pytest.raises(SettingsError, match="already exists"):
        Catalog.build(source, tmp_path / "shop.catalog")
    assert Catalog.build([source], tmp_path / "shop.catalog", force=True).digest == before
    with Catalog(tmp_path / "shop.catalog") as opened:
        assert opened.change is None
