"""The example window, driven by keys on a virtual screen: it never waits, shows what was ranked, and can be left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import screens
from tests.screens import Screen
from trsr_lite import FakeEngine, ModelError, Recommender, User
from trsr_lite.summaries.store import SummaryStore

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "desktop_reader"
HANG = 20.0  # seconds after which a test gives up; nothing here depends on how long anything takes

Open = Callable[..., Any]

_kept: list[Any] = []  # windows are never collected: Tcl aborts if that happens to be in another thread


def _screen(*arguments: int) -> Iterator[Screen]:
    from tests.conftest import REQUIRE_ALL

    if packages := screens.missing():
        absent = pytest.fail if REQUIRE_ALL else pytest.skip
        absent(f"needs a virtual screen and Tk: apt install {' '.join(packages)}")
    with screens.screen(*arguments) as screen:
        yield screen


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    """A small screen: 1024 × 600, 96 dots an inch."""
    yield from _screen(1024, 600, 96)


@pytest.fixture(scope="module")
def sharp_screen() -> Iterator[Screen]:
    """The same screen with twice the dots."""
    yield from _screen(2048, 1200, 192)


class Gate:
    """A script for `FakeEngine` that summarizes only while the gate is open."""

    def __init__(self) -> None:
        self.opened, self.waiting = threading.Event(), threading.Event()

    def __call__(self, prompt: str) -> str:
        self.waiting.set()
        assert self.opened.wait(HANG)
        return " science."


def wait(window: Any, until: Callable[[], object]) -> None:
    """Let the window live until something is true."""
    end = time.monotonic() + HANG
    while not until():
        assert time.monotonic() < end, window.status.cget("text")
        window.root.update()
        time.sleep(0.002)


def idle(window: Any) -> bool:
    return bool(window.stop.instate(["disabled"]))


@pytest.fixture
def open_window(monkeypatch: pytest.MonkeyPatch, news_user: User, make_recommender: Any) -> Iterator[Open]:
    """`open_window(screen, load=…)`: a window of scripted engines that has the focus."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    windows: list[Any] = []

    def open_it(screen: Screen, load: Any = None, user: User = news_user, **options: Any) -> Any:
        from window import Window

        windows.append(Window(user, load or (lambda _: make_recommender()), screen=screen.name, **options))
        _kept.append(windows[-1])
        windows[-1].root.focus_force()
        windows[-1].ranking.tree.focus_set()
        windows[-1].root.update()
        return windows[-1]

    yield open_it
    for window in windows:
        if not window.ended:
            window.close()
            wait(window, lambda window=window: window.ended)


@pytest.fixture
def ranked(open_window: Open, screen: Screen) -> Any:
    """A window whose list is ranked."""
    window = open_window(screen)
    wait(window, lambda: idle(window))
    return window


def rows(window: Any) -> dict[str, list[str]]:
    return {item_id: [str(value) for value in window.ranking.tree.item(item_id, "values")] for item_id in order(window)}


def order(window: Any) -> list[str]:
    return window.ranking.order


def shown(window: Any, name: str) -> str:
    return window.texts.texts[name].get("1.0", "end")


# What it shows


def test_the_list_is_what_the_library_recommends(
    open_window: Open, screen: Screen, fake: FakeEngine, news_user: User, fake_recommender: Recommender
) -> None:
    fake.margin = lambda prompt: sum(prompt.encode()) % 16 - 8.0
    ranked = open_window(screen)
    wait(ranked, lambda: idle(ranked))
    result = fake_recommender.recommend(news_user)
    assert order(ranked) == [entry.item.id for entry in result.recommendations]
    assert [row[0] for row in rows(ranked).values()] == [str(rank) for rank in range(1, 13)]
    ties = {entry.tied for entry in result.recommendations}
    assert ties == {True, False}
    scores = [f"{'~ ' if entry.tied else ''}{entry.score:.2f}" for entry in result.recommendations]
    assert [row[3] for row in rows(ranked).values()] == scores
    assert result.summary is not None
    assert result.summary in shown(ranked, "Summary")


