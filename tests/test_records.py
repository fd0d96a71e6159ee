"""Reading users and candidates: what is usable comes in unchanged, and every fault is named where it is."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import DataError, Item, User, read_candidates, read_user, read_users, records

TEXTS = ["Grüße aus Köln", "אבג דהו", "مرحبا بالعالم", "日本語の本", "👩‍👩‍👧 family 🏴‍☠️", "e\u0301 combining"]
LONE = "\ud800"


def item(number: int | str = 1, **attributes: Any) -> dict[str, Any]:
    return {"id": f"n{number}", **(attributes or {"title": f"Article {number}"})}


def user(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"user_id": "u1", "history": list(items) or [item()], **fields}


def timed(*times: Any) -> dict[str, Any]:
    return user(*(item(number, title="text", time=moment) for number, moment in enumerate(times)))


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def save(folder: Path, content: Any, name: str = "user.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def deep(levels: int) -> list[Any]:
    return [deep(levels - 1)] if levels else ["x"]


def refused(path: Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read_user(path, **options)
    assert str(caught.value).startswith(str(path).replace("\0", "\ufffd"))
    assert caught.value.exit_code == 4
    return caught.value


# What comes in


def test_json_and_json_lines_give_the_same_user(tmp_path: Path) -> None:
    data = user(item(1), item(2), candidates=[item(3)])
    pretty = save(tmp_path, json.dumps(data, indent=2).encode())
    one_line = save(tmp_path, lines(data), "user.jsonl")
    expected = User(
        "u1",
        (Item("n1", {"title": "Article 1"}), Item("n2", {"title": "Article 2"})),
        (Item("n3", {"title": "Article 3"}),),
    )
    assert read_user(pretty) == read_user(one_line) == expected


@pytest.mark.parametrize("name", ["user.json", "user.jsonl"])
def test_a_byte_order_mark_is_ignored(tmp_path: Path, name: str) -> None:
    plain = save(tmp_path, lines(user()), f"plain-{name}")
    marked = save(tmp_path, b"\xef\xbb\xbf" + lines(user()), name)
    assert read_user(marked) == read_user(plain)


def test_windows_line_ends_and_empty_lines_are_ignored(tmp_path: Path) -> None:
    content = lines(user(user_id="a"), user(user_id="b")).replace(b"\n", b"\r\n\r\n")
    assert [one.user_id for one in read_users(save(tmp_path, content))] == ["a", "b"]


def test_json_lines_may_begin_with_an_empty_line(tmp_path: Path) -> None:
    path = save(tmp_path, b"\n \r\n" + lines(user(user_id="a"), user(user_id="b")))
    assert [one.user_id for one in read_users(path)] == ["a", "b"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_any_script_comes_in_unchanged(tmp_path: Path, text: str) -> None:
    data = user({"id": text, "title": text, text: "value"}, user_id=text)
    escaped = read_user(save(tmp_path, data))
    raw = read_user(save(tmp_path, json.dumps(data, ensure_ascii=False).encode(), "raw.json"))
    assert escaped == raw == User(text, (Item(text, {"title": text, text: "value"}),))


def test_lists_of_text_are_joined_and_empty_entries_left_out() -> None:
    assert Item.from_dict(item(tags=["sea", "", None, "ice", 7])).attributes == {"tags": "sea, ice, 7"}


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (3.0, "3"), (2.5, "2.5"), (-0.25, "-0.25"), (True, "yes"), (False, "no")]
)
def test_numbers_and_truth_values_become_text(value: object, text: str) -> None:
    assert Item.from_dict(item(value=value)).attributes == {"value": text}


@pytest.mark.parametrize("price", ["12345.67", "1234567.89", "0.1", "1234567890123", "12345678901234567890"])
def test_a_price_keeps_its_digits(tmp_path: Path, price: str) -> None:
    path = save(tmp_path, b'{"history": [{"id": "n1", "price": %s}]}' % price.encode())
    assert read_user(path).history[0].attributes == {"price": price}


def test_empty_attributes_are_left_out_and_order_is_kept() -> None:
    found = Item.from_dict(item(zebra="z", title=" ", other=None, apple="a", none=[]))
    assert list(found.attributes.items()) == [("zebra", "z"), ("apple", "a")]


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    found = read_user(save(tmp_path, user({"id": 0, "title": "zero"}, user_id=42)), user_id="42")
    assert (found.user_id, found.history[0].id) == ("42", "0")


def test_neither_id_nor_time_is_an_attribute() -> None:
    found = Item.from_dict(item(title="text", time=5))
    assert (found.attributes, found.time) == ({"title": "text"}, 5.0)


def test_what_people_read_is_the_title_or_else_the_first_attribute() -> None:
    assert Item.from_dict(item(name="first", title="the title")).title == "the title"
    assert Item.from_dict(item(name="first", other="second")).title == "first"


def test_a_user_needs_neither_an_id_nor_candidates() -> None:
    assert User.from_dict({"history": [item()]}) == User("", (Item("n1", {"title": "Article 1"}),))


# What is refused, and where


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, ": a user must be an object, not a number"),
        ([], ": a user must be an object, not a list"),
        ("text", ": a user must be an object, not text"),
        ({"user_id": "u1"}, ".history: missing"),
        ({"history": None}, ".history: missing"),
        ({"history": []}, ".history: is empty"),
        ({"history": {"id": "n1"}}, ".history: must be a list of items, not an object"),
        ({"history": "n1"}, ".history: must be a list of items, not text"),
        ({"history": 1}, ".history: must be a list of items, not a number"),
        (user(item(1), "n2"), ".history[1]: an item must be an object, not text"),
        (user(item(1), None), ".history[1]: an item must be an object, not null"),
        (user(item(1), {"title": "text"}), ".history[1].id: missing"),
        (user(item(1), {"id": "", "title": "text"}), ".history[1].id: missing"),
        (user(item(1), {"id": None, "title": "text"}), ".history[1].id: missing"),
        (user(item(1), {"id": True, "title": "text"}), ".history[1].id: must be text or a whole number, not true/fal"),
        (user(item(1), {"id": 1.5, "title": "text"}), ".history[1].id: must be text or a whole number, not a number"),
        (user(item(1), {"id": ["n2"], "title": "text"}), ".history[1].id: must be text or a whole number, not a list"),
        (user(item(1), {"id": "n2"}), ".history[1]: no text"),
        (user(item(1), item(2, title="  ", tags=[], note=None)), ".history[1]: no text"),
        (user(item(1), {"id": "n2", "time": 5}), ".history[1]: no text"),
        (user(item(1, brand={"name": "x"})), ".history[0].brand: must be text, a number or a list of those, not an ob"),
        (user(item(1, tags=["a", {"b": 1}])), ".history[0].tags: must be text, a number or a list of those, not an ob"),
        (user(item(1, tags=["a", ["b"]])), ".history[0].tags: must be text, a number or a list of those, not a list"),
        (user(item(1, tags=deep(900))), ".history[0].tags: must be text, a number or a list of those, not a list"),
        (user(user_id=True), ".user_id: must be text or a whole number, not true/false"),
        (user(user_id=["u1"]), ".user_id: must be text or a whole number, not a list"),
        (user(candidates={}), ".candidates: must be a list of items, not an object"),
        (user(candidates=[]), ".candidates: is empty"),
        (user(candidates=[item(8), {"id": "n9"}]), ".candidates[1]: no text"),
        (user(candidates=[item(8), item(9), item(8)]), ".candidates[2].id: 'n8' is already the id of "),
        (user(item(1), item(2), item(1, title="other")), ".history[2].id: 'n1' has another text at "),
        (timed("2026-01-02", "2026-01-01"), ".history[1].time: earlier than the item before it"),
        (timed(1, "yesterday"), ".history[1].time: 'yesterday' is not a time"),
        (timed(True), ".history[0].time: 'True' is not a time"),
        (timed([2026]), ".history[0].time: '[2026]' is not a time"),
    ],
)
def test_a_fault_is_named_by_file_index_and_field(tmp_path: Path, data: Any, message: str) -> None:
    path = save(tmp_path, data)
    assert f"{path}{message}" in str(refused(path))


@pytest.mark.parametrize("data", [user({"id": "n1"}), {"history": []}, timed(2, 1)])
def test_a_fault_in_json_lines_is_named_by_line(tmp_path: Path, data: Any) -> None:
    path = save(tmp_path, lines(user(user_id="a"), user(user_id="b")) + b"\n" + lines(data), "users.jsonl")
    with pytest.raises(DataError) as caught:
        list(read_users(path))
    assert str(caught.value).startswith(f"{path}:4.history")


def test_duplicate_candidates_name_both_places(tmp_path: Path) -> None:
    path = save(tmp_path, user(candidates=[item(8), item(9), item(8)]))
    assert f"{path}.candidates[2].id: 'n8' is already the id of {path}.candidates[0]" in str(refused(path))


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"hello", 1, 1),
        (b'{"history": [\n  {"id": "n1", "title": oops}\n]}', 2, 25),
        (b'{\n"history": [', 2, 13),
        (b"{'history': []}", 1, 2),
    ],
)
def test_what_is_not_json_is_named_by_line_and_column(tmp_path: Path, content: bytes, line: int, column: int) -> None:
    path = save(tmp_path, content)
    assert f"{path}: line {line}, column {column}: not valid JSON" in str(refused(path))


def test_what_is_not_json_lines_is_named_by_line_and_column(tmp_path: Path) -> None:
    path = save(tmp_path, lines(user()) + b"\n" + b'{"history": oops}\n', "users.jsonl")
    with pytest.raises(DataError, match=r"users\.jsonl:3: column 13: not valid JSON"):
        list(read_users(path))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    path = save(tmp_path, json.dumps(user(item(title="Köln")), ensure_ascii=False).encode(encoding))
    assert "not valid JSON" in str(refused(path))


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert str(refused(save(tmp_path, content))).endswith(": is empty")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in str(refused(tmp_path))
    assert "cannot be read: No such file" in str(refused(tmp_path / "absent.json"))


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: embedded null byte" in str(refused(tmp_path / "a\0b.json"))


def test_a_lone_surrogate_in_json_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, b'{"history": [\n  {"id": "n1", "title": "\\ud800"}\n]}')
    assert f"{path}: line 2, column" in str(refused(path))


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (user(item(1), item(2, title=f"a{LONE}")), "user.history[1].title: character 1"),
        (user(item(1), item(2, tags=["a", LONE])), "user.history[1].tags: character 0"),
        (user(item(1, **{f"ab{LONE}": "text"})), "user.history[0]: character 2"),
        (user(item(LONE, title="text")), "user.history[0].id: character 1"),
        (user(user_id=LONE), "user.user_id: character 0"),
        (user(candidates=[item(title=LONE)]), "user.candidates[0].title: character 0"),
    ],
)
def test_a_lone_surrogate_from_python_is_refused_by_place(data: Any, place: str) -> None:
    with pytest.raises(DataError, match="lone surrogate") as caught:
        User.from_dict(data)
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"user\.history\[0\]\.price: (nan|inf)"):
        User.from_dict(user(item(price=value)))
    with pytest.raises(DataError, match=r"user\.history\[0\]\.time"):
        User.from_dict(timed(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [("price", 10**5000), ("time", 10**400), ("time", -(10**400)), ("cover", b"bytes")],
    ids=["digits", "time", "negative time", "bytes"],
)
def test_a_value_that_only_python_has_is_refused_by_place(name: str, value: object) -> None:
    with pytest.raises(DataError, match=rf"user\.history\[0\]\.{name}"):
        User.from_dict(user({"id": "n1", "title": "text", name: value}))


# Repeats and time


def test_the_same_item_may_come_again_in_a_history(tmp_path: Path) -> None:
    found = read_user(save(tmp_path, user(item(1), item(2), item(1))))
    assert [entry.id for entry in found.history] == ["n1", "n2", "n1"]


@pytest.fixture(params=["UTC", "XST-9"])
def time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is in Greenwich, or nine hours east of it."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone of a process can be set on POSIX only")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("time_zone")
@pytest.mark.parametrize(
    "moment", ["2026-01-02T10:00:00Z", "2026-01-02T12:00:00+02:00", "2026-01-02T10:00:00", 1767348000, 1767348000.0]
)
def test_times_are_utc_unless_they_say_otherwise(moment: object) -> None:
    assert Item.from_dict(item(title="text", time=moment)).time == 1767348000.0


TIMES = {
    "2026-01-02": 1767312000.0,
    "20260102": 1767312000.0,
    "2026-01-02Z": 1767312000.0,
    "2026-W01-5": 1767312000.0,
    "2026W015": 1767312000.0,
    "2026-W01": 1766966400.0,
    "20260102T100000Z": 1767348000.0,
    "2026-01-02T10:00": 1767348000.0,
    "2026-01-02 10": 1767348000.0,
    "2026-01-02t10:00:00z": 1767348000.0,
    "2026-01-02T10:00:00.5Z": 1767348000.5,
    "2026-01-02T10:00:00,5Z": 1767348000.5,
    "2026-01-02T10:00:00.1234567Z": 1767348000.123456,
    "2026-01-02T10:00:00.000001": 1767348000.000001,
    "2026-01-02T12:00:00+0200": 1767348000.0,
    "2026-01-02T12:00:00+02": 1767348000.0,
    "2026-01-02 12:00:00 +02:00": 1767348000.0,
    "2026-01-02T04:30:00-05:30": 1767348000.0,
    "2026-01-02T12:00:30+02:00:30": 1767348000.0,
}


@pytest.mark.usefixtures("time_zone")
@pytest.mark.parametrize(("moment", "seconds"), TIMES.items())
def test_a_time_is_read_in_every_form_of_iso_8601(moment: str, seconds: float) -> None:
    assert records.parse_time(f" {moment} ", "time") == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("moment", TIMES)
def test_times_are_those_of_python(moment: str) -> None:
    plain = datetime.fromisoformat(moment.upper().replace("02Z", "02"))  # Python knows no zone of a date alone
    assert records.parse_time(moment, "time") == (plain if plain.tzinfo else plain.replace(tzinfo=UTC)).timestamp()


@pytest.mark.parametrize(
    "moment",
    [
        "2026", "2026-01", "2026-02-30", "2026-13-01", "0000-01-01", "9999-W52-7", "2026-W54-1", "2026-W01-8",
        "2026-01-02T", "2026-01-02T1", "2026-01-02T25", "2026-01-02T24:00", "2026-01-02T10:60", "2026-01-02T10:0000",
        "2026-01-02T10:00:60", "2026-01-02T10:00:00.", "2026-01-02T10.5", "2026-01-02110:00", "2026-01-02T10:00+24:00",
        "20260102100000", "2026-01-02T10:00+1", "2026-01-02T10:00ZZ", "２０２６-01-02", "2026-01-02T10:00:00 CET",
        "Z", "",
    ],
)  # fmt: skip
def test_what_is_no_time_is_no_time_in_any_python(moment: str) -> None:
    with pytest.raises(DataError, match=r"time: .* is not a time"):
        records.parse_time(moment or " ", "time")


def test_equal_times_are_in_order() -> None:
    assert [entry.id for entry in User.from_dict(timed(1, 1, 2)).history] == ["n0", "n1", "n2"]


def test_order_is_not_checked_where_a_time_is_missing() -> None:
    assert [entry.time for entry in User.from_dict(timed(2, None, 1)).history] == [2.0, None, 1.0]


def test_sorting_a_shuffled_history_gives_the_ordered_one(tmp_path: Path) -> None:
    ordered = timed("2026-01-01", "2026-01-02T00:00:00Z", 1767400000, "2026-03-01")
    shuffled = {**ordered, "history": [ordered["history"][index] for index in (2, 0, 3, 1)]}
    path = save(tmp_path, shuffled)
    hint = refused(path).hint
    assert hint is not None and "`sort_history`" in hint
    assert read_user(path, sort_history=True) == User.from_dict(ordered)
    assert list(read_users(path, sort_history=True)) == [User.from_dict(ordered)]


def test_sorting_keeps_the_order_of_equal_times() -> None:
    found = User.from_dict(timed(2, 1, 2, 1), sort_history=True)
    assert [entry.id for entry in found.history] == ["n1", "n3", "n0", "n2"]


def test_sorting_needs_every_time(tmp_path: Path) -> None:
    path = save(tmp_path, timed(1, None, 3))
    assert f"{path}.history[1].time: missing" in str(refused(path, sort_history=True))


# Several users


def test_every_user_of_a_file_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, lines(*(user(item(name), user_id=name) for name in "abc")), "users.ndjson")
    assert [(one.user_id, one.history[0].id) for one in read_users(path)] == [("a", "na"), ("b", "nb"), ("c", "nc")]


def test_several_users_need_a_choice(tmp_path: Path) -> None:
    path = save(tmp_path, lines(user(user_id="a"), user(user_id="b")))
    error = refused(path)
    assert str(error).startswith(f"{path}:2: a second user")
    assert error.hint is not None and "--user-id" in error.hint


def test_one_of_several_users_is_chosen(tmp_path: Path) -> None:
    path = save(tmp_path, lines(user(item(1), user_id="a"), user(item(2), user_id="b"), user(item(3), user_id="c")))
    assert read_user(path, user_id="b").history[0].id == "n2"


def test_users_without_an_id_are_read_but_not_chosen(tmp_path: Path) -> None:
    nameless = {"history": [item("nameless")]}
    path = save(tmp_path, lines(nameless, user(item(2), user_id="b"), {**nameless, "user_id": None}))
    assert [one.user_id for one in read_users(path)] == ["", "b", ""]
    assert read_user(path, user_id="b").history[0].id == "n2"
    assert str(refused(path)).startswith(f"{path}:2: a second user")
    assert "no user called 'None'" in str(refused(path, user_id="None"))


def test_lines_that_hold_no_user_are_nothing_to_the_chosen_one(tmp_path: Path) -> None:
    path = save(tmp_path, lines(user(user_id="a"), None, user(user_id="b"), []))
    assert [read_user(path, user_id=name).user_id for name in "ab"] == ["a", "b"]
    assert [one.user_id for one in read_users(path, user_id="b")] == ["b"]
    assert str(refused(path, user_id="c")) == f"{path}:2: a user must be an object, not null"


def test_a_list_of_users_is_not_a_file_without_the_chosen_one(tmp_path: Path) -> None:
    path = save(tmp_path, [user(user_id="a"), user(user_id="b")])
    assert str(refused(path, user_id="b")) == f"{path}: a user must be an object, not a list"


def test_a_chosen_user_that_is_absent_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, lines(user(user_id="a"), user(user_id="b")))
    assert "no user called 'c'" in str(refused(path, user_id="c"))


def test_a_chosen_user_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, lines(user(user_id="a"), user(user_id="b"), user(user_id="a")))
    error = refused(path, user_id="a")
    assert str(error).startswith(f"{path}:3: a second user") and error.hint == "keep one of the two"


# Candidates


@pytest.mark.parametrize(
    "content",
    [
        [item(1), item(2)],
        {"candidates": [item(1), item(2)]},
        {"items": [item(1), item(2)]},
        user(candidates=[item(1), item(2)]),
        lines(item(1), item(2)),
    ],
)
def test_candidates_come_in_several_shapes(tmp_path: Path, content: Any) -> None:
    assert [entry.id for entry in read_candidates(save(tmp_path, content))] == ["n1", "n2"]


def test_one_item_is_one_candidate(tmp_path: Path) -> None:
    assert [entry.id for entry in read_candidates(save(tmp_path, item(1)))] == ["n1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": is empty"),
        ([], ": is empty"),
        (5, ": must be a list of items, not a number"),
        ({"candidates": []}, ".candidates: is empty"),
        ({"items": 5}, ".items: must be a list of items, not a number"),
        ([item(1), {"id": "n2"}], "[1]: no text"),
        (lines(item(1), {"id": "n2"}), ":2: no text"),
        ([item(1), item(1)], "[1].id: 'n1' is already the id of "),
        (lines(item(1), item(1)), "[1].id: 'n1' is already the id of "),
    ],
)
def test_candidates_that_cannot_be_used_are_named(tmp_path: Path, content: Any, message: str) -> None:
    path = save(tmp_path, content, "candidates.json")
    with pytest.raises(DataError) as caught:
        read_candidates(path)
    assert str(caught.value).startswith(f"{path}{message}")
