"""Items as other programs write them: each kind of file that went wrong somewhere, with its right value."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Run, runner
from trsr_lite import DataError, Item
from trsr_lite.catalog import build
from trsr_lite.catalog.catalog import Catalog
from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.catalog.terms import spaced

TITLES = ["Copper garden trowel", "Seed tray, 24 cells", "Solar lantern", "Wool hiking socks", "Enamel camping mug"]
BIG = 1767225600  # 2026-01-01, in seconds


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def table(header: list[str], *rows: list[Any], separator: str = ",", space: bool = False) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([header, *rows])
    return text.getvalue().replace(separator, f"{separator} ") if space else text.getvalue()


def plain(*extra: Any, name: str = "category") -> str:
    values = extra or ["Garden"] * len(TITLES)
    rows = [[f"p{number}", title, value] for number, (title, value) in enumerate(zip(TITLES, values, strict=False))]
    return table(["id", "title", name], *rows)


def built(folder: Path, content: str | bytes, name: str = "items.csv") -> tuple[Catalog, build.CatalogChange]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    outcome = build.build([path], folder / "c")
    return Catalog(folder / "c"), outcome


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


# Times


@pytest.mark.parametrize(("factor", "unit"), [(1, None), (10**3, "milli"), (10**6, "micro"), (10**9, "nano")])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_number_is_a_time_in_every_file_and_the_span_is_shown(
    tmp_path: Path, factor: int, unit: str | None, kind: str
) -> None:
    moments = [(BIG + day * 86400) * factor for day in range(5)]
    rows = [
        {"id": f"p{n}", "title": title, "time": moment}
        for n, (title, moment) in enumerate(zip(TITLES, moments, strict=True))
    ]
    content = plain(*moments, name="time").encode() if kind == "csv" else lines(*rows)
    catalog, outcome = built(tmp_path, content, f"items.{kind}")
    with catalog:
        assert outcome.rejected == 0 and len(catalog) == 5
        assert catalog.get("p1").time == BIG + 86400  # type: ignore[union-attr]
        assert catalog.info()["times"] == ["2026-01-01T00:00:00+00:00", "2026-01-05T00:00:00+00:00"]
        history = [Item("h", {"title": "Solar lantern socks"})]
        newer = Retrieval(newer_than=BIG + 2.5 * 86400)
        assert {item.id for item in catalog.retrieve(history, options=newer)} == {"p3"}
    assert [f"time read as {unit}seconds" in note for note in outcome.notes] == [True] * bool(unit)


def test_old_milliseconds_are_old(tmp_path: Path) -> None:
    rows = [{"id": f"p{n}", "title": title, "time": 1388534400000} for n, title in enumerate(TITLES)]
    catalog, _ = built(tmp_path, lines(*rows), "items.jsonl")
    with catalog:
        history = [Item("h", {"title": "Solar lantern"})]
        assert catalog.retrieve(history, options=Retrieval(newer_than=BIG)) == []
        assert catalog.info()["times"][0].startswith("2014-01-01")


def test_american_dates_are_read_and_what_is_no_time_costs_no_row(tmp_path: Path) -> None:
    moments = ["1/1/2026 8:30:15 AM", "1/13/2026 8:30:15 PM", "13/1/2026", "soon", ""]
    catalog, outcome = built(tmp_path, plain(*moments, name="time"))
    with catalog:
        assert (len(catalog), outcome.rejected) == (5, 0)
        assert catalog.info()["times"] == ["2026-01-01T08:30:15+00:00", "2026-01-13T20:30:15+00:00"]
    (swapped,) = (note for note in outcome.notes if "its day and month cannot be told apart" in note)
    assert swapped.startswith("1 × time left out") and "items.csv:4 '13/1/2026')" in swapped


def test_a_field_that_looks_like_a_time_is_named(tmp_path: Path) -> None:
    _, outcome = built(tmp_path, plain(*[BIG] * 5, name="timestamp"))
    assert any("5 × 'timestamp' looks like a time" in note for note in outcome.notes)


# Ids


@pytest.mark.parametrize("content", ["csv", "jsonl"])
def test_rows_with_one_id_are_counted_and_listed_and_the_last_counts(tmp_path: Path, content: str, run: Run) -> None:
    names = ["1.23457E+12", "1.23457E+12", "1.23457E+12", "b", "b"]
    titles = ["one", "two", "two", "same", "same"]
    rows = [{"id": name, "title": title} for name, title in zip(names, titles, strict=True)]
    text = (
        table(["id", "title"], *([row["id"], row["title"]] for row in rows))
        if content == "csv"
        else lines(*rows).decode()
    )
    (tmp_path / f"items.{content}").write_text(text)
    outcome = run("catalog", "build", tmp_path / f"items.{content}", "--output", tmp_path / "c", "--json")
    found = outcome.json
    assert (found["new"], found["replaced"], found["same"], found["repeated"], found["rejected"]) == (2, 1, 2, 1, 0)
    (kept,) = map(json.loads, Path(found["rejects"]).read_text().splitlines())
    assert "came before with another text; the last counts" in kept["reason"] and "two" in str(kept["row"])
    assert "1 ids came again with another text; the last counts" in outcome.err
    assert found["notes"][0].startswith("3 × id that a spreadsheet seems to have rounded")
    with Catalog(tmp_path / "c") as catalog:
        assert catalog.get("1.23457E+12").title == "two"  # type: ignore[union-attr]


def test_ids_that_repeat_over_chunks_and_in_an_addition_are_counted(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(build, "TOGETHER", 2)
    first = [{"id": f"p{number % 3}", "title": f"text {number}"} for number in range(6)]
    catalog, outcome = built(tmp_path, lines(*first), "items.jsonl")
    catalog.close()
    assert (outcome.new, outcome.repeated) == (3, 3)
    (tmp_path / "more.jsonl").write_bytes(
        lines({"id": "p0", "title": "new"}, {"id": "q", "title": "q"}, *first[:3], {"id": "q", "title": "r"})
    )
    added = build.add([tmp_path / "more.jsonl"], tmp_path / "c")
    assert (added.new, added.repeated) == (1, 2)  # p0 twice, q twice; p1 and p2 are replaced by it
    with pytest.raises(DataError, match="came before with another text"):
        build.build([tmp_path / "items.jsonl"], tmp_path / "d", strict=True)


# Lists


def test_values_of_a_list_stay_values(tmp_path: Path) -> None:
    rows = [
        {"id": f"p{n}", "title": title, "category": ["Garden", "Home, Kitchen & More"]}
        for n, title in enumerate(TITLES)
    ]
    rows.append({"id": "t", "title": "Solar text", "category": "Garden, Home"})
    catalog, _ = built(tmp_path, lines(*rows), "items.jsonl")
    with catalog:
        history = [Item("h", {"title": " ".join(TITLES)})]

        def count(text: str) -> int:
            return len(catalog.retrieve(history, options=Retrieval(filters={"category": [text]})))

        assert count("home, kitchen & more") == 5 and count("Garden") == 6
        assert count("Home") == 1 and count("Kitchen & More") == 0  # a text may still be a list of its own
        assert catalog.get("p0").attributes["category"] == "Garden, Home, Kitchen & More"  # type: ignore[union-attr]


# Headers, row numbers, separators, encodings


def test_spaces_in_the_header_are_no_part_of_names_or_values(tmp_path: Path) -> None:
    rows = [[title, f"p{n}", "Garden"] for n, title in enumerate(TITLES)]
    catalog, _ = built(tmp_path, table(["title", "id", "category"], *rows, space=True).replace(", 24", " 24"))
    with catalog:
        assert catalog.get("p2") == Item("p2", {"title": "Solar lantern", "category": "Garden"})


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_row_numbers_of_pandas_are_left_out_and_said(tmp_path: Path, name: str) -> None:
    rows = [[n, f"p{n}", title] for n, title in enumerate(TITLES)]
    catalog, outcome = built(tmp_path, table([name, "id", "title"], *rows))
    with catalog:
        assert catalog.info()["attributes"] == ["title"]
    assert outcome.notes[0].startswith(f"5 × attribute {name!r} left out: a column of row numbers")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_read_and_said(tmp_path: Path, separator: str) -> None:
    rows = [[f"p{n}", title] for n, title in enumerate(TITLES)]
    catalog, outcome = built(tmp_path, table(["id", "title"], *rows, separator=separator))
    with catalog:
        assert catalog.get("p1").title == "Seed tray, 24 cells"  # type: ignore[union-attr]
    assert "separate the columns" in outcome.notes[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "tabs"])
def test_an_encoding_that_its_mark_names_is_read(tmp_path: Path, encoding: str, kind: str) -> None:
    rows = [[f"p{n}", f"Grüße 日本 {title}"] for n, title in enumerate(TITLES)]
    text = table(["id", "title"], *rows, separator="\t" if kind == "tabs" else ",")
    if kind == "jsonl":
        text = "".join(json.dumps({"id": name, "title": title}, ensure_ascii=False) + "\n" for name, title in rows)
    catalog, outcome = built(tmp_path, text.encode(encoding), "items.jsonl" if kind == "jsonl" else "items.csv")
    with catalog:
        assert (len(catalog), outcome.rejected) == (5, 0)
        assert catalog.get("p2").title == "Grüße 日本 Solar lantern"  # type: ignore[union-attr]


def test_another_encoding_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="may be Windows-1252 or Latin-1: save it as UTF-8"):
        built(tmp_path, "id,title\np1,Grüße\n".encode("latin-1"))
    with pytest.raises(DataError, match="no UTF-8: it looks like UTF-16"):
        built(tmp_path, '{"id": "p1", "title": "Grüße aus Köln und Umgebung"}\n'.encode("utf-16-le"), "items.jsonl")


# Missing and nested values


def test_what_means_missing_is_absent(tmp_path: Path) -> None:
    catalog, _ = built(tmp_path, plain("NULL", "nan", "", "None", "N/A"))
    with catalog:
        assert catalog.info()["attributes"] == ["title"]
    path = tmp_path / "more"
    path.mkdir()
    catalog, outcome = built(
        path, b'{"id": "a", "title": "x", "price": NaN}\n{"id": "b", "title": "y", "price": 1}\n', "i.jsonl"
    )
    with catalog:
        assert (len(catalog), outcome.rejected, catalog.get("a")) == (2, 0, Item("a", {"title": "x"}))


def test_nested_attributes_cost_no_item_and_are_counted_once(tmp_path: Path) -> None:
    row = {
        "title": "Trowel",
        "features": ["sturdy", "light"],
        "description": [],
        "price": None,
        "images": [{"thumb": "https://example.org/a.jpg"}],
        "details": {"Brand": "Example"},
    }
    catalog, outcome = built(tmp_path, lines(*({"id": f"B{n}", **row} for n in range(7))), "items.jsonl")
    with catalog:
        assert catalog.get("B0").attributes == {"title": "Trowel", "features": "sturdy, light"}  # type: ignore[union-attr]
    assert sorted(note.partition(" (")[0] for note in outcome.notes) == [
        "7 × attribute 'details' left out: an object",
        "7 × attribute 'images' left out: a list with an object in it",
    ]


def test_parquet_of_pandas_with_bytes_images_and_embeddings(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {
            "id": f"p{n}".encode(),
            "title": title.encode(),
            "image": {"bytes": b"\xff\xd8", "path": "a.jpg"},
            "cover": b"\xff\xd8",
            "embedding": [0.25] * 32,
            "__index_level_0__": n,
        }
        for n, title in enumerate(TITLES)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "items.parquet")
    outcome = build.build([tmp_path / "items.parquet"], tmp_path / "c")
    with Catalog(tmp_path / "c") as catalog:
        assert (len(catalog), catalog.info()["attributes"]) == (5, ["title"])
        assert catalog.get("p0") == Item("p0", {"title": TITLES[0]})
    assert len(outcome.notes) == 4 and all(note.startswith("5 × attribute ") for note in outcome.notes)


# Scripts


@pytest.mark.parametrize(
    ("titles", "query", "found"),
    [
        (["남성용 방수 등산화", "여성용 등산화를 위한 끈", "전기밥솥 소형"], "등산화가 좋다", {"p0", "p1"}),
        (["รองเท้าเดินป่ากันน้ำ", "หม้อหุงข้าวไฟฟ้า"], "เดินป่า", {"p0"}),
        (["防水登山靴", "電気炊飯器"], "登山靴の紐", {"p0"}),
    ],
)
def test_words_are_found_in_scripts_with_particles_or_without_spaces(
    tmp_path: Path, titles: list[str], query: str, found: set[str]
) -> None:
    rows = [{"id": f"p{n}", "title": title} for n, title in enumerate(titles)]
    catalog, _ = built(tmp_path, lines(*rows), "items.jsonl")
    with catalog:
        assert {item.id for item in catalog.retrieve([Item("h", {"title": query})])} == found


def test_a_catalog_of_the_version_before_is_read_but_not_changed(tmp_path: Path) -> None:
    rows = [{"id": "k", "title": "등산화를 위한 끈", "category": "a, b"}, {"id": "e", "title": "Solar lantern"}]
    catalog, _ = built(tmp_path, lines(*rows), "items.jsonl")
    catalog.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "c")) as connection, connection:
        connection.execute("ALTER TABLE items DROP COLUMN time")
        connection.execute("INSERT INTO search (search) VALUES ('delete-all')")
        connection.execute(
            "INSERT INTO search (rowid, title, text) VALUES (1, '등산화를 위한 끈', 'a, b'), (2, 'Solar lantern', '')"
        )
        connection.execute("DELETE FROM vocabulary")
        connection.execute("INSERT INTO vocabulary SELECT term, doc FROM search_terms")
        connection.execute("PRAGMA user_version = 2")
    with Catalog(tmp_path / "c") as old:
        assert (old.info()["version"], old.info()["times"]) == (2, None)
        assert [item.id for item in old.retrieve([Item("h", {"title": "등산화를"})])] == ["k"]
        assert old.retrieve([Item("h", {"title": "등산화"})]) == []  # as it was built
    with pytest.raises(DataError, match=r"was built by an older trsr-lite .catalog version 2; this one changes 4"):
        build.add([tmp_path / "items.jsonl"], tmp_path / "c")


def test_pairs_are_of_letters() -> None:
    assert spaced("등산화를") == " 등산 산화 화를 " and spaced("a 물 b") == "a  물  b"
    assert spaced("등산화를", 2) == "등산화를"
