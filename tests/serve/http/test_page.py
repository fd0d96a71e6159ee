"""The page at `/`: its policy, and what a person does with it in a browser."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser
from tests.browser import Page
from tests.serve.conftest import Gate
from tests.serve.http.conftest import ServeWeb, Web
from trsr_lite.testing import wait_until

needs_browser = pytest.mark.skipif(browser.program() is None, reason="needs Chromium (Debian: apt install chromium)")
PICTURES = os.environ.get("PAGE_PICTURES")  # a folder to look at; made by hand, read by eye


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    (tmp_path / "browser").mkdir()
    with browser.browser(tmp_path / "browser") as found:
        found.size(1280)
        yield found


def put(page: Page, field: str, text: str) -> None:
    """Type into a field."""
    page.run(f"$({field!r}).value = {json.dumps(text)}; $({field!r}).dispatchEvent(new Event('input'))")


def ranked(page: Page) -> list[str]:
    return page.run("[...document.querySelectorAll('#results .title')].map((one) => one.textContent)")


def test_the_page_is_one_file_whose_policy_lets_nothing_foreign_in(web: Web) -> None:
    answer = web.client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/=]+'", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/=]+'", policy["style-src"])
    assert not re.search(r"https?://|\bsrc=|@import|<script [^>]|innerHTML|\bon[a-z]+=|style=", answer.text)
    assert answer.headers["x-content-type-options"] == "nosniff"


@needs_browser
def test_an_example_is_ranked_and_nothing_else_is_asked_for(web: Web, page: Page) -> None:
    page.open(web.url)
    page.run("$('example').click()")
    assert page.run("$('history-count').textContent") == "5 items"
    page.run("$('rank').click()")
    page.until("document.querySelectorAll('#results > li').length == 4")
    assert ranked(page)[0] == "Ten tax forms explained", "the script prefers short texts"
    assert page.run("$('busy').hidden && $('error').hidden")
    assert page.run("document.querySelector('.parts').textContent").startswith("the model")
    assert all(url.startswith((web.url, "data:", "about:")) for url in page.asked)
    assert page.logged == []
    if PICTURES:
        page.picture(Path(PICTURES) / "page-1280.png")


@needs_browser
@pytest.mark.parametrize("width", [380, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_cut_at_either_width(web: Web, page: Page, width: int, dark: bool) -> None:
    page.size(width, dark=dark)
    page.open(web.url)
    put(page, "history", "\n".join(f"item {number} " + "w" * 90 for number in range(12)))
    put(page, "candidates", "a" * 200 + "\n" + "A rather long title that goes on and on, about many things " * 3)
    page.run("$('rank').click()")
    page.until("document.querySelectorAll('#results > li').length == 2")
    assert page.run("document.documentElement.scrollWidth") <= width
    cut = """[...document.querySelectorAll('button, .title, .score, .place, .parts li, label, h1, h2, p')].filter(
        (one) => one.offsetParent && (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display != 'inline'
        || one.getBoundingClientRect().right > innerWidth)).map((one) => one.outerHTML.slice(0, 200))"""
    assert page.run(cut) == []
    if PICTURES:
        page.picture(Path(PICTURES) / f"page-{width}{'-dark' * dark}.png")


@needs_browser
def test_texts_of_others_are_shown_as_texts(web: Web, page: Page) -> None:
    page.open(web.url)
    evil = "<img src=x onerror=alert(1)><script>document.title = 'taken'</script>"
    put(page, "history", evil)
    put(page, "candidates", evil)
    page.run("$('rank').click()")
    page.until("document.querySelectorAll('#results > li').length == 1")
    assert ranked(page) == [evil]
    assert page.run("document.title") == "trsr-lite"
    assert page.logged == []


@needs_browser
@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("one\r\n\n- two\n* three", ["one", "two", "three"]),
        ('{"user_id": "u", "history": [{"id": 1, "title": "one"}, {"id": 1, "name": "two"}]}', ["one", "two"]),
        ('[{"title": "one"}, "two"]', ["one", "two"]),
        ('{"title": "one"}\n{"title": "two"}\n', ["one", "two"]),
        (
            'id,Title,year\n7,"one, with ""quotes""\nand a line",1999\n8,two,2000\n',
            ['one, with "quotes"\nand a line', "two"],
        ),
        ("title;year\none;1\ntwo;2", ["one", "two"]),
        ("title\tyear\none\t1", ["one"]),
        ("\ufeffone", ["one"]),
        ("Titles, and more\nof them", ["Titles, and more", "of them"]),
    ],
)
def test_lists_are_read_as_lines_json_or_csv(web: Web, page: Page, text: str, titles: list[str]) -> None:
    page.open(web.url)
    put(page, "history", text)
    assert page.run("items('history').map((one) => title(one))") == titles
    assert len(set(page.run("items('history').map((one) => one.id)"))) == len(titles)


@needs_browser
def test_a_user_file_that_is_dropped_fills_both_lists(web: Web, page: Page) -> None:
    page.open(web.url)
    user = Path(__file__).parents[3] / "examples" / "news_reader.json"
    page.run(
        f"""(() => {{ const files = new DataTransfer();
        files.items.add(new File([{json.dumps(user.read_text())}], "me.json"));
        $("history").dispatchEvent(new DragEvent("drop", {{ dataTransfer: files, cancelable: true }})); }})()"""
    )
    page.until("$('history-count').textContent == '23 items' && $('candidates-count').textContent == '12 items'")


@needs_browser
def test_what_is_wrong_is_said_and_the_next_try_works(web: Web, page: Page) -> None:
    page.open(web.url)
    for history, said in (("", "Say first what you read"), ("[{", "cannot be read"), ('[{"title": " "}]', "no text")):
        put(page, "history", history)
        put(page, "candidates", "one\ntwo")
        page.run("$('rank').click()")
        page.until(f"$('error').textContent.includes({said!r})")
    put(page, "history", "fine")
    page.run("$('rank').click()")
    page.until("document.querySelectorAll('#results > li').length == 2 && $('error').hidden")


@needs_browser
def test_a_token_is_asked_for_when_there_is_one(serve_web: ServeWeb, page: Page) -> None:
    page.open(serve_web(token="a-token-of-some-length").url)
    page.run("$('example').click(); $('rank').click()")
    page.until("!$('token-row').hidden && document.activeElement.id == 'token'")
    put(page, "token", "a-token-of-some-length")
    page.run("$('rank').click()")
    page.until("document.querySelectorAll('#results > li').length == 4 && $('error').hidden")


@needs_browser
def test_stop_cancels_the_request_on_the_server(web: Web, page: Page, gate: Gate) -> None:
    page.open(web.url)
    put(page, "history", "\n".join(f"item {number}" for number in range(20)))
    put(page, "candidates", "one")
    page.run("$('rank').click()")
    gate.let(1)
    gate.reached()
    gate.reached()
    page.until("$('stage').textContent.startsWith('reading your history')")
    page.run("$('stop').click()")
    page.until("$('error').textContent.startsWith('Stopped')")
    gate.open()
    wait_until(lambda: web.service.queue.state() == ([], None))
    page.run("$('rank').click()")
    page.until("document.querySelectorAll('#results > li').length == 1")
