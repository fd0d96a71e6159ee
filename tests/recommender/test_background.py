"""Summaries ahead of their need, models loaded and given back while nobody waits: in one thread at most."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import threading
import time
import types
from collections.abc import Callable
from typing import Any

import pytest

from trsr_lite import (
    Cancellation,
    Cancelled,
    Closed,
    DataError,
    FakeEngine,
    Item,
    ModelError,
    Recommender,
    Settings,
    SettingsError,
    User,
    cancellation,
)
from trsr_lite.models.bundle import ModelFile
from trsr_lite.recommender.queue import Call, CallQueue
from trsr_lite.results import Skipped
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.testing import wait_until, wait_until_queued, wait_until_running

Make = Callable[..., Recommender]
PATIENCE = 60.0


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("trsr-lite")}


@pytest.fixture
def reader(news_user: User) -> User:
    """A reader one article before the third block is complete."""
    return dataclasses.replace(news_user, history=news_user.history[:14])


@pytest.fixture
def article(news_user: User) -> Item:
    return news_user.history[14]


class Gate:
    """A script that stops at its first prompt until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, prompt: str) -> str:
        self.reached.set()
        assert self.open.wait(PATIENCE)
        return f" topic {len(prompt)}."


# Updating


@pytest.mark.parametrize(("said", "counts"), [({"feedback": "dislike"}, 0), ({"feedback": "like"}, 2), ({}, 2)])
def test_what_is_said_of_an_appended_item_decides_whether_it_is_summarized(
    fake_recommender: Recommender, reader: User, article: Item, store: SummaryStore, said: dict[str, Any], counts: int
) -> None:
    fake_recommender.summarize(reader)
    before = store.info()["summaries"]
    updated = fake_recommender.update(reader, article, **said)
    assert updated.history == (*reader.history, dataclasses.replace(article, **said))
    wait_until(lambda: not threads())
    fake_recommender.summarize(updated)
    assert store.info()["summaries"] == before + counts


def test_a_rating_is_feedback_too_and_a_wrong_word_is_named(
    fake_recommender: Recommender, reader: User, article: Item
) -> None:
    rated = dataclasses.replace(reader, rating_scale=(1, 5))
    assert fake_recommender.update(rated, article, rating=2).history[-1].feedback == "dislike"
    with pytest.raises(DataError, match="'bad' is not known; it must be like, dislike or skip"):
        fake_recommender.update(reader, article, feedback="bad")


def test_an_item_is_appended_and_what_it_completes_is_summarized_meanwhile(
    fake_recommender: Recommender, reader: User, article: Item, store: SummaryStore
) -> None:
    fake_recommender.summarize(reader)
    before = store.info()["summaries"]
    updated = fake_recommender.update(reader, article)
    assert updated == dataclasses.replace(reader, history=(*reader.history, article))
    wait_until(lambda: not threads())
    assert store.info()["summaries"] == before + 2  # the third block, and the new root
    assert fake_recommender.recommend(updated).stats.summary_calls == 0


def test_an_item_that_completes_nothing_starts_nothing(
    fake_recommender: Recommender, reader: User, article: Item
) -> None:
    shorter = dataclasses.replace(reader, history=reader.history[:12])
    assert len(fake_recommender.update(shorter, article).history) == 13
    assert not threads()


def test_an_update_may_be_parsed_json(fake_recommender: Recommender) -> None:
    user = fake_recommender.update({"history": [{"id": "a", "title": "soup"}]}, {"id": "b", "title": "tulip"})
    assert [item.id for item in user.history] == ["a", "b"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"id": "x"}, r"history\[14\]: no text"),
        ({"title": "no id"}, r"history\[14\]"),
        ({"id": "x", "title": "soup", "time": "1990-01-01T00:00:00Z"}, r"history\[14\].time: earlier"),
        ({"id": "x", "title": "​"}, "no visible text"),
        ("x", r"history\[14\]"),
    ],
)
def test_an_item_that_does_not_fit_is_refused_and_named(
    fake_recommender: Recommender, reader: User, item: Any, message: str
) -> None:
    timed = dataclasses.replace(
        reader, history=tuple(dataclasses.replace(one, time=1e9 + index) for index, one in enumerate(reader.history))
    )
    with pytest.raises(DataError, match=message):
        fake_recommender.update(timed, item)
    assert not threads()


