"""Recommendations from asyncio: the loop goes on, progress arrives in it, and a cancelled task ends its call."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from trsr_lite import Cancellation, DataError, Progress, Recommender, User, run_async

PATIENCE = 60.0


def test_an_awaited_call_returns_what_the_call_returns(fake_recommender: Recommender, news_user: User) -> None:
    async def main() -> Any:
        return await run_async(fake_recommender.recommend, news_user, k=3)

    assert asyncio.run(main()).recommendations == fake_recommender.recommend(news_user, k=3).recommendations


def test_an_error_is_raised_where_it_is_awaited(fake_recommender: Recommender, news_user: User) -> None:
    with pytest.raises(DataError, match="no candidates"):
        asyncio.run(run_async(fake_recommender.recommend, news_user, []))


def test_progress_is_called_in_the_event_loop(fake_recommender: Recommender, news_user: User) -> None:
    seen: list[tuple[int, Progress]] = []

    async def main() -> None:
        await run_async(
            fake_recommender.recommend, news_user, progress=lambda step: seen.append((threading.get_ident(), step))
        )

    asyncio.run(main())
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert [step.stage for _, step in seen][-1] == "score"


def test_a_cancelled_task_ends_when_its_call_has() -> None:
    events: list[str] = []

    def call(*, cancel: Cancellation) -> None:
        stopped = threading.Event()
        with cancel.telling(stopped.set):
            events.append("runs")
            assert stopped.wait(PATIENCE)
        events.append("stopped")
        cancel.check()

    async def main() -> None:
        task = asyncio.create_task(run_async(call))
        while not events:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        events.append("awaited")

    asyncio.run(main())
    assert events == ["runs", "stopped", "awaited"]


def test_a_task_that_is_cancelled_twice_still_waits_for_its_call() -> None:
    begun, end = threading.Event(), threading.Event()
    events: list[str] = []

    def call(*, cancel: Cancellation) -> None:
        begun.set()
        assert end.wait(PATIENCE)
        events.append("stopped")
        cancel.check()

    async def main() -> None:
        task = asyncio.create_task(run_async(call))
        while not begun.is_set():
            await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
        assert not task.done()
        end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        events.append("awaited")

    asyncio.run(main())
    assert events == ["stopped", "awaited"]


def test_many_tasks_wait_without_holding_up_the_loop(fake_recommender: Recommender, news_user: User, fake: Any) -> None:
    hold, ticks = threading.Event(), 0
    by_length = fake.margin

    def margin(text: str) -> float:
        assert hold.wait(PATIENCE)
        return float(by_length(text))

    fake.margin = margin

    async def main() -> list[Any]:
        nonlocal ticks
        tasks = [asyncio.create_task(run_async(fake_recommender.recommend, news_user)) for _ in range(40)]
        for ticks in range(100):  # noqa: B007
            await asyncio.sleep(0)
        for task in tasks[20:]:
            task.cancel()
        ended = await asyncio.gather(*tasks[20:], return_exceptions=True)
        assert {type(one) for one in ended} == {asyncio.CancelledError}
        hold.set()
        return await asyncio.gather(*tasks[:20])

    results = asyncio.run(main())
    assert all(result.recommendations == results[0].recommendations for result in results)
