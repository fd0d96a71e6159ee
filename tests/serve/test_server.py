"""A server on scripted models: what each method answers, and in which order. `Client` holds all to the schema."""

from __future__ import annotations

import errno
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import trsr_lite
from tests.serve.client import PATIENCE, SCHEMA, Client, Connect
from tests.serve.conftest import Gate
from trsr_lite import FakeEngine, Recommender, Settings, StoreError
from trsr_lite.cli.serve import command
from trsr_lite.serve import job, schema, server
from trsr_lite.serve.message import LINE_BYTES
from trsr_lite.serve.methods import METHODS
from trsr_lite.serve.recommenders import OPEN, Recommenders
from trsr_lite.summaries.store import SummaryStore

NEWS = json.loads((Path(__file__).parents[2] / "examples" / "news_reader.json").read_text())


def item(name: str) -> dict[str, str]:
    return {"id": name, "title": f"Film {name}"}


def user(name: str = "u1", length: int = 2) -> dict[str, Any]:
    """A user whose block summaries are those of nobody else."""
    history = [item(f"{name}-{number}") for number in range(length)]
    return {"user_id": name, "history": history, "candidates": [item("x"), item("longer"), item("y")]}


def at_work(client: Client, gate: Gate, method: str) -> None:
    """A request with the id `running` has come as far as the gate."""
    client.ask(method, "running", user=user("u1", 20))
    gate.reached()


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "stats": {**result["stats"], "seconds": None}}


# What is answered


def test_initialize_says_versions_methods_and_limits(connect: Connect) -> None:
    found = connect().call("initialize", protocol=1, client={"name": "test"})
    assert found["server"]["version"] == trsr_lite.__version__
    assert found["capabilities"]["methods"] == list(METHODS)
    assert found["limits"]["waiting_requests"] == job.JOBS


def test_recommend_answers_what_the_library_does(
    connect: Connect, make_recommender: Callable[..., Recommender]
) -> None:
    found = connect().call("recommend", user=NEWS, k=3, explain=True)
    expected = make_recommender().recommend(NEWS, k=3).to_dict(explain=True)
    for entry in expected["summaries"]:
        assert entry["source"] == "cache"  # the server's own, of a moment ago
        entry["source"] = "fresh"
    calls, hits = (found["stats"].pop(name) for name in ("summary_calls", "summary_cache_hits"))
    assert (hits, calls) == (expected["stats"].pop("summary_calls"), expected["stats"].pop("summary_cache_hits"))
    assert found["stats"].pop("generated_tokens") > expected["stats"].pop("generated_tokens") == 0
    assert expected["stats"].pop("margin_cache_hits") > found["stats"].pop("margin_cache_hits") == 0
    assert found["stats"].pop("evaluated_tokens") > expected["stats"].pop("evaluated_tokens") == 0
    assert list(found) == list(expected)
    assert timeless(found) == timeless(expected)


def test_signals_are_params_and_one_that_cannot_count_is_invalid(connect: Connect) -> None:
    client = connect()
    alone = client.call("recommend", user=user(), signals=["model"])["recommendations"]
    assert [entry["parts"] for entry in alone] == [{"model": entry["margin"]} for entry in alone]
    assert len(alone) == 3
    for name, params in {"words": {"signals": ["words"]}, "rerank": {"rerank": 1}}.items():
        client.ask("recommend", name, user=user(), **params)
        error = client.error(name)
        assert (error["code"], "has no fusion" in error["message"]) == (-32602, True)
    client.ask("recommend", "none", user=user(), rerank=0, signals=["all"])
    assert len(client.result("none")["recommendations"]) == 3


def test_candidates_may_be_given_apart_and_ten_are_answered(connect: Connect) -> None:
    candidates = [item(f"c{number}") for number in range(12)]
    found = connect().call("recommend", user=user(), candidates=candidates)
    assert {entry["id"] for entry in found["recommendations"]} < {one["id"] for one in candidates}
    assert len(found["recommendations"]) == 10


