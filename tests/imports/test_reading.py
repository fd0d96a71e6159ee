"""What holds for every format: encodings, delimiters, dates, ratings, duplicates, the wrong file."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.imports.conftest import EXAMPLES, SAMPLES, Reader, notes, titles
from trsr_lite import DataError, SettingsError
from trsr_lite.imports import collect, dates, ratings, registry
from trsr_lite.imports.entry import Entry, Rating
from trsr_lite.imports.format import Format
from trsr_lite.imports.read import read
from trsr_lite.imports.source import opened
from trsr_lite.io.notes import Notes

POCKET = "title,url,time_added,tags,status\nCafé über Brücken,https://a.example/1,1767225600,,archive\n"
DAY = 1_769_817_600.0  # 2026-01-31


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_table_is_read_in_every_encoding(imported: Reader, encoding: str) -> None:
    done = imported(POCKET.encode(encoding))
    assert titles(done.found.history) == ["Café über Brücken"]
    assert ("read as Windows-1252" in notes(done)) == (encoding == "cp1252")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_delimiters_are_read_and_said(imported: Reader, separator: str) -> None:
    done = imported(POCKET.replace(",", separator))
    assert titles(done.found.history) == ["Café über Brücken"]
    assert "columns are separated by" in notes(done)


def test_rows_of_another_length_and_open_quotes_are_counted(imported: Reader) -> None:
    rows = 'Short,https://a.example/2\nGood,https://a.example/3,1767225601,,archive\nOpen "quote" here"x,"https://a\n'
    done = imported(POCKET + rows)
    assert titles(done.found.history) == ["Café über Brücken", "Good"]
    assert "1 × row left out: it has not the 5 cells of the first line (" in notes(done)
    assert "row left out: not valid CSV" in notes(done)


def test_a_table_without_names_is_said_to_be_none(imported: Reader) -> None:
    with pytest.raises(DataError, match="it is a table with the columns Some page, https"):
        imported("Some page,https://a.example/,1767225600,,archive\n")


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026/01/31",
        "2026-01-31T00:00:00Z",
        "1769817600",
        "1769817600000",
        "Sat, 31 Jan 2026 00:00:00 GMT",
        "January 31, 2026",
        "Jan 31, 2026, 12:00:00 AM UTC",
        "31. Januar 2026",
        "31 janvier 2026 01:00:00 CET",
        "2026年1月31日",
        "1/31/2026 12:00:00 AM",
    ],
)
def test_one_day_in_a_dozen_forms(text: str) -> None:
    assert dates.seconds(text) == DAY


@pytest.mark.parametrize("text", ["", "soon", "32. Januar 2026", "31/31/2026", "2026", "2026-13-01"])
def test_what_is_no_date_is_none(text: str) -> None:
    assert dates.seconds(text) is None


def test_dates_of_numbers_are_read_as_the_whole_file_tells() -> None:
    days = [Entry("A", "f:1", "05/06/2026"), Entry("B", "f:2", "31/01/2026")]
    found = collect.ordered(days, Notes(), newest_first=False, where="f")
    assert [(one.title, one.time) for one in found] == [("B", DAY), ("A", 1_780_617_600.0)]
    months = collect.ordered([Entry("B", "f:2", "01/31/2026")], Notes(), newest_first=False, where="f")
    assert months[0].time == DAY


def test_dates_that_nothing_tells_apart_are_left_out_and_said_unless_told() -> None:
    said = Notes()
    unclear = [Entry("A", "f:1", "05/06/2026"), Entry("B", "f:2", "01/02/2026")]
    assert [one.time for one in collect.ordered(unclear, said, newest_first=False, where="f")] == [None, None]
    assert "`--dates day-first`" in said.lines()[0] + said.lines()[1]
    told = collect.ordered(unclear, Notes(), newest_first=False, where="f", day_first=True)
    assert [one.title for one in told] == ["B", "A"]


@pytest.mark.parametrize(
    ("text", "most", "value", "of"),
    [
        ("4", 5, 4, 5),
        ("4.25", 5, 4.25, 5),
        ("4,5", 5, 4.5, 5),
        ("7/10", None, 7, 10),
        ("85 %", None, 85, 100),
        ("★★★½", None, 3.5, 5),
        ("★★☆☆☆", None, 2, 5),
        ("8", None, 8, None),
    ],
)
def test_ratings_of_many_scales(text: str, most: float | None, value: float, of: float | None) -> None:
    assert ratings.stars(text, most) == Rating(value, of)


@pytest.mark.parametrize("text", ["", "0", "PG-13", "6", "☆☆☆☆☆", "-1"])
def test_what_is_no_rating_of_five_stars_is_none(text: str) -> None:
    assert ratings.stars(text, 5) is None


def test_a_scale_that_nobody_names_is_told_by_its_largest_rating() -> None:
    assert ratings.scale([Rating(4), Rating(2)]) == (1, 5)
    assert ratings.scale([Rating(9), Rating(2)]) == (1, 10)
    assert ratings.scale([Rating(55), Rating(0.5)]) == (0.5, 100)
    assert ratings.scale([Rating(4, 5), Rating(4, 10)]) is None
    assert ratings.scale([]) is None


def test_thumbs_are_feedback() -> None:
    assert (ratings.feedback("👍"), ratings.feedback("Disliked"), ratings.feedback("4")) == ("like", "dislike", "")


def test_entries_of_one_thing_are_one_item_that_knows_what_each_says() -> None:
    entries = [
        Entry("Tides", "f:1", 10.0, "t", {"author": "Una", "tags": "sea"}, Rating(4, 5)),
        Entry("Moss", "f:2", 20.0),
        Entry("Tides", "f:3", 30.0, "t", {"author": "Una Calder"}),
    ]
    said = Notes()
    found = collect.collect(entries, said)
    assert found.history[1] == {
        "id": "t",
        "title": "Tides",
        "author": "Una Calder",
        "tags": "sea",
        "time": "1970-01-01T00:00:30Z",
        "rating": 4,
    }
    assert said.lines() == ["1 × entry that came before: one item, at its newest date (f:3)"]


def test_the_newest_are_kept_and_the_rest_counted() -> None:
    entries = [Entry(f"Item {number}", f"f:{number}", float(number)) for number in range(1, 11)]
    said = Notes()
    found = collect.collect(entries, said, newest=3)
    assert titles(found.history) == ["Item 8", "Item 9", "Item 10"]
    assert said.lines() == ["7 × item left out: older than the newest 3; `--newest 0` keeps all"]


def test_an_id_is_made_of_the_title_where_there_is_none() -> None:
    long = "An endless title " * 20
    found = collect.collect(
        [Entry("  The  Moss ", "f:1", 1.0), Entry(long, "f:2", 2.0), Entry(long + "!", "f:3", 3.0)], Notes()
    )
    assert found.history[0]["id"] == "the moss"
    assert len({item["id"] for item in found.history}) == 3
    assert all(len(item["id"]) < 140 for item in found.history)


def test_entities_are_letters_and_invisible_titles_no_items() -> None:
    said = Notes()
    found = collect.collect([Entry("Salt &amp; snow", "f:1"), Entry("\u200b", "f:2"), Entry("", "f:3")], said)
    assert titles(found.history) == ["Salt & snow"]
    assert said.lines() == ["2 × entry left out: no title (f:2, f:3)"]


@pytest.mark.parametrize("path", [*sorted(SAMPLES.iterdir()), *sorted(EXAMPLES.iterdir())], ids=lambda path: path.name)
def test_every_sample_looks_like_one_format_alone(path: Path) -> None:
    with opened(path) as source:
        known = [one for one in registry.formats().values() if one.name != "table"]  # which is the last guess
        assert len([one.name for one in known if one.looks(source)]) == (
            path.name not in ("orders.csv", "wishlist.csv")
        )


def test_every_format_has_a_sample() -> None:
    seen = set()
    for path in [*SAMPLES.iterdir(), *EXAMPLES.iterdir()]:
        with opened(path) as source:
            seen.add(registry.guess(source).name)
    assert seen == set(registry.formats())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04rest", "it is a zip archive"),
        (b'{"a": 1}', "it is JSON of an unknown kind"),
        (b'{"history": []}', "it is a user file already"),
        (b"<p>hello</p>", "it is XML or HTML of an unknown kind"),
        (b"hello there", "it is a text of an unknown kind"),
        (b"\x89PNG\x00\x00\x00\x01\x02", "it is no text"),
    ],
)
def test_a_file_of_no_known_kind_is_said_to_be_what_it_is(imported: Reader, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        imported(content, "export.dat")
    with pytest.raises(DataError, match=f"this is no Goodreads library: {said}"):
        imported(content, "export.dat", "goodreads")


def test_a_file_with_nothing_in_it_says_why(imported: Reader) -> None:
    with pytest.raises(DataError, match=r"nothing in it can be used: 1 × row left out: no web page"):
        imported("title,url,time_added,tags,status\nX,file:///x,1,,archive\n")


def test_a_format_of_another_package_is_found_and_replaces_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = Format("diaryapp", "Diary app", "item", "its menu", lambda s: s.head.startswith("DIARY"), _diary)
    taken = Format("goodreads", "False friend", "item", "nowhere", lambda s: True, _diary)
    points = [_Point("diaryapp", mine), _Point("goodreads", taken)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    registry.formats.cache_clear()
    try:
        path = tmp_path / "d.txt"
        path.write_text("DIARY\nA walk\nA swim\n")
        assert titles(read([path]).found.history) == ["A walk", "A swim"]
        assert registry.named("goodreads").program == "Goodreads library"
    finally:
        registry.formats.cache_clear()


def test_an_entry_point_that_is_no_format_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [_Point("x", object())])
    registry.formats.cache_clear()
    try:
        with pytest.raises(SettingsError, match="is no `Format`"):
            registry.formats()
    finally:
        registry.formats.cache_clear()


class _Point:
    def __init__(self, name: str, made: object) -> None:
        self.value, self.made = EntryPoint(name, f"other:{name}", registry.GROUP).value, made

    def load(self) -> object:
        return self.made


def _diary(source, reading):  # type: ignore[no-untyped-def]
    with source.text() as text:
        next(text)
        for number, line in enumerate(text, 2):
            yield Entry(line.strip(), f"{source.name}:{number}")
