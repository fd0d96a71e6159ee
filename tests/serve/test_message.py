"""Bytes to requests: whatever arrives, the next good line is read as if it had not."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite import Cancelled, ModelError, SettingsError
from trsr_lite.serve import message
from trsr_lite.serve.message import Lines, Refused, Request


def lines(*chunks: bytes, limit: int = 100) -> list[bytes | None]:
    reader = Lines(limit)
    return [line for chunk in chunks for line in reader.feed(chunk)] + list(reader.end())


@given(st.binary(max_size=300).map(lambda data: data.replace(b"b", b"\n")), st.lists(st.integers(0, 300), max_size=9))
def test_lines_do_not_depend_on_where_the_bytes_were_cut(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert lines(*chunks, limit=1000) == expected


@given(st.integers(1, 40), st.integers(1, 60))
def test_a_line_that_is_too_long_is_said_once_and_the_next_is_read(limit: int, size: int) -> None:
    data = b"x" * 100 + b"\n" + b"y" * limit + b"\nz"
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert lines(*chunks, limit=limit) == [None, b"y" * limit, b"z"]


def test_a_line_that_is_too_long_is_not_held() -> None:
    reader = Lines(1000)
    for _ in range(100):
        assert len(list(reader.feed(b"x" * 500))) <= 1
        assert reader.held <= 1000


def read(**content: object) -> Request | None:
    return message.read(json.dumps({"jsonrpc": "2.0", **content}).encode())


@pytest.mark.parametrize("name", [0, -7, 2**53, "", "a", "é" * 256])
def test_an_id_comes_back_as_it_was(name: int | str) -> None:
    request = read(id=name, method="status")
    assert request and request.id == name and type(request.id) is type(name)
    assert json.loads(message.answer(name, None)) == {"jsonrpc": "2.0", "id": name, "result": None}


@pytest.mark.parametrize("name", [None, 1.5, True, [1], {}, "a" * 257, 2**70])
def test_an_id_that_cannot_be_one_is_refused(name: object) -> None:
    with pytest.raises(Refused) as refused:
        read(id=name, method="status")
    assert (refused.value.code, refused.value.to) == (message.INVALID_REQUEST, None)


MALFORMED = {
    "no JSON": (b"hello", message.PARSE_ERROR),
    "cut off": (b'{"jsonrpc": "2.0", "id": 1', message.PARSE_ERROR),
    "two messages": (b"{} {}", message.PARSE_ERROR),
    "not UTF-8": (b'{"jsonrpc": "2.0", "method": "\xff"}', message.PARSE_ERROR),
    "a lone surrogate": (b'{"jsonrpc": "2.0", "method": "\\ud800"}', message.PARSE_ERROR),
    "NaN": (b'{"jsonrpc": "2.0", "id": NaN}', message.PARSE_ERROR),
    "deep": (b"[" * 100_000 + b"]" * 100_000, message.PARSE_ERROR),
    "NUL": (b"\0" * 10, message.PARSE_ERROR),
    "text": (b'"status"', message.INVALID_REQUEST),
    "null": (b"null", message.INVALID_REQUEST),
    "empty": (b"{}", message.INVALID_REQUEST),
    "a batch": (b'[{"jsonrpc": "2.0", "id": 1, "method": "status"}]', message.INVALID_REQUEST),
    "an empty batch": (b"[]", message.INVALID_REQUEST),
    "JSON-RPC 1": (b'{"method": "status", "params": [], "id": 1}', message.INVALID_REQUEST),
    "no method": (b'{"jsonrpc": "2.0", "id": 1}', message.INVALID_REQUEST),
    "a method that is a number": (b'{"jsonrpc": "2.0", "id": 1, "method": 1}', message.INVALID_REQUEST),
    "too long": (None, message.INVALID_REQUEST),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_message_is_refused_with_the_code_of_json_rpc(case: str) -> None:
    line, code = MALFORMED[case]
    with pytest.raises(Refused) as refused:
        message.read(line)
    assert refused.value.code == code
    assert str(refused.value).isprintable()


HALF = b'{"jsonrpc": "2.0", "id": %s, "method": "x", "params": {"user": {"id": 5, "title": "\\ud83d"}}}'


@pytest.mark.parametrize(
    ("line", "to"),
    [
        (HALF % b"7", 7),
        (HALF % b'"a\\"b"', 'a"b'),
        (b'{"params": {"items": [{"id": "no"}], "note": "{ \\" \\"id\\": 3,"}, "id": 8, "method": \xff}', 8),
        (b'{"jsonrpc": "2.0", "id": 9, "method": "x", "params": {"history": [', 9),
        (b'{"id": null, "method": \xff}', None),
        (b'{"id": 1.5, "method": \xff}', None),
        (b'{"params": {"id": 4}, "method": \xff}', None),
        (b'[{"id": 4, "x": \xff}]', None),
        (b'"id": 4, \xff', None),
    ],
)
def test_the_id_of_a_line_that_cannot_be_read_is_read_where_it_is_one(line: bytes, to: object) -> None:
    with pytest.raises(Refused) as refused:
        message.read(line)
    assert (refused.value.code, refused.value.to) == (message.PARSE_ERROR, to)


def test_a_line_that_is_too_long_is_answered_with_its_id() -> None:
    reader, line = Lines(2000), HALF % b"11" + b" " * 3000
    found = [part for start in range(0, len(line), 700) for part in reader.feed(line[start : start + 700])]
    assert found == [None] and len(reader.beginning) <= message.BEGINNING
    with pytest.raises(Refused) as refused:
        message.read(None, reader.beginning)
    assert refused.value.to == 11 and "longer than" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "hint"),
    [(b"Content-Length: 52\r", "one message a line, without headers"), (HALF % b"1", "half a character")],
)
def test_a_client_of_another_kind_gets_a_hint(line: bytes, hint: str) -> None:
    with pytest.raises(Refused) as refused:
        message.read(line)
    assert hint in refused.value.data["hint"]


@pytest.mark.parametrize("line", [b"", b"  ", b"\r", b"\xef\xbb\xbf"])
def test_a_blank_line_is_no_message(line: bytes) -> None:
    assert message.read(line) is None


@pytest.mark.parametrize("content", [{"result": 1}, {"error": {"code": 1, "message": "no"}}])
def test_an_answer_is_never_answered(content: dict[str, object]) -> None:
    assert read(id=1, **content) is None


def test_a_byte_order_mark_and_a_carriage_return_do_no_harm() -> None:
    request = message.read(b'\xef\xbb\xbf{"jsonrpc": "2.0", "method": "status"}\r')
    assert request and request.method == "status"


def test_the_code_of_an_error_is_the_exit_code_and_usage_is_invalid_params() -> None:
    assert message.code(ModelError("x")) == 3
    assert message.code(Cancelled("x")) == 130
    assert message.code(SettingsError("x")) == message.INVALID_PARAMS == -32602


def test_a_message_is_one_line_whatever_its_text() -> None:
    summary = "one\ntwo\r\u2028three\\\u2029"
    line = message.answer("a\nb", {"summary": summary})
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert not any(end.encode() in line for end in "\r\u2028\u2029")  # where readers such as Node's end a line too
    assert json.loads(line)["result"] == {"summary": summary}


def test_an_error_that_repeats_a_long_value_is_cut() -> None:
    assert len(message.failure(1, 4, "x" * 10**6)) < 2000
