"""Partial results of a server: the first order comes before its answer, to whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.recommender.test_signals import signals
from tests.serve.client import Connect
from tests.serve.conftest import Gate
from trsr_lite import Recommender, User
from trsr_lite.models.bundle_signals import BundleSignals

__all__ = ["signals"]  # a fixture


@pytest.fixture
def make_recommender(
    make_recommender: Callable[..., Recommender], signals: BundleSignals
) -> Callable[..., Recommender]:
    """Recommenders on bundles with signals."""
    return lambda **fields: make_recommender(signals=signals, **fields)


def asked(user: User) -> dict[str, Any]:
    def plain(items: Any) -> list[dict[str, Any]]:
        return [{"id": item.id, **item.attributes} for item in items]

    return {"user_id": "u1", "history": plain(user.history), "candidates": plain(user.candidates)}


def test_the_first_order_comes_while_the_model_still_works(connect: Connect, gate: Gate, news_user: User) -> None:
    client = connect()
    number = client.ask("recommend", user=asked(news_user), partial=True, k=3)
    gate.reached()  # a summary is being made
    while not client.partial:
        client.next()
    gate.open()
    final = client.result(number)
    (told,) = client.partial
    assert told["id"] == number
    first = told["result"]
    assert len(first["recommendations"]) == len(final["recommendations"]) == 3
    assert len(first["skipped"]["candidates"]) == len(news_user.candidates)
    assert not any("model" in entry["parts"] for entry in first["recommendations"])
    assert all("model" in entry["parts"] for entry in final["recommendations"]) and "skipped" not in final


@pytest.mark.parametrize("params", [{}, {"partial": False}, {"partial": True, "signals": ["model"]}])
def test_without_a_request_for_it_or_other_signals_there_is_none(
    connect: Connect, news_user: User, params: dict[str, Any]
) -> None:
    client = connect()
    client.call("recommend", user=asked(news_user), **params)
    assert client.partial == []
