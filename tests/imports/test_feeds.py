"""OPML, RSS and Atom."""

from __future__ import annotations

import pytest

from tests.imports.conftest import EXAMPLES, Reader, notes, titles
from trsr_lite import DataError
from trsr_lite.imports.read import ImportOptions, read

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Moon Diary</title>
<entry><title type="html">Ice &amp;amp; craters</title><link href="https://moon.example/1"/><id>urn:1</id>
<updated>2026-01-02T10:00:00Z</updated><summary>Cold.</summary><category term="moon"/></entry></feed>"""
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    '<rss version="2.0"><channel><item><title>&b;</title></item></channel></rss>'
)


def test_an_opml_is_history_and_a_feed_is_candidates() -> None:
    done = read([EXAMPLES / "feeds.opml", EXAMPLES / "planet.xml"])
    assert [one.format.name for one in done.files] == ["opml", "feed"]
    assert [(item["title"], item.get("folder")) for item in done.found.history] == [
        ("Telescope Notes", "Sky"),
        ("Moon Diary", "Sky"),
        ("Rocket Log", "Sky"),
        ("Cold Kitchen Baking", "Kitchen"),
        ("City Council Watch", "Local/Politics"),
    ]
    assert len(done.found.candidates) == 5
    assert done.found.domain == "news"
    assert "1 × outline left out: no feed is in it" in notes(done)


def test_markup_of_a_feed_becomes_text_and_scripts_go() -> None:
    found = read([EXAMPLES / "planet.xml"]).found
    by_title = {item["title"]: item for item in found.candidates}
    first = by_title["First light of a new telescope on the ridge"]
    assert first["description"] == "The mirror saw its first stars last night."
    assert first["id"] == "https://planet.example/telescope"
    assert first["time"] == "2026-01-02T10:00:00Z"
    assert by_title["Council votes on bus lanes"]["time"] == "2026-01-01T17:30:00Z"
    assert "Rye, water, patience: a loaf for January & beyond" in by_title


def test_a_feed_can_be_taken_as_read() -> None:
    found = read([EXAMPLES / "planet.xml"], options=ImportOptions(read_as="history")).found
    assert found.history[-1]["title"] == "First light of a new telescope on the ridge"
    assert not found.candidates


def test_atom_is_a_feed(imported: Reader) -> None:
    found = imported(ATOM, "moon.atom").found
    assert found.candidates[0] == {
        "id": "https://moon.example/1",
        "title": "Ice & craters",
        "category": "moon",
        "feed": "Moon Diary",
        "description": "Cold.",
        "time": "2026-01-02T10:00:00Z",
    }


@pytest.mark.parametrize("file", ["feed.xml", "list.opml"])
def test_entities_that_expand_are_refused(imported: Reader, file: str) -> None:
    content = BOMB if file == "feed.xml" else BOMB.replace('rss version="2.0"', "opml").replace("/rss", "/opml")
    with pytest.raises(DataError, match="it declares entities"):
        imported(content, file)


def test_a_feed_that_breaks_off_is_read_as_far_as_it_goes(imported: Reader) -> None:
    done = imported(ATOM.replace("</feed>", "<entry><title>Cut o"), "moon.atom")
    assert titles(done.found.candidates)[0] == "Ice & craters"
    assert "not valid XML" in notes(done)


def test_an_opml_that_breaks_off_is_an_error_with_its_line(imported: Reader) -> None:
    with pytest.raises(DataError, match=r"list.opml:2: not valid XML"):
        imported('<opml version="2.0"><body>\n<outline text="a"', "list.opml")
