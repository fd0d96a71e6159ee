"""What each path answers, and that a client that goes away takes its request with it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.serve.client import check
from tests.serve.conftest import Gate
from tests.serve.http.conftest import ServeWeb, Web
from tests.serve.test_server import NEWS, user
from trsr_lite.testing import wait_until

LONG = {"user": user("u1", 20)}  # with summaries to make, at which a gate waits


def test_recommend_and_summarize_answer_what_they_do_on_stdin(web: Web) -> None:
    ranked = web.post("/v1/recommend", {"user": NEWS, "k": 3, "explain": True})
    assert ranked.status_code == 200
    check(ranked.json(), "RecommendResult")
    assert len(ranked.json()["recommendations"]) == 3
    told = web.post("/v1/summarize", {"user": NEWS}).json()
    check(told, "SummarizeResult")
    assert told["summary"] == ranked.json()["summary"]


def test_what_was_stored_of_a_user_is_forgotten_and_an_update_prepares_the_next_call(web: Web) -> None:
    updated = web.post("/v1/update", {"user": user("u1", 9), "item": {"id": "new", "title": "New"}}).json()
    check(updated, "UpdateResult")
    assert web.post("/v1/forget", {"user_id": "u1"}).json() == {"forgotten": updated["stats"]["summary_calls"]}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/recommend", {"user": {"history": []}}, "history: is empty"),
        ("/v1/recommend", {"user": NEWS, "kk": 3}, "no parameter 'kk'"),
        ("/v1/recommend", {"user": NEWS, "k": 0}, "k is 0"),
        ("/v1/recommend", {}, "'user' is missing"),
        ("/v1/recommend", {"user": NEWS, "model": "/etc/passwd"}, "has one model"),
        ("/v1/rerank", {"query": "a", "documents": []}, "documents: is empty"),
        ("/v1/rerank", {"documents": ["a"]}, "'query' is missing"),
        ("/v1/rerank", [], "must be a JSON object"),
        ("/v1/forget", {"user_id": ""}, "user_id is empty"),
    ],
)
def test_wrong_params_are_named_with_status_400(web: Web, path: str, body: Any, said: str) -> None:
    answer = web.post(path, body)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert answer.json()["error"]["message"] == answer.json()["message"]


def test_the_model_of_the_server_may_be_named_and_no_other(web: Web) -> None:
    assert web.post("/v1/summarize", {"user": NEWS, "model": "mine"}).status_code == 200
    assert web.post("/v1/summarize", {"user": NEWS, "model": "missing"}).status_code == 400


def test_an_unknown_path_and_a_wrong_verb_are_told_in_json(web: Web) -> None:
    assert web.client.get("/v1/nothing").json()["error"]["code"] == 404
    refused = web.client.get("/v1/rerank")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_health_status_and_figures_are_told_while_a_request_runs(web: Web, gate: Gate) -> None:
    connection = web.start("/v1/summarize", LONG)
    gate.reached()
    assert web.client.get("/health").json() == {"status": "ok"}
    status = web.client.get("/v1/status").json()
    check(status, "StatusResult")
    assert status["running"]["method"] == "summarize"
    assert web.figure("trsr_lite_running") == 1
    gate.open()
    assert connection.getresponse().status == 200
    connection.close()
    wait_until(lambda: web.figure("trsr_lite_running") == 0)
    assert web.figure("trsr_lite_requests_total") == 1
    assert web.figure("trsr_lite_tokens_total") > 0


def test_a_client_that_goes_away_cancels_the_request_that_runs(web: Web, gate: Gate) -> None:
    connection = web.start("/v1/summarize", LONG)
    gate.reached()
    connection.close()
    gate.let(1)
    wait_until(lambda: web.service.queue.state() == ([], None))
    assert gate.asked.empty(), "it went on after its client had gone"
    wait_until(lambda: web.figure("trsr_lite_gone_total") == 1)


def test_a_client_that_goes_away_cancels_the_request_that_waits(web: Web, gate: Gate) -> None:
    first = web.start("/v1/summarize", LONG)
    gate.reached()
    second = web.start("/v1/summarize", {"user": user("u2", 20)})
    wait_until(lambda: len(web.service.queue.state()[0]) == 1)
    second.close()
    wait_until(lambda: not web.service.queue.state()[0])
    gate.open()
    assert first.getresponse().status == 200
    first.close()


def test_a_superseded_request_is_told_so(web: Web, gate: Gate) -> None:
    stale = web.start("/v1/summarize", LONG)
    gate.reached()
    newer = web.start("/v1/summarize", {**LONG, "supersede": True})
    running = web.service.queue.state()[1]
    wait_until(lambda: running is not None and running.stopped == "superseded")
    gate.open()
    answer = stale.getresponse()
    assert (answer.status, b"superseded" in answer.read()) == (409, True)
    assert newer.getresponse().status == 200
    for connection in (stale, newer):
        connection.close()


def test_too_many_waiting_requests_are_refused_for_now(web: Web, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trsr_lite.serve.job.JOBS", 1)
    open_ones = [web.start("/v1/summarize", LONG)]
    gate.reached()
    open_ones.append(web.start("/v1/summarize", {"user": user("u2", 20)}))
    wait_until(lambda: len(web.service.queue.state()[0]) == 1)
    refused = web.post("/v1/summarize", {"user": user("u3", 20)})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    gate.open()
    for connection in open_ones:
        assert connection.getresponse().status == 200
        connection.close()


def test_a_thousand_requests_of_twenty_clients_are_answered_and_cancels_lose_none(web: Web) -> None:
    lock, right = threading.Lock(), []

    def ask(number: int) -> None:
        documents = ["x" * (1 + (number + place) % 5) for place in range(5)]
        body = {"query": f"film {number}\nanother", "documents": documents, "top_n": 1}
        connection = web.start("/v1/rerank", body)
        if number % 5:
            best = web_json(connection)["results"][0]["index"]
            with lock:
                right.append(len(documents[best]) == 1)  # the script prefers short texts
        connection.close()  # every fifth client goes away at once

    with ThreadPoolExecutor(20) as clients:
        list(clients.map(ask, range(1000)))
    assert right == [True] * 800
    wait_until(lambda: web.service.queue.state() == ([], None))
    wait_until(lambda: web.figure("trsr_lite_requests_total") + web.figure("trsr_lite_gone_total") == 1000)
    assert web.figure("trsr_lite_gone_total") > 0


def web_json(connection: Any) -> Any:
    import json

    answer = connection.getresponse()
    assert answer.status == 200
    return json.loads(answer.read())


def test_a_bug_is_told_by_its_kind_alone(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a text of the user")

    monkeypatch.setattr("trsr_lite.recommender.recommender.Recommender.recommend", broken)
    answer = web.post("/v1/rerank", {"query": "a", "documents": ["b"]})
    assert (answer.status_code, answer.json()["message"]) == (500, "a bug: ZeroDivisionError")
    assert "a text" not in answer.text
    monkeypatch.undo()
    assert web.post("/v1/rerank", {"query": "a", "documents": ["b"]}).status_code == 200


def test_when_the_server_ends_an_open_request_is_answered(serve_web: ServeWeb, gate: Gate) -> None:
    web = serve_web()
    connection = web.start("/v1/summarize", LONG)
    gate.reached()
    threading.Thread(target=web.service.stop, args=("ended",)).start()
    gate.open()
    assert connection.getresponse().status == 503
    connection.close()


def test_the_description_names_every_path_and_its_schemas_are_good(web: Web) -> None:
    from trsr_lite.serve.http.app import ASKED
    from trsr_lite.serve.http.rerank import PATHS

    described = web.client.get("/openapi.json").json()
    asked = {*(f"/v1/{method}" for method in ASKED), *PATHS, "/health", "/v1/status"}
    assert set(described["paths"]) == asked
    schemas = described["components"]["schemas"]
    for name in ("Rerank", "Reranked", "Fault", "RecommendParams"):
        Draft202012Validator.check_schema(schemas[name])
    whole = {"$ref": "#/components/schemas/Reranked", "components": described["components"]}
    answer = web.post("/v1/rerank", {"query": "a", "documents": ["b"], "return_documents": True}).json()
    Draft202012Validator(whole).validate(answer)
    fault = web.post("/v1/rerank", {}).json()
    Draft202012Validator({**whole, "$ref": "#/components/schemas/Fault"}).validate(fault)
