"""Spotify, Kindle, Steam and GitHub."""

from __future__ import annotations

from tests.imports.conftest import SAMPLES, notes, titles
from trsr_lite.imports.read import ImportOptions, read

SPOTIFY = SAMPLES / "Streaming_History_Audio_2025.json"


def test_spotify_counts_what_was_skipped_and_keeps_the_newest_time_of_a_song() -> None:
    done = read([SPOTIFY])
    assert [(item["title"], item["time"][:10]) for item in done.found.history] == [
        ("Why moss grows north", "2026-01-03"),
        ("Low Tide", "2026-01-04"),
    ]
    assert done.found.history[0]["show"] == "Field Notes"
    assert (done.found.history[1]["artist"], done.found.history[1]["album"]) == ("The Harbour Band", "Estuary")
    assert "1 × piece left out: heard for less than half a minute" in notes(done)


def test_what_was_heard_in_a_private_session_stays_out_unless_asked_for() -> None:
    assert "1 × piece left out: private" in notes(read([SPOTIFY]))
    assert "Secret Song" in titles(read([SPOTIFY], options=ImportOptions(private=True)).found.history)


def test_the_short_history_of_spotify_is_read_too() -> None:
    found = read([SAMPLES / "StreamingHistory_music_0.json"]).found
    assert found.history == [
        {
            "id": "the harbour band · low tide",
            "title": "Low Tide",
            "artist": "The Harbour Band",
            "time": "2026-01-01T10:03:00Z",
        }
    ]


def test_kindle_reads_clippings_in_five_languages() -> None:
    done = read([SAMPLES / "My Clippings.txt"])
    assert [(item["title"], item["author"], item["time"]) for item in done.found.history] == [
        ("山の本", "山田", "2025-12-29T13:00:00Z"),
        ("Trains de nuit", "Mira Osei", "2025-12-30T23:59:00Z"),
        ("Ríos que cambian", "Una Calder", "2025-12-31T08:00:00Z"),
        ("Das Moos (und seine Freunde)", "Wren Adair", "2026-01-01T09:15:00Z"),
        ("The Lighthouse Keeper's Atlas", "Tomas Rell", "2026-01-04T07:30:00Z"),
    ]
    assert "1 × clipping left out: no second line with a date" in notes(done)
    assert "promise" not in str(done.found.history)


def test_steam_takes_what_was_never_played_as_candidates() -> None:
    found = read([SAMPLES / "steam.json"]).found
    assert [(item["title"], item["hours played"]) for item in found.history] == [
        ("Moss Garden", "2"),
        ("Lighthouse Tycoon", "21"),
    ]
    assert titles(found.candidates) == ["Tank Brigade", "Canal Builder"]
    older = read([SAMPLES / "steam.xml"]).found
    assert (titles(older.history), titles(older.candidates)) == (titles(found.history), ["Tank Brigade"])
    assert [item["id"] for item in older.history] == [item["id"] for item in found.history]


def test_github_reads_stars_with_dates_and_several_pages_without() -> None:
    found = read([SAMPLES / "stars.json"]).found
    assert found.history[1] == {
        "id": "github:una/tide",
        "title": "una/tide",
        "description": "Predict tides from a laptop",
        "topics": "tides, ocean",
        "language": "Python",
        "time": "2026-01-02T10:00:00Z",
    }
    assert titles(found.history) == titles(read([SAMPLES / "stars_plain.json"]).found.history)
