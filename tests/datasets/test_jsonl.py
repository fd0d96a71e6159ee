"""Reading a data set of one's own: any order comes in, sorted where it can be, and faults are counted by line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.datasets import jsonl
from trsr_lite.datasets.corpus import REPEATED, Corpus
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.sources import find
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.settings import DOMAINS

ITEMS = [{"id": f"n{number}", "title": f"Title {number}", "tags": ["a", "b"]} for number in range(1, 7)]


def lines(*documents: Any) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in documents)


GRADES = "ids and numbers that are not negative"


def act(user: Any, item: Any, time: Any = None) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, **({} if time is None else {"time": time})}


def read(folder: Path, *interactions: Any, items: Any = ITEMS, strict: bool = False) -> tuple[Corpus, Report]:
    (folder / "items.jsonl").write_bytes(lines(*items))
    (folder / "interactions.jsonl").write_bytes(lines(*interactions))
    corpus, report = Corpus(), Report(str(folder), strict=strict)
    jsonl.read(find(folder, jsonl.FILES, jsonl.LAYOUT), DataOptions("jsonl", str(folder)), corpus, report)
    return corpus, report


def read_impressions(folder: Path, *impressions: Any, strict: bool = False) -> tuple[Corpus, Report]:
    (folder / "items.jsonl").write_bytes(lines(*ITEMS))
    (folder / "impressions.jsonl").write_bytes(lines(*impressions))
    corpus, report = Corpus(), Report(str(folder), strict=strict)
    options = DataOptions("jsonl", str(folder), negatives="impressions")
    jsonl.read(find(folder, jsonl.files(options), jsonl.LAYOUT), options, corpus, report)
    return corpus, report


def impression(**changes: Any) -> dict[str, Any]:
    return {"user_id": "u", "history": ["n1"], "clicked": ["n2"], "shown": ["n3", "n4"], **changes}


def sequences(corpus: Corpus) -> dict[str, list[str]]:
    return {case.user_id: [item.id for item in corpus.items(case.sequence)] for _, case in corpus.cases()}


def gaps(report: Report) -> dict[tuple[str, str], tuple[int, list[str]]]:
    return {key: (gap.count, gap.places) for key, gap in report.dropped.items()}


def test_items_and_interactions_are_read(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, act("a", "n1"), act("b", "n3"), act("a", "n2"))
    assert corpus.items([0])[0].attributes == {"title": "Title 1", "tags": "a, b"}
    assert sequences(corpus) == {"a": ["n1", "n2"], "b": ["n3"]}
    assert report.counts == {"item": 6, "interaction": 3}
    assert not gaps(report)


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ((3, 1, 2), ["n2", "n3", "n1"]),
        (("2026-01-03", "2026-01-01T10:00:00Z", "2026-01-02"), ["n2", "n3", "n1"]),
        ((1, 1, 0), ["n3", "n1", "n2"]),
        ((3, None, 1), ["n1", "n2", "n3"]),
        ((3, "", 1), ["n1", "n2", "n3"]),
    ],
)
def test_a_user_with_every_time_is_sorted_and_others_keep_the_files_order(
    tmp_path: Path, times: tuple[Any, ...], order: list[str]
) -> None:
    corpus, _ = read(tmp_path, *(act("u", f"n{number}", time) for number, time in enumerate(times, 1)))
    assert sequences(corpus) == {"u": order}


@given(st.permutations([(user, time) for user in "abc" for time in range(4)]))
def test_timed_interactions_may_come_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("shuffled")
    corpus, _ = read(folder, *(act(user, f"n{time + 1}", time) for user, time in order))
    with corpus:
        assert sequences(corpus) == {user: ["n1", "n2", "n3", "n4"] for user in "abc"}


def test_untimed_interactions_keep_the_files_order(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, act("b", "n5"), act("a", "n3"), act("b", "n1"), act("a", "n4"), act("a", "n2"))
    assert sequences(corpus) == {"a": ["n3", "n4", "n2"], "b": ["n5", "n1"]}


def test_more_interactions_than_one_chunk_are_read(tmp_path: Path) -> None:
    count = 2 * jsonl.CHUNK + 7
    corpus, report = read(tmp_path, *(act(f"u{number % 100}", "n1", number) for number in range(count)))
    assert report.counts["interaction"] == count
    assert sum(len(sequence) for sequence in sequences(corpus).values()) == count


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, act(0, 7), act(0, 8), items=[{"id": 7, "title": "a"}, {"id": "8", "title": "b"}])
    assert sequences(corpus) == {"0": ["7", "8"]}


def test_of_rows_with_one_id_the_last_counts_and_the_others_are_counted(tmp_path: Path) -> None:
    again = {"id": "n1", "title": "again"}
    corpus, report = read(tmp_path, act("u", "n1"), items=[*ITEMS, again, again])
    assert (corpus.item_count, corpus.items([0])[0].attributes) == (6, {"title": "again"})
    assert gaps(report) == {
        ("item", REPEATED): (1, ["items.jsonl:7"]),
        ("item", "the id came before"): (1, ["items.jsonl:8"]),
    }


@pytest.mark.parametrize("name", ["timestamp", "date", "created_at", "ts", "Timestamp"])
def test_a_field_that_looks_like_a_time_orders_the_newest_first(tmp_path: Path, name: str) -> None:
    newest_first = [{"user_id": "u", "item_id": f"n{n}", name: 1600000000000 + 1000 * n} for n in (3, 2, 1)]
    corpus, report = read(tmp_path, *newest_first)
    assert sequences(corpus) == {"u": ["n1", "n2", "n3"]}
    lines = "\n".join(report.lines())
    assert f"3 × {name!r} is used as the time" in lines and f"{name!r} read as milliseconds since 1970" in lines
    assert "times from 2020-09-13T12:26:41+00:00 to 2020-09-13T12:26:43+00:00" in lines


def test_a_field_that_looks_like_a_time_and_is_none_is_named(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, *({"user_id": "u", "item_id": f"n{n}", "date": "1/2/2026"} for n in (3, 1)))
    assert sequences(corpus) == {"u": ["n3", "n1"]}
    lines = "\n".join(report.lines())
    assert "2 × 'date' looks like a time, but is none, and is not used; its day and month" in lines
    assert "interactions.jsonl:1 '1/2/2026'" in lines
    assert "1 × user without a time at every interaction: in order of the file (interactions.jsonl:1)" in lines


def test_nan_and_half_a_character_lose_no_row(tmp_path: Path) -> None:
    row = b'{"id": "n9", "title": "cut \\ud83d", "price": NaN}'
    corpus, report = read(tmp_path, act("u", "n9"), items=[*ITEMS, row])
    assert corpus.items([6])[0].attributes == {"title": "cut \ufffd"} and not gaps(report)


def test_utf_16_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is UTF-16 text, not UTF-8") as caught:
        read(tmp_path, act("u", "n1"), items=['{"id": "n1", "title": "a"}'.encode("utf-16")])
    assert caught.value.hint == "save it as UTF-8"


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b"oops", "not valid JSON", " column 1"),
        ('{"id": "n9", "title": "ö"}'.encode("latin-1"), "not UTF-8", ""),
        ({"id": "n9", "title": "\u200b", "brand": "\u200b"}, "cannot be used", " no visible text"),
        ([1], "not an object", ""),
        ({"id": "n9"}, "cannot be used", " no text"),
        ({"title": "text"}, "cannot be used", " id: missing"),
        ({"id": "n9", "brand": {"a": 1}}, "cannot be used", " no text"),
        ({"id": "n1", "title": "Title 1", "tags": ["a", "b"]}, "the id came before", ""),
    ],
)
def test_an_item_that_cannot_be_used_is_counted_by_line(tmp_path: Path, line: Any, reason: str, detail: str) -> None:
    corpus, report = read(tmp_path, act("u", "n1"), items=[*ITEMS, b"", line])
    ((key, (count, places)),) = gaps(report).items()
    assert (key, count, corpus.item_count) == (("item", reason), 1, 6)
    assert places[0].startswith(f"items.jsonl:8{detail}")
    assert corpus.items([0])[0].title == "Title 1"
    with pytest.raises(DataError, match=r"items\.jsonl:8: item dropped: "):
        read(tmp_path, act("u", "n1"), items=[*ITEMS, b"", line], strict=True)


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b"{", "not valid JSON", " column 1"),
        ('{"user_id": "ö", "item_id": "n1"}'.encode("latin-1"), "not UTF-8", ""),
        ("text", "not an object", ""),
        (act(None, "n1"), "user_id is missing or not text", ""),
        (act("", "n1"), "user_id is missing or not text", ""),
        (act(["u"], "n1"), "user_id is missing or not text", ""),
        (act("u", None), "item_id is missing or not text", ""),
        (act("u", True), "item_id is missing or not text", ""),
        (act("u", "n1", "yesterday"), "time is not a time", ""),
        (act("u", "n1", [5]), "time is not a time", ""),
        (act("u", "n77"), "not in items.jsonl", " n77"),
    ],
)
def test_an_interaction_that_cannot_be_used_is_counted_by_line(
    tmp_path: Path, line: Any, reason: str, detail: str
) -> None:
    rows = [act("u", "n1"), line, act("u", "n2")]
    corpus, report = read(tmp_path, *rows)
    ((key, (count, places)),) = gaps(report).items()
    assert (key, count) == (("interaction", reason), 1)
    assert places[0].startswith(f"interactions.jsonl:2{detail}")
    assert sequences(corpus) == {"u": ["n1", "n2"]}
    with pytest.raises(DataError, match=r"interactions\.jsonl:2: interaction dropped: "):
        read(tmp_path, *rows, strict=True)


def test_an_id_of_blanks_is_an_id(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, act("u", " "), items=[{"id": " ", "title": "a"}])
    assert sequences(corpus) == {"u": [" "]}


@pytest.mark.parametrize("name", ["items.jsonl", "interactions.jsonl"])
def test_places_beyond_the_third_are_only_counted(tmp_path: Path, name: str) -> None:
    bad = [b"oops"] * 5
    if name == "items.jsonl":
        _, report = read(tmp_path, act("u", "n1"), items=[*bad, *ITEMS])
    else:
        _, report = read(tmp_path, *bad, act("u", "n1"))
    ((count, places),) = gaps(report).values()
    assert (count, [place.split()[0] for place in places]) == (5, [f"{name}:1", f"{name}:2", f"{name}:3"])


def test_impressions_are_read_with_their_domain(tmp_path: Path) -> None:
    corpus, report = read_impressions(
        tmp_path, impression(domain="news"), impression(user_id=7, shown=["n2", "n3", "n3"], history=[])
    )
    first, second = (case for _, case in corpus.cases())
    assert (first.history, first.positives, first.negatives, first.domain) == ((0,), (1,), (2, 3), "news")
    assert (second.user_id, second.history, second.negatives, second.domain) == ("7", (), (2,), None)
    assert report.counts == {"item": 6, "impression": 2}


def test_an_impression_may_say_what_each_candidate_is_worth(tmp_path: Path) -> None:
    corpus, report = read_impressions(
        tmp_path,
        impression(relevance={"n4": 0.5, "n2": 3}),
        impression(shown=["n1", "n3", "n2"], relevance={"n1": 9, "n2": 1}),  # n1 was read before: no candidate
    )
    first, second = (case for _, case in corpus.cases())
    assert (first.positives, first.negatives, first.relevance) == ((1,), (2, 3), {1: 3, 2: 0, 3: 0.5})
    assert (second.positives, second.negatives, second.relevance) == ((1,), (2,), {1: 1, 2: 0})
    assert not report.dropped
    corpus, _ = read_impressions(tmp_path, impression())
    assert corpus.case(0).relevance == {}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"user_id": None}, ("impression", "user_id is missing or not text")),
        ({"shown": "n3"}, ("impression", "shown is not a list of ids")),
        ({"clicked": [None]}, ("impression", "clicked is not a list of ids")),
        ({"domain": "films"}, ("impression", f"domain is none of {', '.join(DOMAINS)}")),
        ({"history": ["n1", "n99"]}, ("history item", "not in items.jsonl")),
        ({"shown": ["n3", "n99"]}, ("candidate", "not in items.jsonl")),
        *(
            ({"relevance": wrong}, ("impression", f"relevance is not an object of {GRADES}"))
            for wrong in ([1, 2, 3], {"n2": "much"}, {"n2": True}, {"n2": 1, "n3": -1})
        ),
        ({"relevance": {"n2": 1, "n5": 1}}, ("impression", "relevance has an id that was not shown")),
        ({"relevance": {"n3": 1}}, ("impression", "a clicked candidate has no relevance above 0")),
        ({"relevance": {"n2": 0, "n3": 1}}, ("impression", "a clicked candidate has no relevance above 0")),
    ],
)
def test_an_impression_that_cannot_be_used_is_counted_by_line(
    tmp_path: Path, changes: dict[str, Any], key: tuple[str, str]
) -> None:
    _, report = read_impressions(tmp_path, impression(), impression(**changes))
    ((found, (count, places)),) = gaps(report).items()
    assert (found, count) == (key, 1)
    assert places[0].startswith("impressions.jsonl:2")


def test_an_impression_without_both_kinds_of_candidates_is_left_out(tmp_path: Path) -> None:
    corpus, report = read_impressions(tmp_path, impression(shown=["n2"]), impression(clicked=["n1"]), impression())
    assert corpus.case_count == 1
    assert report.left_out


# Feedback


def judged(corpus: Corpus, number: int = 0) -> tuple[list[str], list[str], list[str | None], list[str]]:
    """Ids of the history, of the positives, what was said of the history, and ids of what was refused later."""
    case = corpus.case(number)
    history, positives, refused = (
        [item.id for item in corpus.items(rows)] for rows in (case.history, case.positives, case.refused)
    )
    return history, positives, list(case.said), refused


def test_the_target_is_the_last_liked_item_and_what_was_refused_after_it_is_known(tmp_path: Path) -> None:
    corpus, report = read(
        tmp_path,
        act("u", "n1"),
        {**act("u", "n2"), "feedback": "dislike"},
        {**act("u", "n3"), "feedback": "like"},
        {**act("u", "n4"), "feedback": "skip"},
    )
    assert judged(corpus) == (["n1", "n2"], ["n3"], [None, "dislike"], ["n4"])
    assert not gaps(report)


def test_ratings_are_read_on_their_scale_or_by_the_users_own_mean(tmp_path: Path) -> None:
    rows = [{**act("u", f"n{number}"), "rating": rating} for number, rating in ((1, 4), (2, 1), (3, 5), (4, 3))]
    own, _ = read(tmp_path, *rows)
    assert judged(own) == (["n1", "n2", "n3"], ["n4"], ["like", "dislike", "like"], [])
    corpus, report = Corpus(), Report(str(tmp_path))
    options = DataOptions("jsonl", str(tmp_path), rating_scale="1,10")
    jsonl.read(find(tmp_path, jsonl.FILES, jsonl.LAYOUT), options, corpus, report)
    assert report.left_out  # of 10, none of these is liked
    assert corpus.case_count == 0


def test_a_user_who_liked_nothing_is_left_out_with_the_reason(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, {**act("u", "n1"), "feedback": "skip"}, act("v", "n1"), act("v", "n2"))
    assert sequences(corpus) == {"v": ["n1", "n2"]}
    assert list(report.left_out) == [("user", "no item that was not disliked or skipped")]


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"feedback": "meh"}, "feedback: 'meh' is not known; it must be like, dislike or skip"),
        ({"rating": "good"}, "rating: 'good' is no rating; it must be a finite number"),
    ],
)
def test_feedback_that_cannot_be_used_is_counted_by_line(tmp_path: Path, said: dict[str, Any], detail: str) -> None:
    _, report = read(tmp_path, act("u", "n1"), {**act("u", "n2"), **said})
    [(key, (count, places))] = gaps(report).items()
    assert (key, count) == (("interaction", "feedback cannot be used"), 1)
    assert places == [f"interactions.jsonl:2 {detail}"]


def test_a_rating_outside_the_scale_is_counted_by_line(tmp_path: Path) -> None:
    read(tmp_path, act("u", "n1"), {**act("u", "n2"), "rating": 7})
    corpus, report = Corpus(), Report(str(tmp_path))
    options = DataOptions("jsonl", str(tmp_path), rating_scale="1,5")
    jsonl.read(find(tmp_path, jsonl.FILES, jsonl.LAYOUT), options, corpus, report)
    assert "7 is outside the scale; it must be from 1 to 5" in str(gaps(report))


@pytest.mark.parametrize("wrong", ["5", "5,1", "a,b", "1,2,3", ""])
def test_a_scale_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"rating_scale: .* the worst and the best rating"):
        DataOptions("jsonl", "x", rating_scale=wrong)


def test_other_layouts_have_no_ratings() -> None:
    with pytest.raises(SettingsError, match="mind has no ratings"):
        DataOptions("mind", "x", rating_scale="1,5")


def test_impressions_say_what_was_thought_of_the_history_and_of_what_was_clicked(tmp_path: Path) -> None:
    corpus, report = read_impressions(
        tmp_path,
        impression(history=["n1", "n5"], clicked=["n2", "n6"], feedback={"n5": "skip", "n6": "dislike"}),
        impression(user_id="v", feedback={"n2": "dislike"}),
    )
    assert judged(corpus)[:3] == (["n1", "n5"], ["n2"], [None, "skip"])
    assert [item.id for item in corpus.items(corpus.case(0).negatives)] == ["n3", "n4", "n6"]
    assert ("impression", "no clicked candidate") in report.left_out
    assert corpus.case_count == 1


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"feedback": ["dislike"]}, "`feedback` and `rating` are objects of ids"),
        ({"feedback": {"n6": "like"}}, "'n6' is neither in the history nor shown"),
        ({"rating": {"n1": "x"}}, "rating: 'x' is no rating"),
    ],
)
def test_an_impressions_feedback_that_cannot_be_used_is_counted(
    tmp_path: Path, fields: dict[str, Any], detail: str
) -> None:
    _, report = read_impressions(tmp_path, impression(**fields))
    assert ("impression", "feedback cannot be used") in gaps(report)
    assert detail in str(gaps(report))
