"""Reading MIND: what users read comes in, and every row that cannot be used is counted where it is."""

from pathlib import Path
from typing import Any

import pytest

from trsr_lite.datasets import mind
from trsr_lite.datasets.corpus import Corpus
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.sources import find
from trsr_lite.errors import DataError

NEWS = [
    (f"N{number}", "sports", "golf", f"Title {number}", f"Abstract {number}", "https://x.example", "[]", "[]")
    for number in range(1, 9)
]
MOMENT = "11/14/2019 12:41:20 PM"


def tsv(*rows: Any, end: str = "\n") -> bytes:
    return b"".join((row if isinstance(row, bytes) else "\t".join(row).encode()) + end.encode() for row in rows)


LATIN = b"N9\ta\tb\tK\xf6ln\t\t\t\t"


def behavior(user: str, history: str, impressions: str = "", time: str = MOMENT) -> tuple[str, ...]:
    return ("1", user, time, history, impressions)


def read(
    folder: Path, *behaviors: Any, news: Any = NEWS, strict: bool = False, end: str = "\n", **options: Any
) -> tuple[Corpus, Report]:
    (folder / "news.tsv").write_bytes(news if isinstance(news, bytes) else tsv(*news, end=end))
    (folder / "behaviors.tsv").write_bytes(tsv(*behaviors, end=end))
    corpus, report = Corpus(), Report(str(folder), strict=strict)
    sources = find(folder, mind.FILES, mind.LAYOUT)
    mind.read(sources, DataOptions("mind", str(folder), **options), corpus, report)
    return corpus, report


def ids(corpus: Corpus, number: int = 0) -> list[str]:
    return [item.id for item in corpus.items(corpus.case(number).sequence)]


def dropped(report: Report) -> dict[tuple[str, str], tuple[int, list[str]]]:
    return {key: (gap.count, gap.places) for key, gap in {**report.dropped, **report.left_out}.items()}


def test_an_article_has_its_title_category_subcategory_and_abstract(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, behavior("U1", "N1 N2"))
    (item,) = corpus.items([1])
    assert item.id == "N2"
    assert list(item.attributes.items()) == [
        ("title", "Title 2"), ("category", "sports"), ("subcategory", "golf"), ("abstract", "Abstract 2"),
    ]  # fmt: skip
    assert report.counts == {"item": 8, "row": 1}
    assert not dropped(report)


def test_a_history_is_read_oldest_first_and_impressions_are_not_part_of_it(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, behavior("U1", "N3 N1 N2", "N4-1 N5-0"))
    assert ids(corpus) == ["N3", "N1", "N2"]
    assert corpus.case(0).negatives == ()


def test_a_user_has_one_sequence_the_longest_row(tmp_path: Path) -> None:
    rows = [behavior("U1", "N1 N2"), behavior("U2", "N5"), behavior("U1", "N1 N2 N3"), behavior("U1", "N4 N5")]
    corpus, _ = read(tmp_path, *rows)
    assert (corpus.case_count, ids(corpus), corpus.case(0).line) == (2, ["N1", "N2", "N3"], 3)


@pytest.mark.parametrize("time", ["", MOMENT, "yesterday"])
def test_the_time_may_be_missing(tmp_path: Path, time: str) -> None:
    corpus, _ = read(tmp_path, behavior("U1", "N1 N2", time=time))
    assert ids(corpus) == ["N1", "N2"]


def test_line_ends_of_windows_and_blank_lines_are_read(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, behavior("U1", "N1 N2", "N3-0"), end="\r\n\r\n")
    assert ids(corpus) == ["N1", "N2"]
    assert not dropped(report)


def test_a_title_may_hold_other_line_separators(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, behavior("U1", "N1"), news=[("N1", "a", "b", "one\u2028two\x0bthree", "", "", "", "")])
    assert corpus.items([0])[0].attributes == {"title": "one\u2028two\x0bthree", "category": "a", "subcategory": "b"}


@pytest.mark.parametrize(
    ("row", "kind", "reason", "place"),
    [
        (("N9", "a", "b", " ", "text", "", "", ""), "item", "no title", "news.tsv:9"),
        (("", "a", "b", "title", "", "", "", ""), "item", "no id", "news.tsv:9"),
        (
            ("N1", "a", "b", "another", "", "", "", ""),
            "item",
            "the id came before with another text; the last counts",
            "news.tsv:9",
        ),
        (("N9", "a", "b"), "row", "not 8 columns", "news.tsv:9 has 3"),
        (("N9", *"abcdefgh"), "row", "not 8 columns", "news.tsv:9 has 9"),
        (("N9", "", "", "\u200b", "", "", "", ""), "item", "no visible text", "news.tsv:9"),
        (LATIN, "row", "not UTF-8", "news.tsv:9"),
    ],
)
def test_an_article_that_cannot_be_used_is_counted_by_line(
    tmp_path: Path, row: Any, kind: str, reason: str, place: str
) -> None:
    corpus, report = read(tmp_path, behavior("U1", "N1"), news=[*NEWS, row])
    assert dropped(report) == {(kind, reason): (1, [place])}
    assert (corpus.item_count, corpus.items([0])[0].title) == (8, "another" if row[0] == "N1" else "Title 1")
    with pytest.raises(DataError) as caught:
        read(tmp_path, behavior("U1", "N1"), news=[*NEWS, row], strict=True)
    assert str(caught.value).startswith(f"{tmp_path}/news.tsv:9: {kind} dropped: {reason}")
    assert caught.value.hint is not None and "--strict" in caught.value.hint