def test_a_budget_counts_from_the_request_on_and_what_was_skipped_is_said(connect: Connect, gate: Gate) -> None:
    client = connect()
    client.ask("summarize", "first", user=user("u0", 10), priority="high")
    gate.reached()
    client.ask("recommend", "late", user=user(), budget=0.3)
    client.ask("recommend", "in time", user=user(), budget=1000)
    client.call("status")
    time.sleep(0.4)  # more than the budget, which is spent on waiting
    gate.open()
    assert client.result("late")["skipped"] == {"blocks": 0, "candidates": ["x", "longer", "y"]}
    assert "skipped" not in client.result("in time")


def test_summarize_answers_the_summary_alone(connect: Connect) -> None:
    client = connect()
    found = client.call("summarize", user=NEWS)
    assert found["summary"]
    assert found["stats"]["summary_calls"] > 0
    assert "summaries" not in found
    assert client.call("summarize", user=NEWS, strategy="none")["summary"] is None


def test_after_update_the_longer_history_is_summarized(connect: Connect, fake: FakeEngine) -> None:
    client = connect()
    before = user(length=9)
    client.call("summarize", user=before)
    found = client.call("update", user=before, item=item("new"))
    assert found["stats"]["history_items"] == 10
    assert found["stats"]["summary_calls"] == 2  # the second block, and both merged
    after = {**before, "history": [*before["history"], item("new")]}
    assert client.call("recommend", user=after)["stats"]["summary_calls"] == 0


def test_forget_deletes_what_only_this_user_needs(connect: Connect, tmp_path: Path) -> None:
    client = connect()
    for name in ("u1", "u2"):
        client.call("summarize", user=user(name, 20))
    kept = SummaryStore(tmp_path / "cache").info()["summaries"] // 2
    assert client.call("forget", user_id="u1") == {"forgotten": kept}
    assert client.call("forget", user_id="u1") == {"forgotten": 0}
    assert client.call("summarize", user=user("u2", 20))["stats"]["summary_calls"] == 0
    assert client.call("summarize", user=user("u1", 20))["stats"]["summary_calls"] == kept


def test_status_tells_what_runs_what_waits_and_what_is_open(connect: Connect, gate: Gate) -> None:
    client = connect()
    assert client.call("status")["running"] is None
    client.ask("summarize", "a", user=user("u1", 20), domain="product")
    gate.let(1)
    for _ in range(2):
        gate.reached()
    client.ask("summarize", "b", user=user("u2", 20), priority="low")
    client.ask("recommend", "c", user=user())
    found = client.call("status")
    assert (found["running"]["id"], found["running"]["stage"]) == ("a", "summarize")
    assert [(one["id"], one["priority"]) for one in found["waiting"]] == [("c", "normal"), ("b", "low")]
    assert [(one["model"], one["settings"]) for one in found["models"]] == [("scripted", Settings().to_dict())]
    assert found["memory_bytes"] > 1 << 20
    gate.open()
    client.result("b")


def test_an_update_without_an_id_is_done_and_not_answered(connect: Connect) -> None:
    client = connect()
    client.tell("update", user=user(length=9), item=item("new"))
    client.tell("summarize", user={**user(), "history": [{"id": "no text"}]})
    client.tell("status")
    client.write(b'{"jsonrpc": "2.0", "method": "no such method"}\n')
    after = {**user(length=9), "history": [*user(length=9)["history"], item("new")]}
    found = client.call("recommend", user=after, priority="low")
    assert found["stats"]["summary_calls"] == 0
    client.close()
    assert client.rest() == []


def test_one_recommender_serves_a_model_and_the_unused_one_is_closed(
    connect: Connect, opened_models: list[str | None]
) -> None:
    client = connect()
    for model in ("a", "b", "a", "c", "a", "b"):
        client.call("recommend", user=user(), model=model)
    assert opened_models == ["a", "b", "c", "b"]
    assert OPEN == 2
    assert [one["model"] for one in client.call("status")["models"]] == ["a", "b"]


