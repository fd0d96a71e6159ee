"""Reading users and candidates: what is usable comes in unchanged, and every fault is named where it is."""

import json
import pickle
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import DataError, Item, User, read_candidates, read_user, read_users
from trsr_lite.io import fields
from trsr_lite.io.notes import REASONS, Notes
from trsr_lite.io.values import Listed

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
        (user("n2"), ".history[0]: an item must be an object, not text"),
        (user(None), ".history[0]: an item must be an object, not null"),
        (user({"title": "text"}), ".history[0].id: missing"),
        (user({"id": "", "title": "text"}), ".history[0].id: missing"),
        (user({"id": None, "title": "text"}), ".history[0].id: missing"),
        (user({"id": True, "title": "text"}), ".history[0].id: must be text or a whole number, not true/fal"),
        (user({"id": 1.5, "title": "text"}), ".history[0].id: must be text or a whole number, not a number"),
        (user({"id": ["n2"], "title": "text"}), ".history[0].id: must be text or a whole number, not a list"),
        (user({"id": "n2"}), ".history[0]: no text"),
        (user(item(2, title="  ", tags=[], note=None)), ".history[0]: no text"),
        (user({"id": "n2", "time": 5}), ".history[0]: no text"),
        (user(item(1, brand={"name": "x"})), ".history[0]: no text"),
        (user(item(1, brand={"name": "x"})), ".history[0].brand: an object"),
        (user(item(1, tags=["a", {"b": 1}])), ".history[0].tags: a list with an object in it"),
        (user(item(1, tags=["a", ["b"]])), ".history[0].tags: a list with a list in it"),
        (user(item(1, tags=deep(900))), ".history[0].tags: a list with a list in it"),
        (user(user_id=True), ".user_id: must be text or a whole number, not true/false"),
        (user(user_id=["u1"]), ".user_id: must be text or a whole number, not a list"),
        (user(candidates={}), ".candidates: must be a list of items, not an object"),
        (user(candidates=[]), ".candidates: is empty"),
        (user(candidates=[{"id": "n9"}, {"id": "n10"}]), ".candidates[0]: no text"),
        (timed("2026-01-02", "2026-01-01"), ".history[1].time: earlier than the item before it"),
    ],
)
def test_a_fault_is_named_by_file_index_and_field(tmp_path: Path, data: Any, message: str) -> None:
    path = save(tmp_path, data)
    error = refused(path)
    assert f"{path}{message}" in str(error) and str(error).count("\n") == 0


@pytest.mark.parametrize("data", [user({"id": "n1"}), {"history": []}, timed(2, 1)])
def test_a_fault_in_json_lines_is_named_by_line(tmp_path: Path, data: Any) -> None:
    path = save(tmp_path, lines(user(user_id="a"), user(user_id="b")) + b"\n" + lines(data), "users.jsonl")
    with pytest.raises(DataError) as caught:
        list(read_users(path))
    assert str(caught.value).startswith(f"{path}:4.history")


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("name", ["user.json", "user.jsonl"])
def test_an_encoding_that_its_mark_names_is_read(tmp_path: Path, encoding: str, name: str) -> None:
    text = json.dumps(user(item(title="Köln 日本")), ensure_ascii=False) + "\n"
    assert read_user(save(tmp_path, text.encode(encoding), name)).history[0].title == "Köln 日本"


@pytest.mark.parametrize(("encoding", "said"), [("latin-1", "Windows-1252"), ("utf-16-le", "looks like UTF-16")])
def test_another_encoding_is_refused_and_said(tmp_path: Path, encoding: str, said: str) -> None:
    error = refused(save(tmp_path, json.dumps(user(item(title="Köln")), ensure_ascii=False).encode(encoding)))
    assert "not valid JSON" in str(error)
    assert encoding == "utf-16-le" or said in str(error.hint)


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert str(refused(save(tmp_path, content))).endswith(": is empty")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in str(refused(tmp_path))
    assert "cannot be read: No such file" in str(refused(tmp_path / "absent.json"))


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: embedded null byte" in str(refused(tmp_path / "a\0b.json"))


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (user(item(LONE, title="text")), "user.history[0].id: character 1"),
        (user(user_id=LONE), "user.user_id: character 0"),
    ],
)
def test_an_id_that_is_no_text_is_refused_by_place(data: Any, place: str) -> None:
    with pytest.raises(DataError, match="lone surrogate") as caught:
        User.from_dict(data)
    assert str(caught.value).startswith(place)


# What is left out, and counted


def noted(data: Any) -> tuple[User, str]:
    notes = Notes()
    return User.from_dict(data, notes=notes), "\n".join(notes.lines())