def test_why_shows_every_summary_its_source_and_its_articles(ranked: Any, news_user: User) -> None:
    assert ranked.result is not None
    text = shown(ranked, "Why")
    for node in ranked.result.nodes:
        assert node.text in text
    assert re.findall(r"Articles (\d+) to (\d+) +made now", text) == [
        ("1", "5"), ("6", "10"), ("11", "15"), ("16", "20")
    ]  # fmt: skip
    assert all(f"– {item.title}\n" in text for item in news_user.history[:20])
    ranked.rank()
    wait(ranked, lambda: idle(ranked))
    assert len(re.findall("from the store", shown(ranked, "Why"))) == len(ranked.result.nodes)


def test_an_article_read_twice_and_times_that_are_no_dates_are_shown_as_they_are(
    open_window: Open, screen: Screen, news_user: User
) -> None:
    history = [replace(item, time=1.7e12 + number) for number, item in enumerate(news_user.history)]
    history[8] = replace(history[4], time=history[8].time)
    window = open_window(screen, user=replace(news_user, history=tuple(history)))
    wait(window, lambda: idle(window))
    assert re.findall(r"Articles (\d+) to (\d+)", shown(window, "Why"))[:2] == [("1", "5"), ("6", "10")]
    assert f"1. {history[0].title}\n1700000000000 · " in shown(window, "History")


def test_the_arrow_keys_choose_the_article_that_is_shown_whole(ranked: Any, screen: Screen, news_user: User) -> None:
    third = next(item for item in news_user.candidates if item.id == order(ranked)[2])
    screen.press("Down", "Down")
    wait(ranked, lambda: ranked.article.headline.cget("text") == third.title)
    assert ranked.article.body.cget("text") == third.attributes["abstract"]
    assert f"Rank 3: {third.title}" in shown(ranked, "Why")


# Reading


def by_shared_words(prompt: str) -> float:
    """A candidate's margin: how often its category stands in the whole prompt."""
    category = re.findall(r"[Cc]ategory: (\w+)", prompt)[-1]
    return float(prompt.count(category))


def test_reading_an_article_changes_the_ranking_and_can_be_taken_back(
    open_window: Open, screen: Screen, fake: FakeEngine, news_user: User, fake_recommender: Recommender
) -> None:
    fake.margin = by_shared_words
    window = open_window(screen)
    wait(window, lambda: idle(window))
    before = order(window)
    read = before[-1]
    screen.press("End", "Return")
    wait(window, lambda: read not in order(window) and idle(window))
    item = next(item for item in news_user.candidates if item.id == read)
    rest = [item for item in news_user.candidates if item.id != read]
    again = fake_recommender.recommend(User("", (*news_user.history, item)), rest)
    assert order(window) == [entry.item.id for entry in again.recommendations] != before[:-1]
    for place, (item_id, row) in enumerate(rows(window).items()):
        moved = before.index(item_id) - place
        assert row[1] == (f"▲ {moved}" if moved > 0 else f"▼ {-moved}" if moved < 0 else "")
    assert shown(window, "History").startswith(f"24. {item.title}\njust now")
    screen.press("ctrl+z")
    wait(window, lambda: read in order(window) and idle(window))
    assert order(window) == before
    assert shown(window, "History").startswith("23. ")
    assert window.user == news_user


