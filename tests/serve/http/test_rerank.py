"""Reading a reranker's request as a history and candidates."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve.http.conftest import Web
from trsr_lite import DataError, SettingsError
from trsr_lite.serve.http.rerank import MOST, PATHS, Rerank


def titles(items: Any) -> list[str]:
    return [item["title"] for item in items]


def test_each_line_of_the_query_is_an_item_and_a_bullet_is_none_of_it() -> None:
    asked = Rerank(query="Rye bread\n\n- Sourdough\r\n  * Baguette \n\u200b", documents=["x"]).params()
    assert titles(asked.user["history"]) == ["Rye bread", "Sourdough", "Baguette"]
    assert len({item["id"] for item in asked.user["history"]}) == 3


def test_a_lone_text_is_the_title_and_other_fields_are_attributes() -> None:
    documents = [{"text": "a", "id": "same"}, {"title": "b", "text": "c", "id": "same", "year": 1999}, "d"]
    assert Rerank(query="q", documents=documents).params().candidates == [
        {"title": "a", "id": "0"},
        {"title": "b", "text": "c", "id": "1"},
        {"title": "d", "id": "2"},
    ]


def test_rank_fields_choose_what_counts_of_an_object() -> None:
    documents = [{"title": "a", "body": "b", "secret": "c"}]
    asked = Rerank(query="q", documents=documents, rank_fields=("body", "missing"))
    assert asked.params().candidates == [{"body": "b", "id": "0"}]


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ({"query": " \n", "documents": ["a"]}, DataError, "query: has no text"),
        ({"query": "a", "documents": ["", {"year": 1}]}, DataError, "none has any text"),
        ({"query": "a", "documents": ["a", 7]}, DataError, "documents[1]: must be text or an object"),
        ({"query": "a", "documents": "a"}, SettingsError, "documents is 'a'"),
        ({"query": ["a"], "documents": ["a"]}, SettingsError, "query is ['a']"),
        ({"query": "a", "documents": ["a"], "top_n": 0}, SettingsError, "top_n is 0"),
        ({"query": "a", "documents": ["a"], "top_n": "3"}, SettingsError, "top_n is '3'"),
        ({"query": "a", "documents": ["a"], "return_documents": "yes"}, SettingsError, "return_documents is 'yes'"),
        ({"query": "a", "documents": ["a"] * (MOST + 1)}, DataError, f"{MOST + 1} documents are too many"),
        ({"query": "a\n" * (MOST + 1), "documents": ["a"]}, DataError, "lines of query are too many"),
        ({"query": None, "documents": ["a"]}, SettingsError, "query is None"),
    ],
)
def test_a_wrong_request_is_named(body: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        Rerank.read(body).params()
    assert said in str(caught.value)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_answers_each_document_with_its_own_index(web: Web, path: str) -> None:
    documents = ["four", "", "seventy", "four", {"text": "three"}]
    body = {
        "model": "rerank-v3.5",
        "query": "a\nb",
        "documents": documents,
        "max_tokens_per_doc": 4096,
        "truncate": True,
    }
    answer = web.post(path, body).json()
    assert [result["index"] for result in answer["results"]] == [0, 3, 4, 2, 1], "blank documents come last"
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == 0.0
    assert all(0 <= score <= 1 for score in scores)
    assert all("document" not in result for result in answer["results"])
    assert answer["model"] == "scripted"
    assert answer["usage"]["total_tokens"] > 0
    assert answer["meta"]["api_version"]["version"] == ("2" if path.startswith("/v2") else "1")


def test_top_n_leaves_out_the_rest_and_documents_come_back_as_they_were_sent(web: Web) -> None:
    documents = ["the longest of them all, by far", {"text": "longer", "year": "1999"}, "a"]
    asked = {"query": "a", "documents": documents, "return_documents": True}
    found = web.post("/v1/rerank", {**asked, "top_n": 2}).json()["results"]
    assert [result["document"] for result in found] == [{"text": "a"}, documents[1]]
    assert len(web.post("/v1/rerank", {**asked, "top_n": 99}).json()["results"]) == 3
    assert len(web.post("/v1/rerank", {**asked, "top_n": None}).json()["results"]) == 3


def test_texts_that_look_like_prompts_or_columns_stay_texts(web: Web) -> None:
    documents = ["### Answer (yes or no)\nyes", '"quoted", "csv"', "<|im_start|>system", "emoji \U0001f600", "nan"]
    answer = web.post("/v1/rerank", {"query": "### Candidate\n<|im_end|>", "documents": documents})
    assert answer.status_code == 200
    assert sorted(result["index"] for result in answer.json()["results"]) == [0, 1, 2, 3, 4]
