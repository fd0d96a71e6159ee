"""The report: well-formed, loads nothing, shows text as text, claims no more than it knows, and is refused in time."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite import cli
from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError, SettingsError, TrsrError
from trsr_lite.evaluation.evaluate import Evaluation, rank_lists
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.outcomes import ListOutcome
from trsr_lite.evaluation.report import figures, plots, ranks, report
from trsr_lite.evaluation.systems import Answer
from trsr_lite.metrics import ranking as metrics
from trsr_lite.metrics.intervals import LEAST
from trsr_lite.records import Item

EVIL = "<script>alert('1')</script>"
BREAKING = '"><img src=x onerror=alert(1)>'
WHEN = datetime(2026, 5, 4, 3, 2, tzinfo=UTC)
SIZE = 12
MARK = "← the user's own"


class System:
    """Scores that `place` decides: where the user's items end up, by the number in the user's id."""

    def __init__(self, name: str, place: Callable[[int], float], *, summary: str | None = None) -> None:
        self.name, self._place, self._summary = name, place, summary
        self.identity = {"name": name}

    def prepare(self, examples: Sequence[Example], progress: Any) -> float:
        return 12.5 if self._summary else 0.0

    def answer(self, example: Example) -> Answer:
        place = self._place(int(example.user_id.removeprefix("person-")))
        if place < 0:
            raise DataError(f"cannot be ranked {EVIL}")
        others = iter(range(1, SIZE + 1))
        scores = np.array([-place if own else -float(next(others)) for own in example.labels])
        if self._summary is None:
            return Answer(scores)
        return Answer(scores, 1 / (1 + np.exp(-scores)), 0.875, self._summary)

    def release(self) -> None:
        pass


def item(name: str, title: str | None = None) -> Item:
    return Item(name, {"title": title or f"Title of {name}"})


def lists(count: int, *, history: int = 3, title: str | None = None, counted: bool = True) -> EvalLists:
    """Lists numbered from 100, each with one own item at a place of its own."""
    examples = {}
    for number in range(100, 100 + count):
        own = number % SIZE
        candidates = [item(f"c{number}-{index}", title) for index in range(SIZE)]
        candidates[own] = item(f"own{number}", title)
        past = tuple(item(f"h{number}-{index}", title) for index in range(history))
        labels = tuple(int(index == own) for index in range(SIZE))
        examples[number] = Example(f"person-{number}", past, tuple(candidates), labels)
    counts = {f"own{number}": 1 for number in range(100, 100 + count, 2)} if counted else None
    known = {item.id: item for one in examples.values() for item in (*one.history, *one.candidates)}
    return EvalLists(examples, list(known.values()), counts, {"part": "test", "options": {"seed": 7, "locale": None}})


def best(name: str = "best", **more: Any) -> System:
    return System(name, lambda number: 0.5, **more)


def spread(name: str = "spread", **more: Any) -> System:
    """The own item of list 100 is at place 1, of list 101 at place 2, and so on, round and round."""
    return System(name, lambda number: (number - 100) % SIZE + 0.5, **more)


@pytest.fixture
def made() -> Callable[..., str]:
    """The page of an evaluation."""
    for package in ("matplotlib", "jinja2"):
        pytest.importorskip(package, reason=f"needs {package}: `pip install 'trsr-lite[report]'`")

    def make(found: Evaluation, command: str = "trsr-lite evaluate") -> str:
        return report.html(found, command=command, when=WHEN)

    return make


Made = Callable[..., str]


# Reading a page


class Page(HTMLParser):
    """Fails on a tag that is not closed in its place; keeps elements with their attributes and their text."""

    VOID = ("meta", "br")

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(content)
        self.close()
        assert self._open == [], [self.elements[index][0] for index in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs), []))
        if tag not in self.VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag, f"{tag} at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.elements[index][2].append(data)

    def all(self, *tags: str) -> list[tuple[dict[str, str | None], str]]:
        """(attributes, text) of each element of these names, in order."""
        return [(attributes, "".join(text)) for tag, attributes, text in self.elements if tag in tags]

    def texts(self, *tags: str) -> list[str]:
        return [" ".join(text.split()) for _, text in self.all(*tags)]

    def attributes(self) -> list[tuple[str, str, str]]:
        return [(tag, name, value or "") for tag, found, _ in self.elements for name, value in found.items()]

    def table(self, caption: str) -> dict[str, list[str]]:
        """Head of each row -> its cells, of the first table with this caption."""
        rows: dict[str, list[str]] = {}
        inside = False
        for tag, attributes, text in self.elements:
            if tag == "caption":
                if inside:
                    break
                inside = "".join(text) == caption
            elif inside and tag == "th" and attributes["scope"] == "row":
                rows["".join(text)] = []
            elif inside and tag == "td":
                rows[list(rows)[-1]].append("".join(text))
        return rows


@pytest.fixture
def whole(made: Made) -> str:
    """A page with every part: notes, failures, groups, intervals, ties, several systems."""
    systems = [
        spread(summary="likes gardens"),
        best(),
        System("tied", lambda number: 3.0),
        System("failing", lambda number: -1.0 if number % 10 == 0 else 4.5),
    ]
    return made(rank_lists(lists(2 * LEAST, history=12), systems, notes=["read me"]))


def test_a_page_is_well_formed_and_says_what_its_parts_are(whole: str) -> None:
    assert whole.startswith("<!DOCTYPE html>\n")
    page = Page(whole)
    assert page.all("html")[0][0]["lang"] == "en"
    assert page.texts("h1") == ["spread and 3 other systems on 40 lists"]
    assert page.texts("title") == ["spread and 3 other systems on 40 lists – trsr-lite"]
    assert "2026-05-04 03:02 UTC" in page.texts("header")[0]
    assert all(attributes.get("scope") in ("row", "col") for attributes, _ in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption")) == 6 + 10
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(page.all("svg")) == 2
    ids = [value for _, name, value in page.attributes() if name == "id"]
    assert len(ids) == len(set(ids))


def test_a_page_loads_and_runs_nothing(whole: str) -> None:
    page = Page(whole)
    assert not re.search(r"https?:|//[a-z]|@import|javascript:", whole)
    assert not page.all("script", "img", "link", "iframe", "object", "embed", "base", "form", "image", "foreignobject")
    targets = [value for _, name, value in page.attributes() if name.rpartition(":")[2] in ("href", "src", "srcset")]
    ids = {value for _, name, value in page.attributes() if name == "id"}
    assert targets
    assert {target.removeprefix("#") for target in targets} <= ids
    assert all(target.startswith("#") for target in targets)
    assert "url(" not in whole  # nor a clip path, which would cut dots at the edges
    assert not [name for _, name, _ in page.attributes() if name.startswith("on")]
    assert "default-src 'none'" in str(page.all("meta"))


def test_plots_have_a_role_a_name_and_the_same_in_words(whole: str) -> None:
    page = Page(whole)
    texts = {attributes["id"]: text for attributes, text in page.all("ul", "div") if attributes.get("id")}
    for attributes, _ in page.all("svg"):
        assert attributes["role"] == "img"
        assert str(attributes["aria-label"]).startswith("Plot: Recall@")
        described = texts[attributes["aria-describedby"]]
        assert all(name in described for name in ("spread", "best", "tied", "failing"))
    assert "best: 1.000, 95 % interval 1.000–1.000" in texts["dots-words"]
    assert page.table("Recall@k")["tied"][:3] == ["0.000", "0.000", "0.500"]


def test_colours_are_those_of_the_page_in_the_light_and_in_the_dark(whole: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in whole
    drawings = re.findall(r"<svg.*?</svg>", whole, re.DOTALL)
    assert not re.search(r"(fill|stroke|color): (#|rgb|black)", "".join(drawings))
    light, dark = (set(re.findall(r"(--[\w-]+): #", part)) for part in whole.split("@media", 1))
    assert set(re.findall(r"var\((--[\w-]+)\)", whole)) <= light & dark


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_drawn_and_written_stands_out_from_the_page(made: Made, dark: bool) -> None:
    style = made(rank_lists(lists(1), [best()])).partition("</style>")[0]
    values = dict(re.findall(r"(--[\w-]+): (#\w{6})", style.split("@media", 1)[dark]))

    def contrast(name: str) -> float:
        one, other = sorted((luminance(values[name]), luminance(values["--page"])))
        return (other + 0.05) / (one + 0.05)

    series = [name for name in values if name.startswith("--series")]
    assert len(series) == len({values[name] for name in series}) == len(plots.SERIES)
    assert min(contrast(name) for name in [*series, "--note"]) >= 3
    assert min(contrast(name) for name in ("--ink", "--soft")) >= 4.5


# Text


def study(name: str = "length", **more: Any) -> dict[str, Any]:
    """A study of two variants and two systems, one of too few users."""

    def row(variant: str, system: str, value: float, **other: Any) -> dict[str, Any]:
        sure = {"value": value, "low": value - 0.1, "high": value + 0.1}
        figures = {"recall@3": sure, "mrr@10": sure, "auc": {**sure, "low": None, "high": None}}
        return {"variant": variant, "system": system, "history_items": 12.5, **figures, "failed": 2, **other}

    change = {"value": -0.25, "low": -0.3, "high": -0.2, "p": 0.0005}
    few = {"value": 0.0, "low": None, "high": None, "p": 1.0}
    rows = [
        row("as it is", "spread", 0.625, change=None),
        row("5 <b>", EVIL, 0.375, change=change),
        row("as it is", EVIL, 0.5, change=few),
    ]
    found = {"question": "What does it bring?", "axis": "items", "reference": "as it is", "metric": "recall@3"}
    return {**found, "rows": rows, **more}


def test_a_study_is_a_plot_and_a_table_of_the_same_figures(made: Made) -> None:
    found = replace(rank_lists(lists(40), [spread(), best()]), studies={"length": study(), "blocks": study()})
    whole = made(found)
    page = Page(whole)
    assert [head for head in page.texts("h2") if head.startswith("Study")] == ["Study: length", "Study: blocks"]
    assert len(page.all("svg")) == 2 + 2
    ids = [value for _, name, value in page.attributes() if name == "id"]
    assert len(ids) == len(set(ids))
    described = [value for _, name, value in page.attributes() if name == "aria-describedby"]
    assert set(described) <= set(ids)
    assert whole.count("0.375<br><small>0.275–0.475</small>") == 2 * 2  # Recall and MRR of two studies
    assert whole.count("−0.250<br><small>−0.300 to −0.200</small>") == 2
    assert "&lt; 0.001" in whole and "0.000<br><small>too few users</small>" in whole
    assert "<script>" not in whole and "5 <b>" not in whole


def test_text_from_outside_is_shown_as_text(made: Made) -> None:
    evil = f"{EVIL}{BREAKING}"
    systems = [best(f"a {evil}", summary=f"summary {evil}"), System(f"b {evil}", lambda number: -1.0)]
    found = lists(LEAST, title=f"title {evil}")
    found.facts["options"][f"key {evil}"] = f"value {evil}"  # type: ignore[index]
    content = made(rank_lists(found, systems, notes=[f"note {evil}"]), command=f"trsr-lite {evil}")
    page = Page(content)
    assert EVIL not in content
    assert not page.all("script", "img")
    assert not [name for _, name, _ in page.attributes() if name.startswith("on")]
    text = page.texts("body")[0]
    for shown in ("a", "b", "summary", "title", "note", "value", "key", "trsr-lite"):
        assert f"{shown} {evil}" in text, shown
    assert f"cannot be ranked {EVIL}" in text
    assert [evil in label for _, name, label in page.attributes() if name == "aria-label"].count(True) == 3
    assert any(EVIL[:8] in text for _, text in page.all("text"))


def test_text_from_outside_stays_on_its_line_and_in_its_direction(made: Made) -> None:
    found = lists(3, title="one\n\u202e\x1b[2J two\x00 \u200bthree")
    content = made(rank_lists(found, [best(summary="line\r\nline\u2029line")], notes=["a\tb"]))
    assert "<bdi>one [2J two three</bdi>" in content
    assert "<bdi>line line line</bdi>" in content
    assert "<li>a b</li>" in content


def test_a_title_of_nothing_visible_is_its_id_and_a_long_one_is_cut(made: Made) -> None:
    assert "<bdi>own100</bdi>" in made(rank_lists(lists(1, title="\u200b"), [best()]))
    content = made(rank_lists(lists(1, title="x" * 5000), [best()]))
    assert max(map(len, re.findall("x+…?", content))) == 201


@pytest.mark.parametrize(
    "name", ["$x_1^{y$", "_hidden", 'id="m1" href="#x"', "日本語 モデル", "a\x00b\ufffe", "x" * 300]
)
def test_a_name_is_drawn_as_it_is(made: Made, name: str) -> None:
    systems = [best(name), *(best(f"{number}") for number in range(9))]
    page = Page(made(rank_lists(lists(LEAST), systems)))
    drawn = page.texts("text")
    expected = "".join(c if c.isprintable() else "\ufffd" for c in name if c != "\x00")
    expected = expected if len(expected) <= 34 else f"{'x' * 16}…{'x' * 16}"
    assert drawn.count(expected) == 2
    assert page.texts("h1")[0].endswith("and 9 other systems on 20 lists")


def test_long_names_that_end_differently_are_told_apart(made: Made) -> None:
    name = "a-run-with-a-very-long-name-of-its-own-4711"
    drawn = Page(made(rank_lists(lists(3), [best(name), best(f"{name} (untrained)")]))).texts("text")
    assert len({text for text in drawn if text.startswith("a-run")}) == 2


# Figures


def test_the_first_sentence_says_who_is_better_and_what_chance_gives(made: Made) -> None:
    page = Page(made(rank_lists(lists(2 * LEAST), [spread(), best(), System("tied", lambda number: 3.0)])))
    said = page.texts("p")[1]
    assert said == (
        "Of the users' items, spread puts 30 % among its first three. The best other system, best, puts 100 % there. "
        "Chance puts 25 %."
    )
    alone = Page(made(rank_lists(lists(2 * LEAST), [spread()]))).texts("p")[1]
    assert alone == "Of the users' items, spread puts 30 % among its first three. Chance puts 25 %."


def test_the_table_has_every_figure_of_the_evaluation(made: Made) -> None:
    found = rank_lists(lists(2 * LEAST), [spread(summary="s"), System("broken", lambda n: -1.0 if n == 110 else 5.0)])
    page = Page(made(found))
    heads = [text for attributes, text in page.all("th") if attributes["scope"] == "col"]
    assert heads[: len(figures.COLUMNS) + 1] == ["System", *figures.COLUMNS.values()]
    for name, cells in page.table("What each system reaches").items():
        for key, cell in zip(figures.COLUMNS, cells, strict=True):
            figure = found.systems[name].get(key)
            if key == "failed":
                assert cell == str(figure) == ("1" if name == "broken" else "0")
            elif figure is None:
                assert (cell, name) == ("–", "broken")
            elif "low" in figure:
                assert cell == f"{figure['value']:.3f}{figure['low']:.3f}–{figure['high']:.3f}"
            else:
                assert float(cell) == pytest.approx(figure["value"], abs=1e-3)
    assert "prepared together: spread 12.5 s." in page.texts("section")[1]


def test_notes_come_before_every_figure_and_only_where_there_are_any(made: Made, whole: str) -> None:
    assert (
        whole.index("Read this first") < whole.index("read me") < whole.index("could not rank") < whole.index("<table")
    )
    assert "Read this first" not in made(rank_lists(lists(LEAST), [best()]))


def test_comparisons_and_groups_are_those_of_the_evaluation(whole: str) -> None:
    page = Page(whole)
    compared = page.table("Recall@3 against spread")
    assert list(compared) == ["best", "tied", "failing"]
    difference, between, p, could = compared["best"]
    assert (difference, p) == ("+0.700", "< 0.001")
    assert re.fullmatch(r"\+0\.\d{3} to \+0\.\d{3}", between)
    assert compared["failing"][0] == "−0.300"
    assert re.fullmatch(r"0\.\d{3}", could)
    areas = page.table("AUC against spread")
    assert list(areas) == list(page.table("nDCG@10 against spread")) == list(compared)
    assert areas["best"][0].startswith("+0.") and len(areas["best"]) == 4
    groups = page.table("Recall@3 of each group")
    assert groups["best"] == ["1.0001.000–1.000"] * 2
    assert {"warm (20 lists)", "cold (20 lists)"} <= set(page.texts("th"))


def test_what_the_model_adds_is_a_sentence_and_a_table_of_its_own(made: Made) -> None:
    values = {"without": 0.6, "with": 0.625, "value": 0.025, "low": 0.01, "high": 0.04, "p": 0.0005, "detectable": 0.02}
    metrics = {"auc": values, "recall@3": {**values, "p": 0.5, "detectable": None}}
    one = {"system": f"m {EVIL}", "fusion": "cross-fitted", "signals": ["words", "taste"], "metrics": metrics}
    found = rank_lists(lists(LEAST), [best()])
    content = made(replace(found, model_adds=[one]))
    page = Page(content)
    assert page.texts("h2")[1] == "What the model adds"
    assert page.table(f"What m {EVIL} adds") == {
        "AUC": ["0.600", "0.625", "+0.025", "+0.010 to +0.040", "< 0.001", "0.020"],
        "Recall@3": ["0.600", "0.625", "+0.025", "+0.010 to +0.040", "0.500", "–"],
    }
    said = f"To the simple signals, fused, m {EVIL} adds +0.025 AUC (+0.010 to +0.040, p < 0.001)."
    assert said in page.texts("p") and EVIL not in content
    assert "What the model adds" not in made(found)


def test_one_system_on_lists_that_nobody_counted_has_no_empty_tables(made: Made) -> None:
    page = Page(made(rank_lists(lists(LEAST, counted=False), [best()])))
    assert page.texts("h1") == ["best on 20 lists"]
    assert not [heading for heading in page.texts("h2") if "Against" in heading or "Warm" in heading]


def test_a_group_without_any_list_has_dashes(made: Made) -> None:
    found = lists(LEAST)
    found = EvalLists(found.examples, found.items, {f"own{number}": 1 for number in found.examples}, found.facts)
    assert Page(made(rank_lists(found, [best()]))).table("Recall@3 of each group")["best"][1] == "–"


def test_too_few_lists_have_no_interval_anywhere(made: Made) -> None:
    few, enough = (made(rank_lists(lists(count, counted=False), [spread(), best()])) for count in (LEAST - 1, LEAST))
    assert "too few for intervals" in Page(few).texts("section")[0]
    assert not re.search(r"\d–0\.\d|\d–1\.0", few)
    assert Page(few).table("Recall@3 against spread")["best"][1] == "too few users"
    assert few.count("too few users for an interval") == 2
    assert [content.count("stroke-width: 2.5") for content in (few, enough)] == [0, 2]


def test_many_lists_of_few_users_are_not_called_few_lists(made: Made) -> None:
    found = lists(6 * (LEAST - 1))
    examples = {
        number: replace(one, user_id=f"person-{100 + number % (LEAST - 1)}") for number, one in found.examples.items()
    }
    content = made(rank_lists(replace(found, examples=examples), [spread(), best()]))
    assert "too few users" in content and "of too few users to be sure" in content
    assert "too few lists" not in content and "lists enough" not in content


def test_what_a_catalog_finds_is_said_apart_from_the_ranking(made: Made) -> None:
    sure = {"value": 0.5, "low": 0.4, "high": 0.6}
    found = rank_lists(lists(LEAST), [best()])
    stage = {"count": 50, "items": 1200, "catalog": sure, "popularity": {**sure, "value": 0.25}}
    (said,) = [text for text in Page(made(replace(found, first_stage=stage))).texts("section") if "First" in text]
    assert "among the first 50 of 1,200 items" in said
    assert "catalog's first: 0.500, 95 % interval 0.400–0.600; popularity's first: 0.250" in said
    alone = made(replace(found, first_stage={**stage, "popularity": None}))
    assert "First stage" in alone and "popularity's" not in alone
    assert "First stage" not in made(found)


def test_what_was_ranked_is_said(made: Made) -> None:
    page = Page(made(rank_lists(lists(LEAST, history=4), [best()])))
    said = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert said["lists"] == "20"
    assert (said["candidates of a list"], said["of them the user's own"], said["items of a history"]) == (
        "12",
        "1",
        "4",
    )
    assert (said["part"], said["options"]) == ("test", "seed 7")


def test_how_it_was_made_is_said_exactly(made: Made) -> None:
    command = shlex.join(["trsr-lite", "evaluate", "-m", "my  model", "--output", "it's <here>"])
    page = Page(made(rank_lists(lists(3), [best()]), command=command))
    assert [text for _, text in page.all("code")] == [command]
    said = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert said["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"trsr-lite", "Platform", "llama-cpp-python"} <= set(said)


def test_the_same_evaluation_makes_the_same_page(made: Made) -> None:
    found = rank_lists(lists(LEAST), [spread(), best()])
    assert made(found) == made(found)


# Cases


def cases(content: str) -> list[str]:
    return re.findall(r"<details[^>]*><summary>List .*?</details>", content, re.DOTALL)


def heads(content: str) -> list[str]:
    return [re.sub(r".*<summary>(.*?)</summary>.*", r"\1", case, flags=re.DOTALL) for case in cases(content)]


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (9, 9), (10, 10), (11, 10), (30, 10)])
def test_ten_cases_or_as_many_as_there_are_lists(made: Made, count: int, shown: int) -> None:
    content = made(rank_lists(lists(count), [best()]))
    assert len(cases(content)) == len(set(heads(content))) == shown


def test_cases_go_from_the_best_to_the_worst_over_all_places(made: Made) -> None:
    found = heads(made(rank_lists(lists(5 * SIZE), [spread()])))
    assert found[0] == "List 100: place 1 of 12"
    assert found[-1] == "List 111: place 12 of 12"
    ranks = [int(head.split()[3]) for head in found]
    assert ranks == sorted(set(ranks))


def test_a_rare_failure_of_the_first_system_is_among_the_cases(made: Made) -> None:
    system = System("s", lambda number: {130: -1.0, 131: 9.5}.get(number, 0.5))
    found = heads(made(rank_lists(lists(40), [system])))
    assert found[-2:] == ["List 131: place 10 of 12", "List 130: not ranked"]
    assert found[:8] == [f"List {number}: place 1 of 12" for number in range(100, 108)]


def test_a_case_shows_the_newest_of_the_history_oldest_first_and_the_summary(made: Made) -> None:
    content = made(rank_lists(lists(1, history=13), [best(summary="likes gardens"), spread()]))
    history = re.findall(r"Title of (h100-\d+)", cases(content)[0])
    assert history == [f"h100-{number}" for number in range(3, 13)]
    assert "oldest first, the last 10 of 13" in content
    assert "The summary that best saw</h3>\n<blockquote><bdi>likes gardens</bdi>" in content
    assert "The summary that best saw</h3>\n<p>none</p>" in made(rank_lists(lists(1), [best()]))


def test_the_users_item_is_marked_in_words_and_no_other_is(made: Made) -> None:
    content = made(rank_lists(lists(SIZE), [spread()]))
    for head, case in zip(heads(content), cases(content), strict=True):
        place = int(head.split()[3])
        ranked = Page(case).elements
        (start,) = (index for index, (tag, _, _) in enumerate(ranked) if tag == "ol")
        top = [("".join(text), attributes["value"]) for tag, attributes, text in ranked[start:] if tag == "li"]
        assert [value for _, value in top] == ["1", "2", "3", "4", "5"]
        marked = [int(value or 0) for text, value in top if "own" in text]
        assert marked == [int(value or 0) for text, value in top if MARK in text]
        assert marked == ([place] if place <= 5 else [])


def test_a_case_says_where_every_system_put_the_users_items(made: Made) -> None:
    systems = [best(), spread(), System("tied", lambda number: 3.0), System("failing", lambda number: -1.0)]
    page = Page(made(rank_lists(lists(1), systems)))
    assert page.table("Where every system put it") == {
        "best": ["1"],
        "spread": ["1"],
        "tied": ["3–4"],
        "failing": [f"not ranked: cannot be ranked {EVIL}"],
    }


def test_several_items_of_a_user_have_a_place_each(made: Made) -> None:
    found = lists(1)
    example = found.examples[100]
    example = Example(example.user_id, example.history, example.candidates, (1, *example.labels[1:-1], 1))
    content = made(rank_lists(EvalLists({100: example}, found.items, None, {}), [best()]))
    assert sum(example.labels) == 3
    assert Page(content).table("Where every system put it") == {"best": ["1–3, 1–3, 1–3"]}
    assert cases(content)[0].count(MARK) == cases(content)[0].count("(shares 1–3)") == 3


def test_nobodys_id_is_in_a_page(whole: str) -> None:
    assert "person-" not in whole


# Places


@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.integers(0, 1)), min_size=1, max_size=8))
def test_recalls_are_those_of_the_metric(pairs: list[tuple[float, int]]) -> None:
    scores, labels = ([score for score, _ in pairs], [label for _, label in pairs])
    labels[0] = 1
    ids = tuple(map(str, range(len(scores))))
    outcome = ListOutcome("s", 1, "u", ids, tuple(labels), tuple(scores))
    expected = [metrics.recall_at(scores, labels, k) for k in range(1, 11)]
    assert ranks.recalls(outcome, 10).tolist() == pytest.approx(expected)


def test_a_list_that_was_not_ranked_has_no_places_and_no_recall() -> None:
    outcome = ListOutcome("s", 1, "u", ("a", "b"), (1, 0), None, error="no")
    assert ranks.of_candidates(outcome) == ranks.of_own_items(outcome) == ranks.top(outcome, 5) == []
    assert ranks.recalls(outcome, 3).tolist() == [0, 0, 0]


# The command


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs `trsr-lite evaluate *arguments`, as if it were typed."""
    monkeypatch.setenv("TRSR_LITE_THREADS", "1")

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        typed = ["evaluate", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/trsr-lite", *typed])
        capsys.readouterr()
        code = cli.run(typed)
        return (code, *capsys.readouterr())

    return call


Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def ranking(tmp_path: Path, tiny: Path) -> list[str]:
    """Arguments that rank two lists in no time."""
    users = [
        {
            "user_id": f"person-{number}",
            "history": [{"id": f"h{number}", "title": f"Read before {number}"}],
            "candidates": [{"id": f"c{index}", "title": f"Candidate {index}"} for index in range(4)],
            "positives": ["c2"],
        }
        for number in range(2)
    ]
    file = tmp_path / "lists.jsonl"
    file.write_text("".join(f"{json.dumps(user)}\n" for user in users), encoding="utf-8")
    return ["--lists", str(file), "-m", str(tiny), "--strategy", "none", "--baselines", "random"]


def test_the_command_writes_a_report_of_what_it_printed(run: Run, ranking: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    target = tmp_path / "a report.html"
    code, out, err = run(*ranking, "--report", target)
    assert code == 0, err
    assert "tiny" in out
    assert str(target) in err
    page = Page(target.read_text(encoding="utf-8"))
    assert page.texts("h1") == ["tiny and 1 other system on 2 lists"]
    assert page.texts("code") == [shlex.join(["trsr-lite", "evaluate", *ranking, "--report", str(target)])]
    assert "2 lists are too few for intervals" in page.texts("section")[0]
    assert sorted(path.name for path in tmp_path.iterdir() if "report" in path.name) == ["a report.html"]


def test_a_file_that_is_there_is_replaced_with_force_only(run: Run, ranking: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    target, hidden = tmp_path / "report.html", tmp_path / ".report.html"
    for file in (target, hidden):
        file.write_text("mine", encoding="utf-8")
    code, out, err = run(*ranking, "--report", target)
    assert (code, out) == (2, "") and f"Error: {target}: already exists" in err
    assert [file.read_text(encoding="utf-8") for file in (target, hidden)] == ["mine", "mine"]
    code, out, err = run(*ranking, "--report", target, "--force")
    assert code == 0 and target.read_text(encoding="utf-8").startswith("<!") and hidden.read_text() == "mine"


def refused(run: Run, monkeypatch: pytest.MonkeyPatch, target: Path) -> str:
    """The message; nothing may have been read or ranked."""

    def never(*arguments: Any, **more: Any) -> None:
        raise AssertionError("ranked")

    monkeypatch.setattr("trsr_lite.evaluation.request.rank_lists", never)
    code, out, err = run("--lists", target.parent / "there-is-no-such-file", "-m", "nothing", "--report", target)
    assert (code, out) == (2, "")
    return err


@pytest.mark.parametrize("kind", ["folder", "no folder", "below a file", "long", "pipe"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    targets = {"no folder": "absent/report.html", "below a file": "file/report.html", "long": "x" * 300}
    target = tmp_path / targets.get(kind, kind)
    if kind == "pipe":
        if os.name != "posix":
            pytest.skip("named pipes are POSIX")
        os.mkfifo(target)
    before = sorted(tmp_path.rglob("*"))
    assert f"Error: {target}: " in refused(run, monkeypatch, target)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")

    def denied(path: Path, *arguments: Any, **more: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(SettingsError, match=r"report\.html: a report cannot be written there: Permission denied"):
        report.check(tmp_path / "report.html")


def test_checking_a_place_leaves_it_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    target = tmp_path / "report.html"
    report.check(target)
    assert list(tmp_path.iterdir()) == []
    target.write_text("kept", encoding="utf-8")
    report.check(target)
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["kept"]


def test_without_matplotlib_the_extra_is_named_before_any_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = refused(run, monkeypatch, tmp_path / "report.html")
    assert "Error: a report needs the package matplotlib" in message
    assert "hint: pip install 'trsr-lite[report]'" in message


def test_without_jinja2_the_extra_is_named_before_any_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    message = refused(run, monkeypatch, tmp_path / "report.html")
    assert "Error: a report needs the package jinja2" in message
    assert "hint: pip install 'trsr-lite[report]'" in message


def test_a_full_disk_costs_the_report_and_not_the_figures(
    run: Run, monkeypatch: pytest.MonkeyPatch, ranking: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    target = tmp_path / "report.html"
    target.write_text("an older one", encoding="utf-8")
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "report" in path.name:
            write(path, data[:100])
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    code, out, err = run(*ranking, "--report", target, "--force")
    assert code == TrsrError.exit_code
    assert "Recall@3" in out
    assert f"Error: {target}: the report cannot be written: No space left on device" in err
    assert target.read_text(encoding="utf-8") == "an older one"
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report.html"]


def test_names_that_are_no_text_are_written_all_the_same(tmp_path: Path, made: Made) -> None:
    name = os.fsdecode(b"model-\xff")
    report.write(tmp_path / "report.html", made(rank_lists(lists(3), [best(name)]), command=f"trsr-lite {name}"))
    assert "model-" in (tmp_path / "report.html").read_text(encoding="utf-8")