@pytest.mark.parametrize("escaped", [True, False])
def test_half_a_character_is_mended(tmp_path: Path, escaped: bool) -> None:
    """As `slice` leaves it in other languages, and as a list or a name has it."""
    data = user(item(1, title=f"Best day \U0001f600{LONE}", tags=["a", LONE], **{f"x{LONE}": "y"}))
    found = User.from_dict(data) if not escaped else read_user(save(tmp_path, data))
    wanted = {"title": "Best day \U0001f600\ufffd", "tags": "a, \ufffd", "x\ufffd": "y"}
    assert found.history[0].attributes == wanted


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"brand": "Acme"}, "an object"),
        ([{"thumb": "a.jpg"}], "a list with an object in it"),
        ([["a"], ["b"]], "a list with a list in it"),
        ([0.1] * 384, "as an embedding is"),
        (b"\x89PNG\r\n\xff", "bytes that are no UTF-8 text"),
        (float("inf"), "not a finite number"),
        (10**5000, "a number of too many digits"),
        (object(), "object"),
    ],
    ids=["object", "list of objects", "list of lists", "embedding", "bytes", "inf", "digits", "other"],
)
def test_an_attribute_that_is_no_text_costs_no_item(value: object, said: str) -> None:
    found, notes = noted(user(*(item(n, title="text", extra=value) for n in range(5))))
    assert [entry.attributes for entry in found.history] == [{"title": "text"}] * 5
    assert notes.count("\n") == 0 and notes.startswith("5 × attribute 'extra' left out") and said in notes
    assert "history[0], user.history[1], user.history[2], …" in notes


@pytest.mark.parametrize(
    "missing", [None, "", " ", "nan", "NaN", "NULL", "None", "N/A", "<NA>", " nan ", float("nan"), [], ["nan", None]]
)
def test_what_means_missing_is_absent_everywhere(missing: object) -> None:
    assert Item.from_dict(item(title="text", price=missing)).attributes == {"title": "text"}
    assert Item.from_dict(item(title="text", time=missing if not isinstance(missing, list) else None)).time is None


def test_nan_in_json_loses_nothing(tmp_path: Path) -> None:
    path = save(tmp_path, b'{"history": [{"id": "n1", "title": "NaN soup", "price": NaN, "size": -Infinity}]}')
    assert read_user(path).history[0].attributes == {"title": "NaN soup"}


def test_values_of_python_and_numpy_are_read() -> None:
    import uuid

    import numpy as np

    found = Item.from_dict(
        item(
            title=b"caf\xc3\xa9",
            price=np.float32(2.5),
            count=np.int64(3),
            tags=np.array(["a", "b"]),
            day=datetime(2026, 1, 2, tzinfo=UTC),
            key=uuid.UUID(int=1),
            nothing=np.float64("nan"),
            vector=np.ones(16),
        )
    )
    assert found.attributes == {
        "title": "café",
        "price": "2.5",
        "count": "3",
        "tags": "a, b",
        "day": "2026-01-02T00:00:00+00:00",
        "key": "00000000-0000-0000-0000-000000000001",
    }


def test_entries_of_a_list_stay_entries() -> None:
    tags = Item.from_dict(item(tags=["Garden", "Home, Kitchen & More"])).attributes["tags"]
    assert tags == "Garden, Home, Kitchen & More"
    assert isinstance(tags, Listed) and tags.entries == ("Garden", "Home, Kitchen & More")
    assert pickle.loads(pickle.dumps(tags)).entries == tags.entries


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_row_numbers_of_pandas_are_no_attribute(name: str) -> None:
    found, notes = noted(user(item(1, title="text", **{name: 7})))
    assert found.history[0].attributes == {"title": "text"} and "a column of row numbers" in notes


def test_names_of_attributes_are_stripped() -> None:
    assert Item.from_dict(item(**{" title ": "text"})).attributes == {"title": "text"}


@pytest.mark.parametrize(
    "bad",
    ["n2", None, {"title": "x"}, {"id": "", "title": "x"}, {"id": "n2"}, {"id": 1.5, "title": "x"}, {"id": ["a"]}],
    ids=str,
)
def test_an_item_that_cannot_be_used_costs_no_user(bad: Any) -> None:
    found, notes = noted(user(item(1), bad, item(3), candidates=[item(8), bad]))
    assert [entry.id for entry in found.history] == ["n1", "n3"] and [entry.id for entry in found.candidates] == ["n8"]
    assert "2 × item left out: " in notes and "user.history[1], user.candidates[1]" in notes


@pytest.mark.parametrize("text", ["\u200d", "\u2060\u200d", "\u3164", "\u2800 \ufe0f", "\x00\u00ad", "\ufeff"])
def test_what_nobody_sees_is_like_nothing(text: str) -> None:
    assert Item.from_dict(item(title="seen", note=text)).attributes == {"title": "seen"}
    with pytest.raises(DataError, match=r"history\[0\]: no visible text"):
        User.from_dict(user(item(title=text), item(title=text)))
    assert Item.from_dict(item(title=f"{text}👩‍👩‍👧{text}")).title == f"{text}👩‍👩‍👧{text}"


