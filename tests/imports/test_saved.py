"""Pocket, Instapaper, Raindrop, Readwise, and starred articles of feed readers."""

from __future__ import annotations

from tests.imports.conftest import SAMPLES, notes, titles
from trsr_lite.imports.read import read


def test_pocket_parts_unread_from_archived() -> None:
    done = read([SAMPLES / "pocket.csv"])
    assert titles(done.found.history) == ["Keeping bees on a roof", "winter feeding (bees.example)"]
    assert done.found.history[0]["tags"] == "bees, city"
    assert titles(done.found.candidates) == ["Honey, explained"]
    assert "1 × row left out: no web page" in notes(done)


def test_instapaper_parts_unread_from_folders() -> None:
    found = read([SAMPLES / "instapaper.csv"]).found
    assert titles(found.history) == ["How canals lift ships", "A day on a tug"]
    assert found.history[1]["folder"] == "Harbours"
    assert found.history[1]["tags"] == "work,sea"
    assert "tags" not in found.history[0]
    assert titles(found.candidates) == ["Lights of the coast"]


def test_raindrop_keeps_folder_tags_and_excerpt() -> None:
    found = read([SAMPLES / "raindrop.csv"]).found
    assert found.history[0]["description"] == "Which tyre for wet lanes, and why."
    assert found.history[0]["folder"] == "Cycling"
    assert found.history[1]["description"] == "Try on Sunday"
    assert "folder" not in found.history[1]


def test_readwise_makes_one_book_of_many_highlights_and_keeps_no_quotes() -> None:
    found = read([SAMPLES / "readwise.csv"]).found
    assert titles(found.history) == ["Quarterly", "The Lighthouse Keeper's Atlas"]
    assert found.history[1]["time"] == "2026-01-04T09:30:00Z"
    assert "promise" not in str(found.history)


def test_documents_of_readwise_are_history_once_archived() -> None:
    found = read([SAMPLES / "reader_documents.csv"]).found
    assert titles(found.history) == ["Moss on old walls"]
    assert found.history[0]["tags"] == "nature"
    assert titles(found.candidates) == ["Ferns for shade"]


def test_starred_articles_are_history_with_their_feed() -> None:
    found = read([SAMPLES / "starred.json"]).found
    assert found.history[1] == {
        "id": "https://moon.example/ice",
        "title": "Ice at the lunar pole & why",
        "label": "Sky",
        "author": "Ada Quill",
        "feed": "Moon Diary",
        "description": "Cold craters.",
        "time": "2026-01-02T00:00:00Z",
    }
    assert found.history[0]["title"] == "Comets for binoculars"
