"""Bookmarks of browsers and of bookmark services."""

from __future__ import annotations

from tests.imports.conftest import EXAMPLES, Reader, notes, titles
from trsr_lite.imports.read import ImportOptions, read

HEAD = "<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<TITLE>Bookmarks</TITLE>\n<H1>Bookmarks</H1>\n<DL><p>\n"


def test_pages_keep_folder_tags_description_and_lose_what_counts_visitors() -> None:
    found = read([EXAMPLES / "bookmarks.html"]).found
    assert found.history[0] == {
        "id": "https://baking.example/sourdough-starter",
        "title": "Keeping a rye starter alive",
        "folder": "Bread",
        "tags": "sourdough,rye",
        "description": "Feeding times for a cold kitchen.",
        "site": "baking.example",
        "time": "2026-01-01T00:00:00Z",
    }
    assert found.history[2]["title"] == "Stone-ground flour & where it comes from"
    assert titles(found.candidates)[0] == "Shaping a baguette"
    assert "folder" not in found.candidates[0]  # that it is on the reading list says nothing about it


def test_a_private_folder_and_a_private_mark_stay_out_unless_asked_for(imported: Reader) -> None:
    path = EXAMPLES / "bookmarks.html"
    assert "My results" not in titles(read([path]).found.history)
    assert "1 × bookmark left out: private" in notes(read([path]))
    assert "My results" in titles(read([path], options=ImportOptions(private=True)).found.history)
    marked = (
        HEAD
        + '<DT><A HREF="https://a.example/" PRIVATE="1">Secret</A>\n<DT><A HREF="https://b.example/">Open</A>\n</DL>'
    )
    assert titles(imported(marked, "b.html").found.history) == ["Open"]


def test_scripts_data_files_and_browser_pages_are_no_items(imported: Reader) -> None:
    addresses = ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "chrome://flags", "about:blank"]
    links = "".join(f'<DT><A HREF="{one}">x</A>\n' for one in [*addresses, "https://[bad", "https://ok.example/a"])
    done = imported(HEAD + links + "</DL>", "b.html")
    assert titles(done.found.history) == ["x"]
    assert "6 × bookmark left out: no web page" in notes(done)


def test_markup_within_a_title_is_no_text(imported: Reader) -> None:
    link = '<DT><A HREF="https://a.example/">A <b>bold</b> page<script>alert("x")</script></A>\n'
    assert titles(imported(HEAD + link + "</DL>", "b.html").found.history) == ["A bold page"]


def test_passwords_in_addresses_do_not_reach_the_user_file(imported: Reader) -> None:
    link = '<DT><A HREF="https://me:secret@a.example/page#part">Page</A>\n'
    assert imported(HEAD + link + "</DL>", "b.html").found.history[0]["id"] == "https://a.example/page"


def test_a_page_without_a_title_is_called_by_its_address(imported: Reader) -> None:
    links = (
        '<DT><A HREF="https://www.a.example/2026/how-to-bake_bread.html"></A>\n<DT><A HREF="https://b.example/"></A>'
    )
    found = imported(HEAD + links + "</DL>", "b.html").found
    assert titles(found.history) == ["how to bake bread (a.example)", "b.example"]


def test_an_export_of_pocket_parts_unread_from_archive(imported: Reader) -> None:
    page = (
        "<!DOCTYPE html><html><head><title>Pocket Export</title></head><body><h1>Unread</h1><ul>"
        '<li><a href="https://a.example/1" time_added="1767225600" tags="sky">To come</a></li></ul>'
        '<h1>Read Archive</h1><ul><li><a href="https://a.example/2" time_added="1767225601" tags="">Done</a></li></ul>'
    )
    found = imported(page, "ril_export.html").found
    assert (titles(found.history), titles(found.candidates)) == (["Done"], ["To come"])
    assert found.candidates[0]["tags"] == "sky"