def test_a_foreground_call_goes_first_and_the_background_goes_on_after_it(
    make_recommender: Make, news_user: User, reader: User, article: Item, fake: FakeEngine
) -> None:
    fake.script = gate = Gate()
    recommender = make_recommender()
    updated = recommender.update(reader, article)
    assert gate.reached.wait(PATIENCE)
    cold = dataclasses.replace(news_user, history=news_user.history[:3])
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(recommender.recommend(cold)))
    thread.start()
    wait_until(lambda: (running := recommender.queue.state()[1]) and running.stopped)
    gate.open.set()
    thread.join(PATIENCE)
    assert done[0].recommendations
    wait_until(lambda: not threads())
    asked = len(fake.prompts)
    assert recommender.summarize(updated).stats.summary_calls == 0
    assert len(fake.prompts) == asked


def test_a_later_update_replaces_an_earlier_one_of_the_same_user(
    make_recommender: Make, news_user: User, fake: FakeEngine
) -> None:
    fake.script = gate = Gate()
    recommender = make_recommender()
    other = dataclasses.replace(news_user, user_id="other", history=news_user.history[5:9])
    recommender.update(other, news_user.history[9])
    assert gate.reached.wait(PATIENCE)
    user = dataclasses.replace(news_user, history=news_user.history[:4])
    for item in news_user.history[4:20]:
        user = recommender.update(user, item)
    waiting, running = recommender.queue.state()
    assert running is not None
    assert [call.user_id for call in (running, *waiting)] == ["other", user.user_id]
    gate.open.set()
    wait_until(lambda: not threads())
    assert recommender.summarize(user).stats.summary_calls == 0


def test_background_work_can_be_cancelled(make_recommender: Make, reader: User, article: Item, fake: Any) -> None:
    fake.script = gate = Gate()
    recommender, stop = make_recommender(), Cancellation()
    updated = recommender.update(reader, article, cancel=stop)
    assert gate.reached.wait(PATIENCE)
    stop.cancel()
    gate.open.set()
    wait_until(lambda: not threads())
    assert 0 < recommender.summarize(updated).stats.summary_cache_hits < 4


def test_a_forgotten_user_is_not_summarized_behind_the_back(
    make_recommender: Make, reader: User, article: Item, fake: Any, store: SummaryStore
) -> None:
    fake.script = gate = Gate()
    recommender = make_recommender()
    recommender.update(reader, article)
    assert gate.reached.wait(PATIENCE)
    thread = threading.Thread(target=recommender.forget, args=(reader.user_id,))
    thread.start()
    wait_until_queued(recommender)
    gate.open.set()
    thread.join(PATIENCE)
    wait_until(lambda: not threads())
    assert store.info()["summaries"] == 0


def test_a_forgotten_user_is_not_summarized_by_work_that_was_replaced_while_it_waited(
    make_recommender: Make, news_user: User, reader: User, article: Item, store: SummaryStore
) -> None:
    recommender = make_recommender()
    with recommender.queue.take(Call()):  # a call in the foreground
        updated = recommender.update(reader, article)
        wait_until_queued(recommender)
        for item in news_user.history[15:20]:
            updated = recommender.update(updated, item)
        thread = threading.Thread(target=recommender.forget, args=(reader.user_id,))
        thread.start()
        wait_until(lambda: "forget" in [call.name for call in recommender.queue.state()[0]])
    thread.join(PATIENCE)
    wait_until(lambda: not threads())
    assert (store.info()["summaries"], store.info()["users"]) == (0, 0)