def test_one_item_at_two_prices_is_one_item_and_its_texts_stand() -> None:
    found, notes = noted(user(item(1, title="Lamp", price=5), item(2), item(1, title="Lamp", price=7)))
    assert [entry.attributes.get("price") for entry in found.history] == ["5", None, "7"] and notes == ""


def test_of_candidates_with_one_id_the_last_counts_in_the_first_place() -> None:
    data = user(candidates=[item(8, title="old"), item(9), item(8, title="new"), item(9)])
    found, notes = noted(data)
    assert [(entry.id, entry.title) for entry in found.candidates] == [("n8", "new"), ("n9", "Article 9")]
    assert "1 × id that came before with another text, of which the last counts (user.candidates[2])" in notes
    assert "1 × id that came before (user.candidates[3])" in notes


@pytest.mark.parametrize("moment", ["yesterday", True, [2026], 10**400, -(10**400), float("inf"), 9e9])
def test_a_time_that_is_none_costs_no_item(moment: object) -> None:
    found, notes = noted(timed(1, moment))
    assert [entry.time for entry in found.history] == [1.0, None] and "1 × time left out: " in notes


def test_a_field_that_looks_like_a_time_is_named_once() -> None:
    _, notes = noted(user(*(item(n, title="text", timestamp=5) for n in range(4))))
    assert notes.startswith("4 × 'timestamp' looks like a time, but is not used as one: call it `time` (")


def test_what_was_left_out_of_a_file_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save(tmp_path, user(*(item(n, title="text", details={"a": n}) for n in range(9))))
    read_user(path)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: 9 × attribute 'details' left out: an object")


def test_no_file_makes_the_notes_large() -> None:
    notes = Notes()
    for number in range(1000):
        Item.from_dict(item(title="text", **{f"x{number}": {}}), notes=notes)
    assert len(notes.lines()) <= REASONS + 1 and sum(note.count for note in notes.found.values()) == 1000


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


EPOCHS = [1767225600, 1767225600000, 1767225600000000, 1767225600000000000]


@pytest.mark.parametrize("moment", [*EPOCHS, *map(str, EPOCHS), *map(float, EPOCHS), "1767225600.0", " 1.7672256E+12 "])
def test_the_size_of_a_number_tells_its_unit(moment: Any) -> None:
    notes = Notes()
    found = Item.from_dict(item(title="text", time=moment), notes=notes)
    assert found.time == pytest.approx(1767225600.0, abs=1e-3)
    assert bool(notes) is (float(moment) > 1e10)  # seconds need no word


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("1/2/2026 8:30:15 AM", 1767342615.0),
        ("11/15/2019 8:55:22 PM", 1573851322.0),
        ("1/2/2026 12:00 AM", 1767312000.0),
        ("2026/1/2", 1767312000.0),
        ("2026-01-02 10:00:00 UTC", 1767348000.0),
        ("Fri, 02 Jan 2026 10:00:00 GMT", 1767348000.0),
        ("Fri, 02 Jan 2026 12:00:00 +0200", 1767348000.0),
        (-86400, -86400.0),
    ],
)
def test_times_that_can_mean_one_moment_only_are_read(moment: Any, seconds: float) -> None:
    assert fields.parse_time(moment, "time") == seconds


@pytest.mark.parametrize("moment", ["1/2/2026", "13.01.2026", "01-02-2026 10:00", "1/2/26 08:30"])
def test_a_date_whose_day_and_month_may_be_swapped_is_named(moment: str) -> None:
    with pytest.raises(DataError, match="is not a time") as caught:
        fields.parse_time(moment, "time")
    assert "day and month cannot be told apart" in str(caught.value.hint)


@pytest.mark.parametrize("moment", [7_258_118_401, 9e10, 1e20, "1e300", "13/45/2026 8:00 AM"])
def test_nothing_happens_after_2200(moment: Any) -> None:
    with pytest.raises(DataError, match="is not a time"):
        fields.parse_time(moment, "time")


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
    assert fields.parse_time(f" {moment} ", "time") == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("moment", TIMES)
def test_times_are_those_of_python(moment: str) -> None:
    plain = datetime.fromisoformat(moment.upper().replace("02Z", "02"))  # Python knows no zone of a date alone
    assert fields.parse_time(moment, "time") == (plain if plain.tzinfo else plain.replace(tzinfo=UTC)).timestamp()


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
        fields.parse_time(moment or " ", "time")


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
        ([{"id": "n1"}, {"id": "n2"}], "[0]: no text"),
        (lines({"id": "n1"}, {"id": "n2"}), ":1: no text"),
    ],
)
def test_candidates_that_cannot_be_used_are_named(tmp_path: Path, content: Any, message: str) -> None:
    path = save(tmp_path, content, "candidates.json")
    with pytest.raises(DataError) as caught:
        read_candidates(path)
    assert str(caught.value).startswith(f"{path}{message}")
