"""Clients that nobody here wrote: Cohere's own package in both its versions, and the request that Gorse documents."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.serve.client import PATIENCE
from tests.serve.http.conftest import ServeWeb, Web

cohere = pytest.importorskip("cohere", reason="needs the package cohere (extra `dev`)")

DOCUMENTS = ["a long article", "tax", "bread"]  # the script prefers short texts
TOKEN = "a-token-of-some-length"


@pytest.fixture
def connection() -> Iterator[httpx.Client]:
    """Cohere's clients close none of their own."""
    with httpx.Client(timeout=PATIENCE) as found:
        yield found


def test_coheres_first_client_ranks_texts_and_objects(serve_web: ServeWeb, connection: httpx.Client) -> None:
    client = cohere.Client(TOKEN, base_url=serve_web(token=TOKEN).url, httpx_client=connection)
    found = client.rerank(model="rerank-v3.5", query="rye\nrolls", documents=DOCUMENTS, top_n=2, return_documents=True)
    assert [result.index for result in found.results] == [1, 2]
    assert found.results[0].document.text == "tax"
    objects = [{"title": text, "year": "1999"} for text in DOCUMENTS]
    again = client.rerank(model="any", query="rye", documents=objects, rank_fields=["title"])
    assert [result.index for result in again.results] == [1, 2, 0]


def test_coheres_second_client_ranks_texts(serve_web: ServeWeb, connection: httpx.Client) -> None:
    client = cohere.ClientV2(TOKEN, base_url=serve_web(token=TOKEN).url, httpx_client=connection)
    found = client.rerank(model="rerank-v3.5", query="rye\nrolls", documents=DOCUMENTS, max_tokens_per_doc=512)
    assert [result.index for result in found.results] == [1, 2, 0]
    assert found.results[0].relevance_score > found.results[1].relevance_score


def test_coheres_client_raises_its_own_errors_with_our_words(serve_web: ServeWeb, connection: httpx.Client) -> None:
    more = {"base_url": serve_web(token=TOKEN).url, "httpx_client": connection}
    with pytest.raises(cohere.UnauthorizedError, match="token is missing or wrong"):
        cohere.ClientV2("another", **more).rerank(model="m", query="q", documents=["d"])
    with pytest.raises(cohere.BadRequestError, match="query: has no text"):
        cohere.ClientV2(TOKEN, **more).rerank(model="m", query=" ", documents=["d"])


def test_gorse_gets_an_answer_to_its_request(web: Web) -> None:
    """Gorse's `[recommend.ranker] type = "llm"`: the user's feedback by a template, one item a line."""
    asked = {
        "model": "qwen3-reranker",
        "query": "- a command line for JSON\n- a terminal file manager\n",
        "top_n": 2,
        "documents": ["a web framework", "a shell prompt", "a static site generator"],
    }
    headers = {"Authorization": "Bearer whatever", "Content-Type": "application/json"}
    found = httpx.post(f"{web.url}/v1/rerank", json=asked, headers=headers).json()
    assert [sorted(result) for result in found["results"]] == [["index", "relevance_score"]] * 2
    assert isinstance(found["model"], str)
    assert isinstance(found["usage"]["total_tokens"], int)