@pytest.mark.parametrize(
    ("row", "key", "place"),
    [
        (behavior("U1", "N1 N77 N2"), ("history item", "not in news.tsv"), "behaviors.tsv:2 N77"),
        (behavior(" ", "N1 N2"), ("row", "no user id"), "behaviors.tsv:2"),
        (("1", "U1", "N1 N2"), ("row", "not 5 columns"), "behaviors.tsv:2 has 3"),
        (b"1\tK\xf6ln\t\tN1 N2\t", ("row", "not UTF-8"), "behaviors.tsv:2"),
    ],
)
def test_a_behavior_that_cannot_be_used_is_counted_by_line(
    tmp_path: Path, row: Any, key: tuple[str, str], place: str
) -> None:
    corpus, report = read(tmp_path, behavior("U0", "N5 N6"), row)
    assert dropped(report) == {key: (1, [place])}
    assert ids(corpus) == ["N5", "N6"]
    with pytest.raises(DataError, match=r"behaviors\.tsv:2: "):
        read(tmp_path, behavior("U0", "N5 N6"), row, strict=True)


def test_a_user_who_read_nothing_is_no_fault(tmp_path: Path) -> None:
    _, report = read(tmp_path, behavior("U0", "N5 N6"), behavior("U1", " "), strict=True)
    assert dropped(report) == {("row", "no history"): (1, ["behaviors.tsv:2"])}


def test_unknown_ids_leave_the_rest_of_a_history(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, behavior("U1", "N90 N1 N91 N2 N92"))
    assert ids(corpus) == ["N1", "N2"]
    assert report.dropped["history item", "not in news.tsv"].count == 3


def test_a_byte_order_mark_is_no_part_of_the_first_id(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, behavior("U1", "N1 N2"), news=b"\xef\xbb\xbf" + tsv(*NEWS))
    assert ids(corpus) == ["N1", "N2"]


# Impressions


def test_an_impression_is_a_case_with_what_was_clicked_and_what_was_not(tmp_path: Path) -> None:
    rows = [behavior("U1", "N1 N2", "N3-0 N4-1 N5-0"), behavior("U1", "N1 N2", "N6-1 N7-1 N8-0")]
    corpus, report = read(tmp_path, *rows, negatives="impressions")
    assert [(case.user_id, case.history, case.positives, case.negatives) for _, case in corpus.cases()] == [
        ("U1", (0, 1), (3,), (2, 4)),
        ("U1", (0, 1), (5, 6), (7,)),
    ]
    assert not dropped(report)


@pytest.mark.parametrize(
    ("impressions", "key", "cases"),
    [
        ("N3-0 N4-1 N70-0 N71-1", ("candidate", "not in news.tsv"), 1),
        ("N3-0 N4-1 N5", ("candidate", "no label `-0` or `-1`"), 1),
        ("N3-0 N4-1 N5-2", ("candidate", "no label `-0` or `-1`"), 1),
        ("N3-0 N5-0", ("impression", "no clicked candidate"), 0),
        ("N4-1", ("impression", "no candidate that was not clicked"), 0),
        ("", ("impression", "no clicked candidate"), 0),
        ("N1-1 N3-0", ("impression", "every clicked candidate is already in the history"), 0),
        ("N4-1 N1-0 N2-0", ("impression", "every candidate that was not clicked is in the history"), 0),
    ],
)
def test_an_impression_that_cannot_be_used_is_counted(
    tmp_path: Path, impressions: str, key: tuple[str, str], cases: int
) -> None:
    corpus, report = read(tmp_path, behavior("U1", "N1 N2", impressions), negatives="impressions")
    assert set(dropped(report)) == {key}
    assert corpus.case_count == cases


def test_a_candidate_stands_once_and_clicked_wins(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, behavior("U1", "N1", "N3-1 N3-0 N4-0 N4-0 N3-1"), negatives="impressions")
    assert (corpus.case(0).positives, corpus.case(0).negatives) == ((2,), (3,))


def test_a_click_on_what_was_read_before_is_no_target(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, behavior("U1", "N1 N2", "N1-1 N3-1 N4-0"), negatives="impressions")
    assert corpus.case(0).positives == (2,)


def test_what_was_read_before_and_is_shown_again_is_no_negative(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, behavior("U1", "N1 N2", "N1-0 N3-1 N4-0 N2-0"), negatives="impressions")
    assert (corpus.case(0).positives, corpus.case(0).negatives) == ((2,), (3,))
    assert not dropped(report)  # the impression is used
