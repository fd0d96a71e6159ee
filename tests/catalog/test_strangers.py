"""A catalog of a stranger: what no catalog has is refused before it runs, and nothing inflates without end."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from pathlib import Path

import pytest

from trsr_lite import DataError, Item, StoreError
from trsr_lite.catalog import build, content
from trsr_lite.catalog.catalog import Catalog

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'items', x FROM n"
HISTORY = [Item("h", {"title": "Solar lantern"})]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [{"id": "a", "title": "Solar lantern"}, {"id": "b", "title": "Wool socks"}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build.build([tmp_path / "items.jsonl"], tmp_path / "c")
    return tmp_path / "c"


def change(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement, values)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM items; END"], "a trigger called 't'"),
        (["CREATE VIEW v AS SELECT 1"], "a view called 'v'"),
        (["DROP TABLE facts", f"CREATE VIEW facts AS {ENDLESS}"], "a view called 'facts'"),
        (["CREATE TABLE other (x)"], "a table called 'other'"),
        (["CREATE INDEX i ON items (time)"], "a index called 'i'"),
        (["DROP TABLE facts", "CREATE VIRTUAL TABLE facts USING fts5 (name, value)"], "a t"),
        (["UPDATE facts SET value = 'many' WHERE name = 'items'"], "other facts"),
        (["UPDATE facts SET value = -1 WHERE name = 'items'"], "other facts"),
        (["UPDATE facts SET value = x'00' WHERE name = 'digest'"], "other facts"),
        (["DELETE FROM facts"], "other facts"),
    ],
)
def test_what_no_catalog_has_is_refused(path: Path, statements: list[str], said: str) -> None:
    change(path, *statements)
    with pytest.raises(DataError, match="which no catalog has") as caught:
        Catalog(path)
    assert said in str(caught.value)
    with pytest.raises(DataError):
        build.add([path.with_name("items.jsonl")], path)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (b"no zlib", "cannot be read"),
        (zlib.compress(b"no JSON"), "cannot be read"),
        (zlib.compress(b"[" * 100_000), "cannot be read"),
        (zlib.compress(b'{"a": 1}'), "cannot be read"),
        (zlib.compress(b"[{}, null]"), "has no texts"),
        (zlib.compress(b'[{"title": 5}, null]'), "has no texts"),
        (zlib.compress(b'[{"title": [[1]]}, null]'), "cannot be read"),
        (zlib.compress(b'[{"title": "x"}, "soon"]'), "a time that is none"),
        (zlib.compress(b'[{"title": "x"}, null]')[:-5], "its end is missing"),
        ("text", "cannot be read"),
        (None, "cannot be read"),
    ],
    ids=str,
)
def test_an_item_that_is_damaged_is_one_line(path: Path, stored: object, said: str) -> None:
    change(path, "PRAGMA ignore_check_constraints = ON")
    if stored is None:
        stored = 5
    change(path, "UPDATE items SET content = ?", values=(stored,))
    with Catalog(path) as catalog:
        for ask in (lambda: catalog.get("a"), lambda: catalog.retrieve(HISTORY)):
            with pytest.raises(StoreError, match="is damaged: ") as caught:
                ask()
            assert said in str(caught.value) and "\n" not in str(caught.value)


def test_little_does_not_become_very_much(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST", 1 << 20)
    bomb = zlib.compress(b'[{"title": "' + b"a" * (64 << 20) + b'"}, null]')
    change(path, "UPDATE items SET content = ?", values=(bomb,))
    with Catalog(path) as catalog, pytest.raises(StoreError, match="more than 1 MiB"):
        catalog.get("a")


def test_text_that_is_no_utf_8_is_one_line(path: Path) -> None:
    change(path, "UPDATE items SET id = CAST(x'ff' || x'41' AS TEXT) WHERE id = 'a'")
    with Catalog(path) as catalog, pytest.raises(StoreError) as caught:
        catalog.retrieve(HISTORY)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
