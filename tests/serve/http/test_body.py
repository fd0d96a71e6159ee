"""Bodies that are too long, too slow, or something else."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import suppress

import pytest

from tests.serve.client import PATIENCE
from tests.serve.http.conftest import ServeWeb, Web
from trsr_lite.serve.http.body import Bodies
from trsr_lite.serve.message import LINE_BYTES

ASK = json.dumps({"query": "a", "documents": ["b"]}).encode()
HEAD = b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
JSON = {"content-type": "application/json"}


def talk(web: Web, *parts: bytes) -> bytes:
    """Everything that is answered until the server closes."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        with suppress(ConnectionResetError):  # it was closed with something unread
            while data := connection.recv(65536):
                answer += data
        return answer


@pytest.mark.parametrize(
    "sent",
    [b"", b"{", b"nonsense", b"\xff\xfe{\x00", b"[" * 100_000, b'{"query": "\\ud800"}', b"NaN", b'{"a": 1} {"b": 2}'],
)
def test_what_is_no_json_is_named_with_its_place(web: Web, sent: bytes) -> None:
    answer = web.client.post("/v1/rerank", content=sent, headers=JSON)
    assert answer.status_code == 400
    assert "not valid JSON" in answer.json()["message"]


@pytest.mark.parametrize("sent", [b"null", b"3", b'"text"', b"[]", b"true"])
def test_json_that_is_no_object_is_refused(web: Web, sent: bytes) -> None:
    for path in ("/v1/rerank", "/v1/recommend"):
        assert web.client.post(path, content=sent, headers=JSON).status_code == 400


def test_a_mark_of_utf_8_is_passed_over(web: Web) -> None:
    assert web.client.post("/v1/rerank", content=b"\xef\xbb\xbf" + ASK, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_what_a_form_of_another_page_could_send_is_refused(web: Web, kind: str) -> None:
    assert web.client.post("/v1/rerank", content=ASK, headers={"content-type": kind}).status_code == 415


def test_a_compressed_body_is_refused(web: Web) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    assert web.client.post("/v1/rerank", content=gzip.compress(ASK), headers=headers).status_code == 415


def test_a_body_that_announces_too_much_is_refused_unread(web: Web) -> None:
    answer = talk(web, HEAD + f"Content-Length: {LINE_BYTES + 1}\r\n\r\n".encode())
    assert b" 413 " in answer.partition(b"\r\n")[0]


def test_a_body_that_grows_too_long_is_refused_and_the_next_request_is_served(serve_web: ServeWeb) -> None:
    web = serve_web(bodies=Bodies(limit=1000))
    part = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    answer = talk(web, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", part, part, part)
    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert web.client.post("/v1/rerank", content=ASK, headers=JSON).status_code == 200


def test_a_body_that_does_not_end_is_given_up(serve_web: ServeWeb) -> None:
    web = serve_web(bodies=Bodies(seconds=0.2))
    answer = talk(web, HEAD + b"Content-Length: 1000\r\n\r\n", ASK)
    assert b" 408 " in answer.partition(b"\r\n")[0]


def test_headers_that_do_not_end_are_given_up(serve_web: ServeWeb) -> None:
    web = serve_web(header_seconds=0.2)
    assert talk(web) == b""
    assert talk(web, HEAD) == b""
    assert web.client.post("/v1/rerank", content=ASK, headers=JSON).status_code == 200


def test_headers_without_end_are_refused(web: Web) -> None:
    answer = talk(web, HEAD, b"X-Long: " + b"x" * (1 << 20))
    assert answer == b"" or b" 400 " in answer.partition(b"\r\n")[0]


def test_many_long_bodies_at_once_are_refused_but_one_always_has_room(serve_web: ServeWeb) -> None:
    web = serve_web(bodies=Bodies(together=100))
    first = socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE)
    long = json.dumps({"query": "a", "documents": ["b" * 500]}).encode()
    first.sendall(HEAD + f"Content-Length: {len(long)}\r\n\r\n".encode() + long[:-1])
    refused = talk(web, HEAD + b"Content-Length: 200\r\n\r\n" + b"x" * 150)
    assert b" 503 " in refused.partition(b"\r\n")[0]
    first.sendall(long[-1:])
    assert b" 200 " in first.recv(65536).partition(b"\r\n")[0]
    first.close()
    assert web.client.post("/v1/rerank", content=long, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\x00" * 100, b"POST / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http_ends_its_own_connection_only(web: Web, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)
    assert web.client.get("/health").status_code == 200
