"""Goodreads and StoryGraph."""

from __future__ import annotations

from tests.imports.conftest import EXAMPLES, SAMPLES, Reader, notes, titles
from trsr_lite.imports.read import read


def test_goodreads_reads_shelves_ratings_and_dates_oldest_first() -> None:
    done = read([EXAMPLES / "goodreads.csv"])
    assert [(one.format.name, one.guessed) for one in done.files] == [("goodreads", True)]
    newest = done.found.history[-1]
    assert newest == {
        "id": "goodreads:9000012",
        "title": "The Lighthouse Keeper's Atlas",
        "author": "Tomas Rell",
        "shelves": "travel",
        "year": "2017",
        "time": "2026-02-02T00:00:00Z",
        "rating": 5,
    }
    assert done.found.history[0]["title"] == "Winter on the Long Path"
    assert done.found.rating_scale == (1, 5)
    assert done.found.domain == "book"
    assert "newest first: turned round" in notes(done)


def test_a_to_read_shelf_becomes_candidates_without_ratings() -> None:
    done = read([EXAMPLES / "goodreads.csv"])
    assert titles(done.found.candidates) == [
        "A Field Guide to Moss",
        "Ten Ways to Close a Deal",
        "The Cartographer of Small Islands",
    ]
    assert not any("rating" in item for item in done.found.candidates)
    user = done.found.user()
    assert [item.title for item in user.candidates] == titles(done.found.candidates)


def test_storygraph_reads_quarters_of_stars_and_what_was_not_finished() -> None:
    found = read([SAMPLES / "storygraph.csv"]).found
    assert [(item["title"], item.get("rating"), item["time"][:10]) for item in found.history] == [
        ("Glass Orchard", 2.5, "2025-11-30"),
        ("The Long Thaw", 4.25, "2026-01-09"),
        ("A Grammar of Rivers", None, "2026-02-01"),
    ]
    assert [item.get("feedback") for item in found.history] == [None, None, "skip"]
    assert found.history[1]["moods"] == "adventurous, reflective"
    assert titles(found.candidates) == ["Harbour Lights"]


def test_the_export_of_another_program_is_named(imported: Reader) -> None:
    content = (SAMPLES / "storygraph.csv").read_bytes()
    try:
        imported(content, "books.csv", "goodreads")
    except Exception as error:  # noqa: BLE001 - its text is what is tested
        assert str(error).endswith("books.csv: this is no Goodreads library; it looks like: StoryGraph library")
        assert getattr(error, "hint", "").startswith("trsr-lite import storygraph ")
    else:
        raise AssertionError("nothing was raised")