def test_what_fails_in_the_background_is_logged_without_texts_and_raised_nowhere(
    make_recommender: Make, reader: User, article: Item, fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(prompt: str) -> str:
        raise LookupError(prompt)

    fake.script = fail
    recommender = make_recommender()
    with caplog.at_level(logging.DEBUG):
        updated = recommender.update(reader, article)
        wait_until(lambda: not threads())
    assert [record.getMessage() for record in caplog.records] == ["work in the background failed: LookupError"]
    fake.script = lambda prompt: " soup."
    assert make_recommender().summarize(updated).summary


def test_closing_stops_the_background_and_keeps_what_is_finished(
    make_recommender: Make, reader: User, article: Item, fake: Any, store: SummaryStore
) -> None:
    second, texts = threading.Event(), []

    def script(prompt: str) -> str:
        texts.append(prompt)
        if len(texts) == 2:
            second.set()
            closing.wait(PATIENCE)
        return f" topic {len(texts)}."

    closing = threading.Event()
    fake.script = script
    recommender = make_recommender()
    recommender.update(reader, article)
    assert second.wait(PATIENCE)
    threading.Timer(0.05, closing.set).start()
    recommender.close()
    assert not threads()
    assert store.info()["summaries"] == 2
    with pytest.raises(Closed):
        recommender.update(reader, article)


# Unloading


@pytest.fixture
def engines() -> list[FakeEngine]:
    return []


@pytest.fixture
def made(fake_recommender: Recommender, store: SummaryStore) -> Any:
    """`made(open_engine, **options)`: a recommender that is closed in the end."""
    with contextlib.ExitStack() as opened:
        yield lambda *how, **options: opened.enter_context(Recommender(fake_recommender.bundle, store, *how, **options))


@pytest.fixture
def idle(made: Any, fake: Any, engines: list[FakeEngine]) -> Any:
    """`idle(unload_after=…)`: a recommender whose engines are listed in `engines`."""

    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        engines.append(dataclasses.replace(fake, identity=file.digest))
        return engines[-1]

    return functools.partial(made, open_engine)


def test_idle_models_are_freed_and_opened_again_by_the_next_call(
    idle: Any, news_user: User, engines: list[FakeEngine]
) -> None:
    recommender = idle(unload_after=0.05)
    first = recommender.recommend(news_user)
    wait_until(lambda: len(engines) == 2 and all(engine.closed for engine in engines))
    wait_until(lambda: not threads())
    second = recommender.recommend(news_user)
    assert [engine.closed for engine in engines] == [True, True, False]
    assert second.recommendations == first.recommendations


def test_a_program_may_free_the_models_itself(idle: Any, news_user: User, engines: list[FakeEngine]) -> None:
    recommender = idle()
    first = recommender.recommend(news_user)
    recommender.unload()
    assert [engine.closed for engine in engines] == [True, True]
    assert recommender.recommend(news_user).recommendations == first.recommendations
    recommender.close()
    with pytest.raises(Closed):
        recommender.unload()


def test_models_are_not_freed_while_calls_come(idle: Any, news_user: User, engines: list[FakeEngine]) -> None:
    recommender = idle(unload_after=3600.0)
    for _ in range(3):
        recommender.recommend(news_user)
    assert len(threads()) == 1
    assert [engine.closed for engine in engines] == [False, False]
    recommender.close()
    assert not threads()


def test_a_long_call_is_not_idleness(idle: Any, news_user: User, fake: Any, engines: list[FakeEngine]) -> None:
    seen: list[bool] = []

    def margin(text: str) -> float:
        time.sleep(0.02)
        seen.append(engines[-1].closed)
        return float(len(text))

    fake.margin = margin
    recommender = idle(unload_after=0.05)
    for exact in (False, True):
        recommender.recommend(news_user, exact=exact)
    assert seen == [False] * 24
    wait_until(lambda: all(engine.closed for engine in engines))  # the wait began anew when the call had ended


@pytest.mark.parametrize("option", ["unload_after", "max_memory"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_a_limit_that_cannot_be_is_refused(idle: Any, option: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{option} is {value}"):
        idle(**{option: value})


@pytest.mark.parametrize("never", [math.inf, 1e300])
def test_a_limit_without_end_is_none(idle: Any, news_user: User, engines: list[FakeEngine], never: float) -> None:
    recommender = idle(unload_after=never, max_memory=math.inf)
    result = recommender.recommend(news_user, budget=never)
    assert len(result.recommendations) == 12 and result.skipped is None
    assert not threads(), "nothing waits for a moment that never comes"
    assert [(engine.closed, engine.room) for engine in engines] == [(False, None)] * 2


# Memory


def test_models_stay_together_only_within_half_of_the_memory(
    fake_recommender: Recommender, store: SummaryStore, fake: Any, news_user: User, engines: list[FakeEngine], idle: Any
) -> None:
    bundle = dataclasses.replace(
        fake_recommender.bundle,
        summarizer=dataclasses.replace(fake_recommender.bundle.summarizer, size=100),
        recommender=dataclasses.replace(fake_recommender.bundle.recommender, size=200),
    )
    fake_recommender.bundle = bundle
    for limit, alone in ((600, False), (599, True)):
        engines.clear()
        store.clear()
        idle(max_memory=limit).recommend(news_user)
        assert [engine.closed for engine in engines] == [alone, False]
        assert [engine.room for engine in engines] == [limit - 100, limit - (200 if alone else 300)]


def test_a_base_that_both_roles_share_stays_where_memory_is_scarce(
    fake_recommender: Recommender, store: SummaryStore, fake: Any, news_user: User, engines: list[FakeEngine], idle: Any
) -> None:
    """To free it for the sake of an adapter would load it again at each change of roles."""
    base = dataclasses.replace(fake_recommender.bundle.recommender, size=300)
    adapters = [dataclasses.replace(base, digest=f"b2:{name}", size=10) for name in ("one", "two")]
    summarizer, recommender = (dataclasses.replace(base, adapter=adapter) for adapter in adapters)
    fake_recommender.bundle = dataclasses.replace(
        fake_recommender.bundle, summarizer=summarizer, recommender=recommender
    )
    idle(max_memory=400).recommend(news_user)
    assert [engine.closed for engine in engines] == [False, False]
    assert [engine.room for engine in engines] == [400 - 310, 400 - 320]
    store.clear()
    assert idle(max_memory=400).recommend(news_user, budget=3600.0).skipped is None


@pytest.mark.parametrize(("limit", "alone"), [(600, False), (599, True)])
def test_describing_keeps_to_the_memory_too(
    fake_recommender: Recommender, idle: Any, engines: list[FakeEngine], limit: int, alone: bool
) -> None:
    fake_recommender.bundle = dataclasses.replace(
        fake_recommender.bundle,
        summarizer=dataclasses.replace(fake_recommender.bundle.summarizer, size=100),
        recommender=dataclasses.replace(fake_recommender.bundle.recommender, size=200),
    )
    assert set(idle(max_memory=limit).describe()) == {"summarizer", "recommender"}
    assert [engine.closed for engine in engines] == [alone, False]


def test_weights_beyond_the_limit_are_refused_before_they_are_loaded(
    idle: Any, fake_recommender: Recommender, news_user: User, engines: list[FakeEngine]
) -> None:
    file = dataclasses.replace(fake_recommender.bundle.recommender, size=300 << 20)
    fake_recommender.bundle = dataclasses.replace(fake_recommender.bundle, summarizer=file, recommender=file)
    with pytest.raises(
        ModelError, match=r"recommender\.gguf: its weights take 300 MiB; the memory limit is 200 MiB"
    ) as e:
        idle(max_memory=200 << 20).recommend(news_user)
    assert "300 MiB" in (e.value.hint or "")
    assert engines == []


# A budget


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Timers that go off when a test calls `timers[-1].function()`: a slow machine is not mistaken for a budget."""
    made: list[Any] = []

    class ByHand(threading.Timer):
        def start(self) -> None:
            made.append(self)

    monkeypatch.setattr("trsr_lite.cancellation.threading.Timer", ByHand)
    return made


def test_without_haste_a_budget_changes_nothing(fake_recommender: Recommender, news_user: User) -> None:
    result = fake_recommender.recommend(news_user, budget=3600.0)
    assert result.skipped is None and "skipped" not in result.to_dict()
    assert result.recommendations == fake_recommender.recommend(news_user).recommendations


def test_summaries_have_half_of_the_time_that_is_left_and_scoring_has_the_rest(
    fake_recommender: Recommender, news_user: User, fake: Any, timers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(cancellation, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    take = CallQueue.take

    def waited(self: CallQueue[Call], *arguments: Any, **options: Any) -> Any:
        clock.now += 2.0
        return take(self, *arguments, **options)

    def last_words(prompt: str) -> str:
        clock.now = 105.0
        return " x."

    monkeypatch.setattr(CallQueue, "take", waited)
    fake.script = last_words
    assert fake_recommender.recommend(news_user, budget=11.0).skipped is None
    assert [timer.interval for timer in timers] == [(11.0 - 2.0) / 2, 11.0 - 5.0]


def test_a_budget_scores_the_first_candidates_and_names_the_others(
    make_recommender: Make, news_user: User, fake: Any, timers: list[Any]
) -> None:
    scored: list[str] = []

    def margin(text: str) -> float:
        scored.append(text)
        if len(scored) == 3:
            timers[-1].function()
        return float(len(scored))

    fake.margin = margin
    result = make_recommender().recommend(news_user, budget=3600.0)
    best_first = [news_user.candidates[index] for index in (2, 1, 0)]
    assert [(entry.rank, entry.item) for entry in result.recommendations] == list(enumerate(best_first, 1))
    assert result.skipped is not None and result.skipped.blocks == 0
    assert result.skipped.candidates == news_user.candidates[3:]
    assert result.to_dict()["skipped"] == {"blocks": 0, "candidates": [item.id for item in news_user.candidates[3:]]}
    assert result.summary and result.stats.candidate_tokens == sum(map(len, scored)) - 3 * result.stats.prefix_tokens


@pytest.mark.parametrize("strategy", ["hierarchical", "recurrent"])
def test_a_budget_that_allows_no_new_summary_uses_the_newest_stored_one(
    make_recommender: Make, news_user: User, fake: Any, timers: list[Any], strategy: str
) -> None:
    settings = Settings(strategy=strategy)
    known = make_recommender(settings).summarize(dataclasses.replace(news_user, history=news_user.history[:15]))
    make_recommender(settings).summarize(dataclasses.replace(news_user, history=news_user.history[:10]))

    def slow(prompt: str) -> str:
        timers[-1].function()
        raise Cancelled("by the engine, in the middle of the first text")

    fake.script = slow
    result = make_recommender(settings).recommend(news_user, budget=3600.0)
    assert len(result.recommendations) == 12
    assert result.summary == known.summary
    assert [(node.text, node.source) for node in result.nodes] == [(node.text, "cache") for node in known.nodes]
    assert result.skipped is not None and result.skipped.blocks == 1


def test_what_was_made_before_time_ran_out_counts_as_made_now(
    make_recommender: Make, news_user: User, fake: Any, timers: list[Any]
) -> None:
    settings = Settings(strategy="recurrent")
    make_recommender(settings).summarize(dataclasses.replace(news_user, history=news_user.history[:5]))
    texts = iter([" tea.", " milk."])

    def slow(prompt: str) -> str:
        if text := next(texts, None):
            return text
        timers[-1].function()
        raise Cancelled("by the engine, in the middle of the third text")

    fake.script = slow
    result = make_recommender(settings).recommend(news_user, budget=3600.0)
    assert [node.source for node in result.nodes] == ["cache", "fresh", "fresh"]
    assert (result.stats.summary_calls, result.stats.summary_cache_hits) == (2, 1)


def test_a_user_without_any_summary_is_ranked_by_recent_items_in_haste(
    make_recommender: Make, news_user: User, fake: Any, timers: list[Any]
) -> None:
    def slow(prompt: str) -> str:
        timers[-1].function()
        raise Cancelled("by the engine, in the middle of the first text")

    fake.script = slow
    result = make_recommender().recommend(news_user, budget=3600.0)
    assert result.summary is None and len(result.recommendations) == 12
    assert result.skipped is not None and result.skipped.blocks == 4


@pytest.fixture
def slow(made: Any, fake: Any, opened: list[tuple[str, bool]], timers: list[Any]) -> Any:
    """`slow(**options)`: a recommender whose models take longer to load than any budget, and loads behind a call wait
    until another call waits for them.
    """
    asked: list[Recommender] = []

    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        if threading.current_thread() in threads():
            wait_until_queued(asked[0])
        else:
            timers[-1].function()
        on_load(1, 2)
        opened.append((file.path.name, vocab_only))
        return dataclasses.replace(fake, identity=file.digest)

    def make(**options: Any) -> Recommender:
        asked.append(made(open_engine, **options))
        return asked[-1]

    return make


def test_a_model_that_no_budget_has_time_to_load_is_loaded_behind_the_call(
    slow: Any, news_user: User, opened: list[tuple[str, bool]]
) -> None:
    recommender = slow()
    first = recommender.recommend(news_user, budget=3600.0)
    assert first.recommendations == () and first.skipped.blocks == 4
    wait_until_running(recommender)
    second = recommender.recommend(news_user, budget=3600.0)
    assert len(second.recommendations) == 12 and second.skipped is None
    assert [name for name, _ in opened] == ["summarizer.gguf", "recommender.gguf"]


def test_only_the_recommender_is_loaded_behind_a_call_where_memory_is_scarce(
    slow: Any, news_user: User, opened: list[tuple[str, bool]]
) -> None:
    """The summarizer would take its place again in each call."""
    recommender = slow(max_memory=3)
    assert recommender.recommend(news_user, budget=3600.0).skipped.blocks == 4
    wait_until_running(recommender)
    for _ in range(2):
        result = recommender.recommend(news_user, budget=3600.0)
        assert len(result.recommendations) == 12 and result.skipped.blocks == 4
    assert [name for name, _ in opened] == ["recommender.gguf"]


def test_a_load_behind_a_call_goes_before_the_summaries_that_wait(
    slow: Any, news_user: User, reader: User, article: Item, opened: list[tuple[str, bool]]
) -> None:
    """Each call displaces such a summary, which would be tried again, and displaced again, for ever."""
    recommender = slow()
    recommender.update(reader, article)
    wait_until_running(recommender)

    def ranked() -> bool:
        result = recommender.recommend(news_user, budget=3600.0)
        waiting, running = recommender.queue.state()
        assert len(waiting) + (running is not None) <= 2
        return bool(result.recommendations)

    wait_until(ranked)
    assert [name for name, _ in opened] == ["summarizer.gguf", "recommender.gguf"]


def test_no_time_at_all_scores_nothing_and_says_so(fake_recommender: Recommender, news_user: User) -> None:
    result = fake_recommender.recommend(news_user, budget=0.0)
    assert result.recommendations == ()
    assert result.skipped is not None and result.skipped.candidates == news_user.candidates
    for budget in (-1, math.nan):
        with pytest.raises(SettingsError, match=f"budget is {budget}"):
            fake_recommender.recommend(news_user, budget=budget)


def test_waiting_for_others_counts_against_the_budget(
    make_recommender: Make, news_user: User, reader: User, fake: Any
) -> None:
    fake.script = gate = Gate()
    recommender = make_recommender()
    thread = threading.Thread(target=recommender.summarize, args=(reader,))
    thread.start()
    assert gate.reached.wait(PATIENCE)
    result = recommender.recommend(news_user, budget=0.02)
    gate.open.set()
    thread.join(PATIENCE)
    assert result.recommendations == () and result.skipped is not None
    assert len(result.skipped.candidates) == 12 and result.skipped.blocks == 4


def test_a_call_that_had_no_turn_in_time_says_so_where_a_catalog_was_to_be_asked(
    fake_recommender: Recommender, news_user: User
) -> None:
    catalog = types.SimpleNamespace(check=lambda _: None, retrieve=lambda *_: pytest.fail("no time for it"))
    cold, done = dataclasses.replace(news_user, history=news_user.history[:3]), list[Any]()
    with fake_recommender.queue.take(Call()):  # others have the whole time
        thread = threading.Thread(
            target=lambda: done.append(fake_recommender.recommend(cold, catalog=catalog, budget=0.0))  # type: ignore[arg-type]
        )
        thread.start()
        thread.join(PATIENCE)
    (result,) = done
    assert (result.recommendations, result.skipped) == ((), Skipped(blocks=0, candidates=()))
    assert result.to_dict()["skipped"] == {"blocks": 0, "candidates": []}


def test_cancelling_is_not_mistaken_for_a_budget_that_is_used_up(
    fake_recommender: Recommender, news_user: User, fake: Any
) -> None:
    for stage in ("summarize", "score"):
        stop = Cancellation()

        def cancel(progress: Any, stage: str = stage, stop: Cancellation = stop) -> None:
            if progress.stage == stage:
                stop.cancel()

        with pytest.raises(Cancelled):
            fake_recommender.recommend(news_user, budget=3600.0, progress=cancel, cancel=stop)


def test_a_call_that_is_cancelled_while_it_summarizes_asks_no_catalog(
    fake_recommender: Recommender, news_user: User, fake: Any
) -> None:
    stop = Cancellation()
    catalog = types.SimpleNamespace(check=lambda _: None, retrieve=lambda *_: pytest.fail("it went on"))

    def last_words(prompt: str) -> str:
        stop.cancel()
        raise Cancelled("by the engine, in the middle of the first text")

    fake.script = last_words
    with pytest.raises(Cancelled):
        fake_recommender.recommend(news_user, catalog=catalog, budget=3600.0, cancel=stop)  # type: ignore[arg-type]