def test_settings_of_a_request_are_its_own_and_the_model_is_opened_once_for_all(
    connect: Connect, fake: FakeEngine, opened: list[tuple[str, bool]], opened_models: list[str | None]
) -> None:
    client = connect()
    for name in ("u1", "u2"):
        for domain, noun in [("news", "article"), ("product", "product"), (None, "item")]:
            client.call("recommend", user=user(name), domain=domain, attributes=["title"])
            assert f"### Candidate {noun}" in fake.scored[-1]
    assert opened_models == [None] and len(opened) == 1
    assert client.call("status")["models"][0]["settings"] == Settings().to_dict()


# Progress


def test_progress_tells_stages_and_comes_before_the_answer(connect: Connect, gate: Gate) -> None:
    client = connect()
    client.ask("recommend", "a", user=user("u0", 10))
    gate.reached()
    client.call("status")  # whoever answers at once may leave progress out
    gate.open()
    client.result("a")
    assert {entry["id"] for entry in client.progress} == {"a"}
    assert client.progress[-1]["stage"] in ("load", "summarize", "score")


def test_a_quick_request_has_no_progress(connect: Connect) -> None:
    client = connect(progress_seconds=3600.0)
    client.call("recommend", user=NEWS)
    assert client.progress == []


# Order


def test_requests_are_answered_by_priority(connect: Connect, gate: Gate) -> None:
    client = connect()
    client.ask("summarize", "first", user=user("u0", 10), priority="high")
    gate.reached()
    for number, priority in enumerate(("low", "normal", "high", "low", "normal", "high")):
        client.ask("recommend", f"{priority} {number}", user=user(), priority=priority)
    client.call("status")
    gate.open()
    client.result("low 3")
    assert client.order[1:] == ["first", "high 2", "high 5", "normal 1", "normal 4", "low 0", "low 3"]


def test_an_urgent_request_interrupts_background_work_which_keeps_what_it_has(connect: Connect, gate: Gate) -> None:
    client = connect()
    client.ask("update", "slow", user=user("u1", 24), item=item("new"))
    gate.let(1)
    for _ in range(2):
        gate.reached()
    urgent = client.ask("recommend", "urgent", user=user())
    client.call("status")  # it is in the queue
    gate.open()
    client.result(urgent)
    found = client.result("slow")
    assert client.order[-2:] == ["urgent", "slow"]
    assert found["stats"]["summary_cache_hits"] >= 1


def test_status_and_cancel_are_answered_while_a_model_is_at_work(connect: Connect, gate: Gate) -> None:
    client = connect()
    client.ask("summarize", "slow", user=user("u1", 20))
    gate.reached()
    client.ask("recommend", "waiting", user=user())
    assert client.call("status")["running"]["id"] == "slow"
    assert client.call("cancel", id="waiting") == {"cancelled": True}
    assert client.error("waiting")["data"] == {"reason": "cancelled"}
    assert client.call("cancel", id="slow") == {"cancelled": True}
    gate.open()
    error = client.error("slow")
    assert (error["code"], error["data"]["reason"]) == (130, "cancelled")


def test_what_was_finished_before_a_cancel_is_kept(connect: Connect, gate: Gate) -> None:
    client = connect()
    client.ask("summarize", "slow", user=user("u1", 20))
    gate.let(2)
    for _ in range(3):
        gate.reached()
    client.call("cancel", id="slow")
    gate.open()
    client.error("slow")
    assert client.call("summarize", user=user("u1", 20))["stats"]["summary_cache_hits"] >= 2


def test_a_newer_request_ends_stale_ones_of_its_user_and_method_only(connect: Connect, gate: Gate) -> None:
    client = connect()
    at_work(client, gate, "recommend")
    client.ask("recommend", "stale", user=user("u1", 20))
    client.ask("recommend", "other user", user=user("u2"))
    client.ask("summarize", "other method", user=user("u1", 20))
    client.ask("recommend", "kept", user=user("u2"))
    client.ask("recommend", "newest", user=user("u1", 21), supersede=True)
    assert client.error("stale")["data"]["reason"] == "superseded"
    gate.open()
    assert client.error("running")["data"]["reason"] == "superseded"
    for name in ("other user", "other method", "kept", "newest"):
        client.result(name)


