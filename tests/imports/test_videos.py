"""The watch history of YouTube."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from tests.imports.conftest import SAMPLES, Reader, notes, titles
from trsr_lite.imports.read import read


def test_json_keeps_videos_and_counts_the_rest() -> None:
    done = read([SAMPLES / "watch-history.json"])
    assert titles(done.found.history) == ["Gravel roads of the north", "How to true a bicycle wheel"]
    assert done.found.history[1]["channel"] == "Spoke Shop"
    said = notes(done)
    for reason in ("1 × video left out: an advertisement", "2 × video left out: removed", "music", "a post or a game"):
        assert reason in said


def test_html_keeps_videos_and_counts_the_rest_in_german() -> None:
    done = read([SAMPLES / "watch-history.html"])
    assert [(item["title"], item["time"]) for item in done.found.history] == [
        ("Sauerteig im kalten Winter", "2025-12-13T07:05:00Z"),
        ("Käse & Brot: ein Laib aus Roggen", "2026-01-03T21:15:00Z"),
    ]
    assert "1 × video left out: an advertisement" in notes(done)
    assert "1 × video left out: removed" in notes(done)


@pytest.mark.parametrize(("before", "after"), [("Watched ", ""), ("„", "“ angesehen"), ("Vous avez regardé ", "")])
def test_the_word_for_watched_goes_in_any_language(imported: Reader, before: str, after: str) -> None:
    names = ["A loaf of rye", "The Long Path", "The Moon", "Tides", "Moss, slowly", "A ferry"]
    content = json.dumps(
        [
            {
                "header": "YouTube",
                "title": f"{before}{name}{after}",
                "titleUrl": f"https://www.youtube.com/watch?v=v{number}",
                "time": f"2026-01-{20 - number}T10:00:00Z",
            }
            for number, name in enumerate(names)
        ],
        ensure_ascii=False,
    )
    assert titles(imported(content, "watch-history.json").found.history) == names[::-1]


def test_a_takeout_that_is_larger_than_memory_may_be_is_streamed(tmp_path: Path) -> None:
    path, size = tmp_path / "watch-history.json", 24 << 20
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        number = 0
        while file.tell() < size:
            row = {
                "header": "YouTube",
                "title": f"Watched Video {number % 50}",
                "titleUrl": f"https://www.youtube.com/watch?v=v{number % 50}",
                "time": "2026-01-01T10:00:00Z",
                "description": "x" * 20_000,
            }
            file.write(("," if number else "") + json.dumps(row))
            number += 1
        file.write("]")
    tracemalloc.start()
    found = read([path]).found
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.history) == 50
    assert peak < size // 4


def test_what_breaks_off_is_read_as_far_as_it_goes(imported: Reader) -> None:
    whole = (SAMPLES / "watch-history.json").read_bytes()
    done = imported(whole[: whole.index(b"Buy this car")], "watch-history.json")
    assert titles(done.found.history) == ["How to true a bicycle wheel"]
    assert "file that breaks off" in notes(done)
