"""Letterboxd and IMDb."""

from __future__ import annotations

from tests.imports.conftest import SAMPLES, notes, titles
from trsr_lite.imports.read import read


def test_a_film_that_was_seen_twice_is_one_item_at_its_newest_date() -> None:
    done = read([SAMPLES / "diary.csv"])
    assert [(item["title"], item["rating"], item["time"][:10]) for item in done.found.history] == [
        ("Engine Room (2021)", 0.5, "2026-01-10"),
        ("The Glass Harbour (2019)", 5, "2026-01-19"),
    ]
    assert done.found.history[1]["tags"] == "cinema, friends"  # of the first time
    assert done.found.rating_scale == (0.5, 5)
    assert "1 × entry that came before" in notes(done)


def test_a_watchlist_is_told_by_its_name_and_leaves_out_what_was_seen() -> None:
    done = read([SAMPLES / "diary.csv", SAMPLES / "watchlist.csv"], "letterboxd")
    assert titles(done.found.candidates) == ["The Quiet Ferry (2023)"]
    assert "1 × candidate left out: it is in the history" in notes(done)
    assert len(done.found.history) == 2


def test_imdb_ratings_are_history_and_a_watchlist_is_not() -> None:
    found = read([SAMPLES / "ratings_imdb.csv", SAMPLES / "watchlist_imdb.csv"]).found
    assert [(item["id"], item["rating"]) for item in found.history] == [
        ("imdb:tt9000001", 9),
        ("imdb:tt9000002", 3),
        ("imdb:tt9000003", 8),
    ]
    assert found.history[0]["genres"] == "Drama, Mystery"
    assert titles(found.candidates) == ["The Quiet Ferry (2023)"]
    assert found.rating_scale == (1, 10)


def test_ratings_of_two_scales_become_shares_of_the_best() -> None:
    done = read([SAMPLES / "ratings_imdb.csv", SAMPLES / "diary.csv"])
    assert done.found.rating_scale == (0, 1)
    by_title = {item["title"]: item["rating"] for item in done.found.history}
    assert by_title["The Glass Harbour (2019)"] == 1
    assert by_title["Engine Room (2021)"] == 0
    assert "5 × rating of several scales" in notes(done)