def test_without_supersede_nothing_is_stale(connect: Connect, gate: Gate) -> None:
    client = connect()
    for name in ("a", "b"):
        client.ask("recommend", name, user=user("u1", 20))
    gate.open()
    assert client.result("a")["recommendations"] == client.result("b")["recommendations"]


def test_a_forgotten_user_leaves_nothing_behind_even_while_at_work(
    connect: Connect, gate: Gate, tmp_path: Path
) -> None:
    client = connect()
    client.ask("summarize", "running", user=user("u1", 20))
    gate.let(1)
    for _ in range(2):
        gate.reached()
    client.ask("recommend", "waiting", user=user("u1", 20))
    client.ask("forget", "forget", user_id="u1")
    assert client.error("waiting")["data"]["reason"] == "forgotten"
    gate.open()
    assert client.error("running")["data"]["reason"] == "forgotten"
    assert client.result("forget")["forgotten"] >= 1
    assert SummaryStore(tmp_path / "cache").info()["summaries"] == 0


# The end


class Fetching:
    """Opens a model for as long as `end` is not set, without looking whether it shall be stopped."""

    def __init__(self, open_recommender: Callable[..., Recommender]) -> None:
        self.begun, self.end = threading.Event(), threading.Event()
        self._open_recommender = open_recommender

    def __call__(self, *arguments: Any, **options: Any) -> Recommender:
        self.begun.set()
        assert self.end.wait(PATIENCE)
        return self._open_recommender(*arguments, **options)


@pytest.fixture
def fetching(make_recommender: Callable[..., Recommender], monkeypatch: pytest.MonkeyPatch) -> Iterator[Fetching]:
    """Every model takes long to open until the test is over."""
    slow = Fetching(make_recommender)
    monkeypatch.setattr(Recommenders, "using", lambda *_: nullcontext(slow()))
    yield slow
    slow.end.set()


def test_shutdown_ends_every_request_and_is_answered_last(connect: Connect, gate: Gate) -> None:
    client = connect()
    at_work(client, gate, "summarize")
    client.ask("recommend", "waiting", user=user())
    client.ask("shutdown", "end")
    client.ask("status", "too late")
    waiting = client.error("waiting")
    gate.open()
    client.rest()
    assert client.order == ["waiting", "running", "end"]
    assert [error["data"]["reason"] for error in (waiting, client.error("running"))] == ["shutdown", "shutdown"]


