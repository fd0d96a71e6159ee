"""Who may ask: names of hosts, pages of other sites, tokens."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from starlette.datastructures import Headers

from tests.serve.http.conftest import ServeWeb, Web
from trsr_lite.serve.http.guard import LOCAL_HOSTS, Access

TOKEN = "a-token-of-some-length"
ASK = {"query": "a", "documents": ["b"]}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:{port}", "LOCALHOST:1", "[::1]:8080"])
def test_this_machine_may_be_asked_for_by_its_own_names(web: Web, host: str) -> None:
    assert web.post("/v1/rerank", ASK, host=host.format(port=web.port)).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "localhost.evil.example", "127.0.0.1@evil.example", "", "[", "10.0.0.1"],
)
def test_a_name_that_was_made_to_resolve_to_this_machine_is_refused(web: Web, host: str) -> None:
    for path in ("/", "/health", "/metrics"):
        assert web.client.get(path, headers={"host": host.format(port=web.port)}).status_code == 421
    assert web.post("/v1/rerank", ASK, host=host.format(port=web.port)).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused(web: Web, headers: dict[str, str]) -> None:
    answer = web.post("/v1/rerank", ASK, **headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_the_own_page_may_ask(web: Web) -> None:
    assert web.post("/v1/rerank", ASK, origin=web.url, **{"sec-fetch-site": "same-origin"}).status_code == 200


def test_a_browser_that_asks_first_is_not_let_in(web: Web) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = web.client.options("/v1/rerank", headers=headers)
    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN.upper()}",
        "Bearer \xff\xfe",
    ],
)
def test_a_missing_or_wrong_token_is_refused_everywhere_but_for_what_tells_nothing(
    serve_web: ServeWeb, sent: str | None
) -> None:
    web = serve_web(token=TOKEN)
    headers = [] if sent is None else [(b"authorization", sent.encode("latin-1"))]
    for path in ("/v1/rerank", "/v1/recommend", "/v1/summarize", "/v1/forget", "/v1/nothing"):
        refused = web.client.post(path, json=ASK, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for path in ("/metrics", "/v1/status"):
        assert web.client.get(path, headers=headers).status_code == 401
    for path in ("/health", "/", "/openapi.json"):
        assert web.client.get(path, headers=headers).status_code == 200


def test_the_right_token_is_let_in_and_two_are_not(serve_web: ServeWeb) -> None:
    web = serve_web(token=TOKEN)
    good = ("authorization", f"bearer {TOKEN}")
    assert web.client.post("/v1/rerank", json=ASK, headers=[good]).status_code == 200
    both = [good, ("authorization", "Bearer another")]
    assert web.client.post("/v1/rerank", json=ASK, headers=both).status_code == 401


def test_tokens_are_compared_in_constant_time_and_as_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr("hmac.compare_digest", compare)
    access = Access(TOKEN)
    for sent in ("Bearer x", f"Bearer {TOKEN}", ""):
        access.refuse("/v1/rerank", Headers({"host": "localhost", "authorization": sent}))
    assert compared == [(32, 32)] * 3


def test_with_a_token_any_name_may_be_used(serve_web: ServeWeb) -> None:
    web = serve_web(token=TOKEN, hosts=None)
    headers = {"host": "my-server.lan", "authorization": f"Bearer {TOKEN}"}
    assert web.post("/v1/rerank", ASK, **headers).status_code == 200
    assert web.post("/v1/rerank", ASK, host="my-server.lan").status_code == 401


def test_a_refused_body_is_not_read(web: Web) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(1 << 20)

    with suppress(httpx.TransportError):  # the server has closed the connection while this one still wrote
        assert web.client.post("/v1/rerank", content=body(), headers={"host": "evil.example"}).status_code == 421
    assert sent < 1000


def test_local_names_are_these() -> None:
    assert {"localhost", "127.0.0.1", "::1"} == LOCAL_HOSTS