def test_until_a_shorter_history_is_ranked_why_shows_what_the_list_rests_on(
    open_window: Open, screen: Screen, fake: FakeEngine, store: SummaryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.margins.limit = 0  # else the history of before is ranked at once
    go = threading.Event()
    go.set()
    fake.margin = lambda prompt: float(go.wait(HANG))
    window = open_window(screen)
    wait(window, lambda: idle(window))
    for left in (11, 10):
        screen.press("Home", "Return")
        wait(window, lambda left=left: len(order(window)) == left and idle(window))
    assert "Articles 21 to 25" in shown(window, "Why")
    go.clear()
    screen.press("ctrl+z")
    wait(window, lambda: len(order(window)) == 11)
    window.root.update()
    assert capsys.readouterr().err == ""
    assert "Articles 21 to 25" in shown(window, "Why")
    go.set()
    wait(window, lambda: idle(window))
    assert "Articles 21" not in shown(window, "Why")


@pytest.mark.parametrize(("key", "feedback"), [("l", "like"), ("d", "dislike")])
def test_a_key_says_what_the_reader_thought_of_an_article(
    open_window: Open, screen: Screen, news_user: User, key: str, feedback: str
) -> None:
    window = open_window(screen)
    wait(window, lambda: idle(window))
    judged = order(window)[0]
    screen.press("Home", key)
    wait(window, lambda: judged not in order(window) and idle(window))
    assert (window.user.history[-1].id, window.user.history[-1].feedback) == (judged, feedback)
    screen.press("ctrl+z")
    wait(window, lambda: judged in order(window) and idle(window))
    assert window.user == news_user


def test_a_hidden_article_goes_and_nothing_is_learned_from_it(
    open_window: Open, screen: Screen, news_user: User
) -> None:
    window = open_window(screen)
    wait(window, lambda: idle(window))
    hidden = order(window)[1]
    screen.press("Home", "Down", "h")
    wait(window, lambda: hidden not in order(window) and idle(window))
    assert window.user.history == news_user.history
    screen.press("ctrl+z")
    wait(window, lambda: hidden in order(window) and idle(window))


def test_why_names_parts_and_the_nearest_articles(screen: Screen, news_user: User) -> None:
    from panels import why
    from trsr_lite import Recommendation, Result
    from trsr_lite.results import Stats

    near = [item.id for item in news_user.history[:5]]
    parts = {"words": 0.5, "model": -1.25, "taste": 0.0}
    entry = Recommendation(1, news_user.candidates[0], 0.3, -0.75, 0.9, False, parts, tuple(near))
    result = Result("", "none", None, (), (entry,), {"name": "x"}, Stats())
    lines = "".join(text for text, _ in why(result, news_user.history, entry)).splitlines()
    assert lines[1:4] == [
        "The sum of its parts: -0.75, shown as 0.30.",
        "– the model's yes against no: -1.25",
        "– shared words: +0.50",
    ]
    assert lines[4:] == ["Nearest of what you read", *(f"– {item.title}" for item in news_user.history[:3])]


def test_an_article_that_does_not_fit_at_the_end_of_the_history_is_said_and_leaves_all_as_it_was(
    open_window: Open, screen: Screen, news_user: User
) -> None:
    window = open_window(screen)
    wait(window, lambda: idle(window))
    early = order(window)[0]
    times = [replace(item, time=float(number)) for number, item in enumerate(news_user.history, 1)]
    articles = [replace(item, time=0.0 if item.id == early else None) for item in window.user.candidates]
    window.user = before = replace(news_user, history=tuple(times), candidates=tuple(articles))
    screen.press("Home", "Return")
    wait(window, lambda: "earlier" in window.status.cget("text"))
    assert "earlier than the item before it" in shown(window, "Summary")
    assert window.menu.entrycget("Undo", "state") == "disabled"
    screen.press("ctrl+z")
    window.root.update()
    assert window.user is before
    screen.press("Down", "Return")
    wait(window, lambda: len(order(window)) == 11 and idle(window))
    screen.press("ctrl+z")
    wait(window, lambda: len(order(window)) == 12 and idle(window))
    assert window.user is before


def test_when_everything_is_read_nothing_is_left_to_rank(ranked: Any, screen: Screen) -> None:
    for left in range(11, -1, -1):
        screen.press("Return")
        wait(ranked, lambda left=left: len(order(ranked)) == left and idle(ranked))
    assert ranked.article.headline.cget("text") == "Everything is read"
    screen.press("Return", "F5")
    ranked.root.update()
    wait(ranked, lambda: idle(ranked))
    screen.press("ctrl+z")
    wait(ranked, lambda: len(order(ranked)) == 1 and idle(ranked))
    assert next(iter(rows(ranked).values()))[0] == "1"


def test_a_ranking_that_comes_when_everything_is_read_is_of_no_use(
    open_window: Open, screen: Screen, make_recommender: Any, news_user: User
) -> None:
    loads, done = threading.Event(), threading.Event()

    def load(_: Any) -> Recommender:
        assert loads.wait(HANG)
        return make_recommender()

    window = open_window(screen, load, replace(news_user, candidates=news_user.candidates[:1]))
    events = window.worker.events

    class Seen:
        get_nowait = events.get_nowait

        def put(self, event: Any) -> None:
            events.put(event)
            if type(event).__name__ == "Ranked":
                done.set()

    window.worker.events = Seen()
    loads.set()
    assert done.wait(HANG)  # the window has not looked yet
    window.read()
    wait(window, events.empty)
    assert order(window) == [] and window.result is None and idle(window)
    assert window.status.cget("text") == "Everything is read"


# Never waiting


def test_the_window_answers_keys_while_the_model_is_at_work(
    open_window: Open, screen: Screen, fake: FakeEngine, news_user: User
) -> None:
    fake.script = gate = Gate()
    window = open_window(screen)
    wait(window, gate.waiting.is_set)
    screen.press("Down")
    wait(window, lambda: window.article.headline.cget("text") == news_user.candidates[1].title)
    screen.press("alt+4")
    wait(window, lambda: window.root.focus_get() is window.texts.texts["History"])
    assert not idle(window)
    gate.opened.set()
    wait(window, lambda: idle(window))
    assert window.result is not None


def test_escape_stops_and_f5_goes_on(open_window: Open, screen: Screen, fake: FakeEngine) -> None:
    fake.script = gate = Gate()
    window = open_window(screen)
    wait(window, gate.waiting.is_set)
    screen.press("Escape")
    wait(window, lambda: window.worker.cancelled)
    gate.opened.set()
    wait(window, lambda: idle(window))
    assert window.result is None
    assert "Stopped" in window.status.cget("text")
    screen.press("F5")
    wait(window, lambda: window.result is not None)
    assert window.result.stats.summary_cache_hits == 1  # what was finished is kept


def test_a_newer_ranking_replaces_the_one_that_runs(open_window: Open, screen: Screen, fake: FakeEngine) -> None:
    fake.script = gate = Gate()
    window = open_window(screen)
    wait(window, gate.waiting.is_set)
    first = window.job
    screen.press("F5")
    wait(window, lambda: window.job != first)
    gate.opened.set()
    wait(window, lambda: idle(window))
    assert window.result is not None
    assert len(fake.scored) == 12, "the first ranking ended before it scored anything"


def test_closing_in_the_middle_ends_the_window_and_its_thread(
    open_window: Open, screen: Screen, fake: FakeEngine
) -> None:
    fake.script = gate = Gate()
    window = open_window(screen)
    wait(window, gate.waiting.is_set)
    screen.press("ctrl+q")
    wait(window, lambda: window.root.state() == "withdrawn")  # gone from the screen before the model has stopped
    assert not window.worker.closed
    gate.opened.set()
    wait(window, lambda: window.ended)
    assert window.worker.closed


def test_a_model_that_cannot_be_loaded_is_said_with_its_hint(open_window: Open, screen: Screen) -> None:
    def load(_progress: Any) -> Recommender:
        raise ModelError("there is no such model", hint="install it")

    window = open_window(screen, load)
    wait(window, lambda: idle(window))
    assert "there is no such model" in window.status.cget("text")
    assert shown(window, "Summary") == "there is no such model\n\ninstall it\n"
    screen.press("Down")
    wait(window, lambda: window.ranking.chosen == order(window)[1])


def test_a_bug_looks_like_a_bug(open_window: Open, screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    def load(_progress: Any) -> Recommender:
        raise RuntimeError("unexpected")

    window = open_window(screen, load)
    wait(window, lambda: idle(window))
    window.root.update()
    assert "RuntimeError: unexpected" in capsys.readouterr().err
    screen.press("F5")
    wait(window, lambda: "unexpected" in capsys.readouterr().err)


def test_forgetting_deletes_what_is_stored_once_it_is_confirmed(
    ranked: Any, monkeypatch: pytest.MonkeyPatch, screen: Screen, store: SummaryStore
) -> None:
    import window as module

    answers = iter([False, True])
    monkeypatch.setattr(module.messagebox, "askokcancel", lambda *_, **__: next(answers))
    screen.press("ctrl+Delete")
    ranked.root.update()
    assert store.info()["summaries"] == 5
    screen.press("ctrl+Delete")
    wait(ranked, lambda: "deleted" in ranked.status.cget("text"))
    assert ranked.status.cget("text").startswith("5 ")
    assert store.info()["summaries"] == 0


@pytest.mark.parametrize("then", ["F5", "ctrl+q"])
def test_what_was_confirmed_is_forgotten_whatever_is_asked_for_meanwhile(
    open_window: Open, monkeypatch: pytest.MonkeyPatch, screen: Screen, fake: FakeEngine, store: SummaryStore, then: str
) -> None:
    import window as module

    gate, stored = Gate(), list[int]()

    def script(prompt: str) -> str:
        stored.append(store.info()["summaries"])
        return gate(prompt)

    fake.script = script
    monkeypatch.setattr(module.messagebox, "askokcancel", lambda *_, **__: True)
    window = open_window(screen)
    said, show = list[str](), window.status.configure
    monkeypatch.setattr(window.status, "configure", lambda text: (said.append(text), show(text=text)))
    wait(window, gate.waiting.is_set)
    screen.press("ctrl+Delete")
    wait(window, lambda: window.worker.cancelled)
    screen.press(then)
    wait(window, lambda: not window.worker.cancelled or window.root.state() == "withdrawn")
    gate.opened.set()
    wait(window, lambda: window.ended or window.result)
    if then == "F5":
        assert "1 stored summaries deleted" in said
        assert stored[:2] == [0, 0], "at the first summary of either ranking"
    else:
        assert store.info()["summaries"] == 0


def test_nobody_can_be_forgotten(
    open_window: Open, screen: Screen, news_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    import window as module

    monkeypatch.setattr(module.messagebox, "askokcancel", lambda *_, **__: pytest.fail("there is nothing to ask"))
    window = open_window(screen, user=replace(news_user, user_id=""))
    wait(window, lambda: idle(window))
    assert window.menu.entrycget("Forget me …", "state") == "disabled"
    window.forget()
    assert idle(window)


# Keyboard and screen


def mapped(widget: Any) -> Iterator[Any]:
    for child in widget.winfo_children():
        if child.winfo_ismapped() and child.winfo_class() != "Menu":
            yield child
            yield from mapped(child)


@pytest.mark.parametrize("sharp", [False, True], ids=["1024x600", "twice the dots"])
def test_everything_fits_on_a_small_screen(
    open_window: Open, sharp: bool, request: pytest.FixtureRequest, screen: Screen
) -> None:
    here: Screen = request.getfixturevalue("sharp_screen") if sharp else screen
    window = open_window(here)
    wait(window, lambda: idle(window))
    root = window.root
    assert window.look.scale == (2.0 if sharp else 1.0)
    assert root.winfo_rootx() + root.winfo_width() <= here.width
    assert root.winfo_rooty() + root.winfo_height() <= here.height
    for widget in mapped(root):
        right, bottom = widget.winfo_rootx() + widget.winfo_width(), widget.winfo_rooty() + widget.winfo_height()
        assert right <= root.winfo_rootx() + root.winfo_width(), widget
        assert bottom <= root.winfo_rooty() + root.winfo_height(), widget
        if widget.winfo_class() == "TButton":
            assert widget.winfo_width() >= widget.winfo_reqwidth()
            assert widget.winfo_height() >= widget.winfo_reqheight()
    last = window.ranking.tree.bbox(order(window)[-1])
    assert last, "all twelve articles are in sight"


def test_a_narrow_window_has_the_list_above_the_article_and_titles_have_room(open_window: Open, screen: Screen) -> None:
    window = open_window(screen)
    wait(window, lambda: idle(window))
    tree, article, root = window.ranking.tree, window.article, window.root
    assert article.winfo_rootx() > tree.winfo_rootx() + tree.winfo_width()
    root.geometry("460x560+0+0")
    wait(window, lambda: article.winfo_rooty() > tree.winfo_rooty() + tree.winfo_height() // 2)
    wait(window, lambda: tree.column("title", "width") > window.look.px(280))
    for button in (window.article.read, window.again, window.stop):
        assert button.winfo_rootx() + button.winfo_width() <= root.winfo_rootx() + root.winfo_width()
        assert button.winfo_rooty() + button.winfo_height() <= root.winfo_rooty() + root.winfo_height()
    for label in (article.headline, article.body):
        assert label.winfo_reqwidth() <= label.winfo_width()
    root.geometry("1000x540+0+0")
    wait(window, lambda: article.winfo_rootx() > tree.winfo_rootx() + tree.winfo_width())


@pytest.mark.parametrize("scale", [2.0, 1.0])  # Tk keeps the last one for its screen
def test_buttons_stay_on_the_screen_at_any_scale(open_window: Open, screen: Screen, scale: float) -> None:
    window = open_window(screen, scale=scale)
    wait(window, lambda: idle(window))
    for button in (window.article.read, window.again, window.stop):
        assert button.winfo_rootx() + button.winfo_width() <= screen.width
        assert button.winfo_rooty() + button.winfo_height() <= screen.height


def test_at_twice_the_dots_letters_and_distances_are_twice_as_large(
    open_window: Open, screen: Screen, sharp_screen: Screen
) -> None:
    sizes = []
    for here in (screen, sharp_screen):
        look = open_window(here).look
        sizes.append((look.px(10), look.body.measure("a line of some length")))
    assert sizes[1][0] == 2 * sizes[0][0]
    assert sizes[1][1] == pytest.approx(2 * sizes[0][1], rel=0.1)


def test_tab_reaches_everything_and_the_focus_can_be_seen(ranked: Any, screen: Screen) -> None:
    from PIL import ImageChops, ImageGrab

    def picture() -> Any:
        ranked.root.update()
        return ImageGrab.grab(xdisplay=screen.name)

    ranked.again.focus_set()
    start, reached = ranked.again, []
    while not reached or reached[-1][0] is not start:
        screen.press("Tab")
        before = ranked.root.focus_get()
        wait(ranked, lambda before=before: ranked.root.focus_get() is not before)
        reached.append((ranked.root.focus_get(), picture()))
        assert len(reached) < 20
    widgets = [widget for widget, _ in reached]
    assert {ranked.ranking.tree, ranked.article.read, ranked.texts, ranked.texts.texts["Summary"]} <= set(widgets)
    for (widget, one), (_, other) in zip(reached, [*reached[1:], reached[0]], strict=True):
        left, top = widget.winfo_rootx(), widget.winfo_rooty()
        box = (left, top, left + widget.winfo_width(), top + widget.winfo_height())
        assert ImageChops.difference(one.crop(box), other.crop(box)).getbbox(), f"{widget} looks the same with focus"


def test_the_readme_lists_the_keys_of_the_menu(ranked: Any) -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = [key for row in rows for key in re.findall(r"`([^`]+)`", row)]
    named = {menu.entrycget(index, "accelerator") for menu in ranked.menus for index in range(menu.index("end") + 1)}
    assert len(named) == 13
    assert named <= set(documented)


# The program


@pytest.fixture
def program(screen: Screen, tiny: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`python examples/desktop_reader` on a tiny model, ranked for the first time."""
    command = [sys.executable, str(EXAMPLE), "-m", str(tiny), "--cache-dir", str(tmp_path / "kept"), "--threads", "1"]
    environment = {**os.environ, "DISPLAY": screen.name, "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command], env=environment, **pipes)
    end = time.monotonic() + HANG
    try:
        while not screen.shows("^Desktop reader: 12 articles ranked$"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("user", "display", "code", "words"),
    [
        ({"candidates": None}, True, 4, 'Error: user.json: there is nothing to rank\nhint: add "candidates"'),
        ({"history": []}, True, 4, "Error: user.json.history: is empty\nhint: at least one item"),
        ({}, False, 1, "Error: no window can be opened: "),
    ],
    ids=["nothing to rank", "no history", "no screen"],
)
def test_the_program_says_in_one_line_why_it_cannot_begin(
    screen: Screen, tmp_path: Path, user: dict[str, Any], display: bool, code: int, words: str
) -> None:
    news = json.loads((ROOT / "examples" / "news_reader.json").read_text(encoding="utf-8"))
    (tmp_path / "user.json").write_text(json.dumps({**news, **user}), encoding="utf-8")
    environment = {**os.environ, "DISPLAY": screen.name if display else "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(EXAMPLE), "--user", "user.json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(words)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("way", ["ctrl+q", "SIGTERM"])
def test_the_program_ranks_with_llama_cpp_and_ends_without_a_word(
    program: subprocess.Popen[str], screen: Screen, tmp_path: Path, way: str
) -> None:
    if way == "ctrl+q":
        screen.xdotool("search", "--name", "^Desktop reader", "windowfocus", "--sync", "key", "ctrl+q")
    else:
        program.send_signal(signal.Signals[way])
    out, err = program.communicate(timeout=HANG)
    assert (program.returncode, out, err) == (0, "", "")
    store = SummaryStore(tmp_path / "kept")
    assert store.info()["summaries"] == 5
    store.close()