@pytest.mark.parametrize("first", ["shutdown", "cancelled"])
def test_shutdown_does_not_wait_for_what_cannot_be_stopped(
    connect: Connect, fetching: Fetching, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(server, "LAST_SECONDS", 0.01)
    client = connect()
    client.ask("recommend", "fetching", user=user(), model="slow")
    assert fetching.begun.wait(PATIENCE)
    if first == "cancelled":
        assert client.call("cancel", id="fetching") == {"cancelled": True}
    client.ask("shutdown", "end")
    client.rest()  # the output has ended, so the server has
    assert client.order[-2:] == ["fetching", "end"]
    assert client.error("fetching")["data"]["reason"] == first
    assert not fetching.end.is_set()


def test_at_the_end_of_the_input_what_was_asked_is_answered(connect: Connect) -> None:
    client = connect()
    client.ask("recommend", "a", user=NEWS)
    client.write(b'{"jsonrpc": "2.0", "id": "b", "method": "status"}')  # no line end
    client.close()
    client.rest()
    assert set(client.order) == {"a", "b"}
    assert client.answer("a")["result"]["recommendations"]


# What goes wrong


def test_after_any_malformed_line_the_next_request_is_served(connect: Connect) -> None:
    client = connect()
    client.write(b'hello\n[]\n{"jsonrpc": "2.0", "id": "bad"}\n\n\xff\xfe\n{"id": "bad", "result": 2}\n')
    client.write(b"x" * (LINE_BYTES + 1) + b"\n")
    client.call("status")
    assert client.order == [None, None, "bad", None, None, 1]
    assert "longer than" in client.error(None)["message"]


def test_bytes_may_come_one_by_one_and_many_messages_at_once(connect: Connect) -> None:
    client = connect()
    text = json.dumps({"jsonrpc": "2.0", "id": "slowly", "method": "recommend", "params": {"user": user()}})
    for byte in text.encode() + b"\n":
        client.write(bytes([byte]))
    many = [{"jsonrpc": "2.0", "id": number, "method": "status"} for number in range(100)]
    client.write(b"".join(json.dumps(one).encode() + b"\n" for one in many))
    assert client.answer("slowly")["result"]
    assert {client.answer(number)["id"] for number in range(100)} == set(range(100))


DEEP: Any = 1
for _ in range(900):
    DEEP = [DEEP]


WRONG: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "no such method": ("recomend", {}, -32601, "recommend"),
    "no user": ("recommend", {}, -32602, "'user' is missing"),
    "an unknown parameter": ("recommend", {"user": user(), "top": 3}, -32602, "'top'"),
    "a misspelled parameter": ("recommend", {"user": user(), "prioritty": "low"}, -32602, "priority"),
    "k of no candidates": ("recommend", {"user": user(), "k": 0}, -32602, "k is 0"),
    "k far too deep": ("recommend", {"user": user(), "k": DEEP}, -32602, "k is"),
    "a name without end": ("recommend", {"user": user(), "x" * 200_000: 1}, -32602, f"'{'x' * 64}'"),
    "k as text": ("recommend", {"user": user(), "k": "3"}, -32602, "k is '3'"),
    "time before now": ("recommend", {"user": user(), "budget": -1}, -32602, "budget is -1"),
    "an unknown priority": ("recommend", {"user": user(), "priority": "now"}, -32602, "high, normal, low"),
    "an unknown strategy": ("summarize", {"user": user(), "strategy": "best"}, -32602, "hierarchical"),
    "too small prompts": ("summarize", {"user": user(), "prompt_tokens": 7}, -32602, "prompt_tokens"),
    "a user that is text": ("recommend", {"user": "u1"}, -32602, "an object"),
    "superseding nobody": ("recommend", {"user": {**user(), "user_id": ""}, "supersede": True}, -32602, "user_id"),
    "another protocol": ("initialize", {"protocol": 2}, -32602, "speaks 1"),
    "an id to cancel that is none": ("cancel", {"id": 1.5}, -32602, "whole number"),
    "a parameter too many": ("status", {"all": True}, -32602, "'all'"),
    "nobody to forget": ("forget", {"user_id": ""}, -32602, "empty"),
    "no history": ("recommend", {"user": {"user_id": "u1", "history": []}}, 4, "history"),
    "no candidates": ("recommend", {"user": {**user(), "candidates": None}}, 4, "no candidates"),
    "an empty list of candidates": ("recommend", {"user": user(), "candidates": []}, 4, "no candidates"),
    "a strategy without a name": ("summarize", {"user": user(), "strategy": ""}, -32602, "hierarchical"),
    "a domain without a name": ("recommend", {"user": user(), "domain": ""}, -32602, "news"),
    "a model without a name": ("recommend", {"user": user(), "model": ""}, -32602, "model is empty"),
    "a history in another order": (
        "summarize",
        {"user": {"history": [{**item("a"), "time": 2}, {**item("b"), "time": 1}]}},
        4,
        "sort_history",
    ),
    "an item without text": ("recommend", {"user": user(), "candidates": [{"id": "a"}]}, 4, "candidates[0]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_answered_at_once_with_its_code_and_what_is_wrong(
    connect: Connect, gate: Gate, opened_models: list[str | None], case: str
) -> None:
    method, params, code, words = WRONG[case]
    client = connect()
    at_work(client, gate, "summarize")
    client.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
    error = client.error(1)
    assert error["code"] == code
    said = f"{error['message']} {error.get('data', {}).get('hint', '')}"
    assert words in said
    assert set(re.findall(r"--[a-z-]+", said)) <= {option for each in command.params for option in each.opts}
    gate.open()
    client.result("running")
    assert opened_models == [None]


def test_a_model_that_is_missing_is_said_with_what_to_do(connect: Connect) -> None:
    client = connect()
    error = client.error(client.ask("recommend", user=user(), model="missing"))
    assert (error["code"], error["data"]) == (3, {"hint": "give another"})
    client.call("recommend", user=user())


def test_params_that_are_a_list_are_refused(connect: Connect) -> None:
    client = connect()
    client.write(b'{"jsonrpc": "2.0", "id": 1, "method": "status", "params": [1]}\n')
    assert client.error(1)["code"] == -32602


def test_an_id_in_use_is_refused_and_its_request_is_still_answered(connect: Connect, gate: Gate) -> None:
    client = connect()
    client.ask("recommend", 7, user=user("u1", 20))
    gate.reached()
    for method in ("status", "recommend"):
        client.ask(method, 7, **({"user": user()} if method == "recommend" else {}))
        error = client.error(None)
        assert (error["code"], error["data"]) == (-32600, {"used": 7})
    client.write(b'{"jsonrpc": "2.0", "id": 7}\n')  # malformed besides
    error = client.error(None)
    assert (error["code"], error["data"]["used"]) == (-32600, 7)
    client.ask("recommend", "7", user=user())
    gate.open()
    client.expects(7, "recommend")
    assert client.result(7)["stats"]["history_items"] == 20
    client.result("7")
    client.ask("status", 7)
    client.result(7)


def test_cancelling_what_is_not_there_yet_or_no_more_changes_nothing(connect: Connect) -> None:
    client = connect()
    assert client.call("cancel", id="a") == {"cancelled": False}
    client.result(client.ask("recommend", "a", user=user()))
    assert client.call("cancel", id="a") == {"cancelled": False}


def test_more_requests_than_may_wait_are_refused_and_the_others_are_answered(
    connect: Connect, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "JOBS", 5)
    client = connect()
    at_work(client, gate, "summarize")
    ids = [client.ask("recommend", user=user()) for _ in range(job.JOBS + 3)]
    for name in ids[-3:]:
        assert client.error(name)["code"] == -32000
    gate.open()
    for name in ids[:-3]:
        client.result(name)


def test_a_request_that_is_refused_has_ended_none(
    connect: Connect, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "JOBS", 1)
    client = connect()
    at_work(client, gate, "recommend")
    client.ask("recommend", "waiting", user=user("u2"))
    client.ask("recommend", "newest", user=user("u1", 21), supersede=True)
    client.ask("forget", "forget", user_id="u1")
    assert client.error("newest")["code"] == client.error("forget")["code"] == -32000
    client.ask("recommend", "newer", user=user("u2", 5), supersede=True)  # takes the place of one that waits
    assert client.error("waiting")["data"]["reason"] == "superseded"
    gate.open()
    client.result("running")
    client.result("newer")


def test_a_failure_that_no_json_can_hold_is_answered_too(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise StoreError("cannot be used", hint="see /home/\udce9/cache")

    client = connect()
    monkeypatch.setattr(Recommender, "forget", fail)
    client.call("recommend", user=user())
    assert client.error(client.ask("forget", user_id="u1"))["data"]["hint"] == "see /home/\ufffd/cache"
    client.call("recommend", user=user())


def test_a_bug_is_said_without_the_users_texts_and_the_next_request_is_served(
    connect: Connect, fake: FakeEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> float:
        raise ValueError(text)

    client = connect()
    working = fake.margin
    fake.margin = fail
    error = client.error(client.ask("recommend", user={**user(), "user_id": "marked"}))
    assert (error["code"], error["message"]) == (-32603, "a bug: ValueError")
    assert "in fail" in caplog.text
    assert "Film" not in caplog.text
    fake.margin = working
    client.call("recommend", user=user(), model="another")


def test_a_user_who_cannot_be_forgotten_is_said(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: SummaryStore, user_id: str) -> int:
        raise StoreError("the summaries cannot be deleted", hint="make room")

    monkeypatch.setattr(SummaryStore, "clear", fail)
    client = connect()
    error = client.error(client.ask("forget", user_id="u1"))
    assert (error["code"], error["message"]) == (1, "the summaries cannot be deleted")
    assert error["data"] == {"hint": "make room"}


@pytest.mark.parametrize(
    ("system", "number", "gone"),
    [
        ("posix", errno.EPIPE, True),
        ("nt", errno.EPIPE, True),
        ("nt", errno.EINVAL, True),
        ("posix", errno.EINVAL, False),
        ("nt", errno.ENOSPC, False),
    ],
)
def test_a_client_that_has_gone_is_told_from_a_failure(
    monkeypatch: pytest.MonkeyPatch, system: str, number: int, gone: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(server.os, "name", system)
        found = server.is_gone(OSError(number, "said"))
    assert found is gone


def test_no_text_of_a_user_is_logged(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    client = connect()
    marked = {"id": "marked-id", "title": "marked title"}
    client.call("recommend", user={**user("marked-user"), "history": [marked] * 20})
    client.tell("recommend", user={"user_id": "marked-user", "history": [{"id": "marked", "time": "marked"}]})
    client.write(b'marked {"jsonrpc"\n')
    client.error(None)
    client.call("forget", user_id="marked-user")
    assert "a recommend without an id failed with code 4" in caplog.text
    assert "marked" not in caplog.text


# The schema


def test_params_of_the_schema_are_made_from_the_options() -> None:
    made = schema.params()
    assert {name: SCHEMA["$defs"][name] for name in made} == made, "run `python -m trsr_lite.serve.schema`"
    assert set(made) == {name for name in SCHEMA["$defs"] if name.endswith("Params")}


def test_a_parameter_of_the_schema_has_the_bounds_and_the_default_of_its_option() -> None:
    made = schema.params()
    assert made["RecommendParams"]["properties"]["k"].items() >= {"minimum": 1, "default": 10}.items()
    assert made["UserParams"]["properties"]["strategy"]["enum"] == ["hierarchical", "recurrent", "none", None]
    assert made["UpdateParams"]["properties"]["priority"]["default"] == "low"
    assert (made["UserParams"]["required"], made["UpdateParams"]["required"]) == (["user"], ["item"])


def test_the_schema_is_one_and_knows_every_method() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"]["Request"]["properties"]["method"]["enum"] == list(METHODS)
    assert [one["properties"]["method"]["const"] for one in SCHEMA["$defs"]["Request"]["oneOf"]] == list(METHODS)


def test_feedback_comes_in_with_the_history_and_with_an_update(connect: Connect) -> None:
    client = connect()
    history = [{**item(f"f{number}"), "feedback": "dislike" if number == 2 else None} for number in range(5)]
    reader = {"user_id": "u", "history": history, "rating_scale": [1, 5]}
    assert client.call("summarize", user=reader)["summary"] is None  # four are liked
    assert client.call("update", user=reader, item={**item("g"), "rating": 4})["summary"] is not None
    assert client.call("update", user=reader, item={**item("g"), "rating": 2})["summary"] is None


def test_wrong_feedback_is_refused_with_the_words_that_are_allowed(connect: Connect) -> None:
    client = connect()
    client.expects("wrong", "summarize")
    params = {"user": {"user_id": "u", "history": [{**item("f"), "feedback": "meh"}]}}
    request = {"jsonrpc": "2.0", "id": "wrong", "method": "summarize", "params": params}
    client.write(json.dumps(request).encode() + b"\n")
    assert "'meh' is not known; it must be like, dislike or skip" in client.error("wrong")["message"]
