"""The facade with scripted engines: what it ranks, what it costs, what it opens, and what it refuses."""

from __future__ import annotations

import dataclasses
import threading
import types
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from trsr_lite import (
    Cancellation,
    Cancelled,
    Closed,
    DataError,
    EngineOptions,
    FakeEngine,
    ModelError,
    Progress,
    Recommender,
    Settings,
    SettingsError,
    User,
)
from trsr_lite.engine.interface import Margin
from trsr_lite.models.bundle import NO_MANIFEST, UNTRAINED, ModelFile
from trsr_lite.models.calibration import Calibration
from trsr_lite.prompts import templates
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.testing import SPECIAL

Make = Callable[..., Recommender]
Opened = list[tuple[str, bool]]
SUMMARIZER, RECOMMENDER = ("summarizer.gguf", False), ("recommender.gguf", False)
ANSWERS = (2 * SPECIAL, 2 * SPECIAL + 1)  # of the scripted engine


def titled(*titles: str) -> list[dict[str, str]]:
    return [{"id": f"c{index}", "title": title} for index, title in enumerate(titles)]


def prefers(words: dict[str, float]) -> Callable[[str], float]:
    """A margin: the value of the word that the candidate's part of a prompt contains."""
    return lambda prompt: max((value for word, value in words.items() if word in prompt), default=0.0)


# Ranking


def test_candidates_are_ranked_by_margin_with_ties_in_their_order(fake_recommender: Recommender, fake: Any) -> None:
    fake.margin = prefers({"tulip": 1.0, "orchid": 2.0})
    result = fake_recommender.recommend({"history": titled("soup")}, titled("tulip a", "orchid", "nettle", "tulip b"))
    assert [(entry.rank, entry.item.id, entry.margin) for entry in result.recommendations] == [
        (1, "c1", 2.0),
        (2, "c0", 1.0),
        (3, "c3", 1.0),
        (4, "c2", 0.0),
    ]
    assert [entry.tied for entry in result.recommendations] == [False, True, True, False]


def test_a_noise_floor_marks_what_is_too_close_unless_exact(make_recommender: Make, fake: Any) -> None:
    fake.margin = prefers({"tulip": 1.0, "orchid": 1.25, "nettle": 9.0})
    recommender = make_recommender(noise_floor=0.25)
    user, candidates = {"history": titled("soup")}, titled("tulip", "orchid", "nettle")
    fast = recommender.recommend(user, candidates)
    exact = recommender.recommend(user, candidates, exact=True)
    assert [entry.tied for entry in fast.recommendations] == [False, True, True]
    assert [entry.tied for entry in exact.recommendations] == [False, False, False]


def test_scores_are_calibrated_by_the_bundle(make_recommender: Make, fake: Any) -> None:
    fake.margin = prefers({"tulip": 3.0})
    recommender = make_recommender(calibration=Calibration(temperature=2.0, bias=3.0))
    (entry,) = recommender.recommend({"history": titled("soup")}, titled("tulip")).recommendations
    assert entry.score == 0.5


@pytest.mark.parametrize(("k", "shown"), [(1, 1), (3, 3), (12, 12), (100, 12), (None, 12)])
def test_k_keeps_the_best(fake_recommender: Recommender, news_user: User, k: int | None, shown: int) -> None:
    whole = fake_recommender.recommend(news_user).recommendations
    assert fake_recommender.recommend(news_user, k=k).recommendations == whole[:shown]


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(fake_recommender: Recommender, news_user: User, k: int) -> None:
    with pytest.raises(SettingsError, match=f"k is {k}"):
        fake_recommender.recommend(news_user, k=k)


def test_given_candidates_go_before_the_users_own(fake_recommender: Recommender, news_user: User) -> None:
    result = fake_recommender.recommend(news_user, titled("tulip"))
    assert [entry.item.title for entry in result.recommendations] == ["tulip"]


def test_users_may_be_records_or_parsed_json(fake_recommender: Recommender) -> None:
    data = {"user_id": "u1", "history": titled("soup", "salad"), "candidates": titled("tulip", "orchid")}
    user = User.from_dict(data)
    ways = [
        fake_recommender.recommend(data),
        fake_recommender.recommend(user),
        fake_recommender.recommend(user, data["candidates"]),
        fake_recommender.recommend(data, user.candidates),
        fake_recommender.recommend(data, iter(user.candidates)),
        fake_recommender.recommend(data, iter(data["candidates"])),
    ]
    assert all(way.recommendations == ways[0].recommendations for way in ways)
    assert all(way.user_id == "u1" for way in ways)


def test_every_candidate_is_asked_about_once_after_the_same_prefix(
    fake_recommender: Recommender, news_user: User, fake: Any
) -> None:
    result = fake_recommender.recommend(news_user)
    assert len(fake.scored) == len(news_user.candidates)
    prefix = fake.scored[0][: result.stats.prefix_tokens]
    for candidate, asked in zip(news_user.candidates, fake.scored, strict=True):
        assert asked.startswith(prefix)
        assert candidate.title in asked[len(prefix) :]
    assert result.summary is not None and result.summary in prefix
    assert all(item.title[:20] in prefix for item in news_user.history[-5:])
    assert result.stats.candidate_tokens == sum(len(asked) - len(prefix) for asked in fake.scored)


def test_a_model_that_wants_an_opening_token_gets_one_in_a_whole_scoring_prompt(
    fake_recommender: Recommender, store: SummaryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.tiny_gguf import write_llama
    from trsr_lite.engine.llama import LlamaEngine

    path = write_llama(tmp_path / "opening.gguf", add_bos=True)
    whole: list[list[int]] = []

    def margins(
        engine: LlamaEngine, prefix: list[int], suffixes: list[list[int]], answers: Any, **options: Any
    ) -> list[Margin]:
        whole.extend([*prefix, *suffix] for suffix in suffixes)
        return [Margin(0.0, 1.0) for _ in suffixes]

    monkeypatch.setattr(LlamaEngine, "margins", margins)
    with Recommender(
        fake_recommender.bundle, store, lambda file, *_: LlamaEngine(path, identity=file.digest, vocab_only=True)
    ) as recommender:
        recommender.recommend({"history": titled("soup")}, titled("tulip", "orchid"))
    engine = LlamaEngine(path, identity="opening", vocab_only=True)
    (opening,) = engine.tokenize(())
    engine.close()
    assert len(whole) == 2
    assert all(tokens[0] == opening and tokens.count(opening) == 1 for tokens in whole)


def test_item_ids_and_the_user_id_are_never_shown_to_a_model(fake_recommender: Recommender, fake: Any) -> None:
    history = [{"id": f"SECRET{index}", "title": f"article {index}"} for index in range(11)]
    user = {"user_id": "SECRET", "history": history, "candidates": [{"id": "SECRET", "title": "tulip"}]}
    fake_recommender.recommend(user)
    assert len(fake.prompts) == 3 and len(fake.scored) == 1
    assert not any("SECRET" in prompt for prompt in [*fake.prompts, *fake.scored])


# What it costs


def test_a_cached_user_opens_no_model_only_the_vocabulary_of_the_one_that_ranks(
    make_recommender: Make, news_user: User, opened: Opened, fake: Any
) -> None:
    first = make_recommender().recommend(news_user)
    assert opened == [SUMMARIZER, RECOMMENDER]
    opened.clear()
    second = make_recommender().recommend(news_user)
    assert opened == [("recommender.gguf", True)]
    assert (first.stats.summary_calls, first.stats.summary_cache_hits) == (5, 0)
    assert (second.stats.summary_calls, second.stats.summary_cache_hits) == (0, 5)
    assert second.stats.generated_tokens == 0 < first.stats.generated_tokens
    assert (second.summary, second.recommendations) == (first.summary, first.recommendations)
    assert len(fake.prompts) == 5


def test_a_cached_summary_opens_nothing(make_recommender: Make, news_user: User, opened: Opened) -> None:
    make_recommender().summarize(news_user)
    assert opened == [SUMMARIZER]
    opened.clear()
    make_recommender().summarize(news_user)
    assert opened == []


def test_each_model_is_opened_once(fake_recommender: Recommender, news_user: User, opened: Opened) -> None:
    for end in (10, 15, 23):
        fake_recommender.recommend(dataclasses.replace(news_user, history=news_user.history[:end]))
    fake_recommender.describe()
    assert opened == [SUMMARIZER, RECOMMENDER]


def test_one_file_in_both_roles_is_opened_once(
    make_recommender: Make, news_user: User, opened: Opened, tmp_path: Path
) -> None:
    file = ModelFile(tmp_path / "both.gguf", "b2:both", 1)
    make_recommender(summarizer=file, recommender=file).recommend(news_user)
    assert opened == [("both.gguf", False)]


def test_only_one_model_holds_a_kv_cache(
    store: SummaryStore, news_user: User, fake_recommender: Recommender, fake: Any
) -> None:
    holding: set[str] = set()
    most: list[int] = []

    class Holding(type(fake)):  # type: ignore[misc]
        def generate(self, *arguments: Any, **options: Any) -> Any:
            holding.add(self.identity)
            most.append(len(holding))
            return super().generate(*arguments, **options)

        def margins(self, *arguments: Any, **options: Any) -> Any:
            holding.add(self.identity)
            most.append(len(holding))
            return super().margins(*arguments, **options)

        def release(self) -> None:
            holding.discard(self.identity)

    bundle = fake_recommender.bundle
    with Recommender(bundle, store, lambda file, vocab_only, on_load: Holding(identity=file.digest)) as recommender:
        for end in (10, 20):
            recommender.recommend(dataclasses.replace(news_user, history=news_user.history[:end]))
    assert most == [1] * 6  # each time: the blocks, their merge, the ranking


def test_a_cold_user_is_ranked_without_a_summary(fake_recommender: Recommender, opened: Opened) -> None:
    result = fake_recommender.recommend({"history": titled("soup")}, titled("tulip"))
    assert (result.summary, result.nodes, result.stats.blocks, result.stats.summary_calls) == (None, (), 0, 0)
    assert opened == [RECOMMENDER]


def test_strategy_none_uses_recent_items_only(make_recommender: Make, news_user: User, opened: Opened) -> None:
    result = make_recommender(Settings(strategy="none")).recommend(news_user)
    assert (result.strategy, result.summary) == ("none", None)
    assert opened == [RECOMMENDER]


def test_dropped_recent_items_are_counted(make_recommender: Make, news_user: User) -> None:
    recommender = make_recommender(Settings(strategy="none", prompt_tokens=700))
    assert 0 < recommender.recommend(news_user).stats.dropped_items < 5


def test_progress_names_stages_and_fractions(fake_recommender: Recommender, news_user: User) -> None:
    seen: list[Progress] = []
    fake_recommender.recommend(news_user, progress=seen.append)
    assert {progress.stage for progress in seen} >= {"summarize", "score"}
    assert all(0.0 <= progress.fraction <= 1.0 for progress in seen)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """What calls and models take for the time: `now`, in seconds."""
    found = types.SimpleNamespace(now=100.0)
    for module in ("session", "pool"):
        monkeypatch.setattr(f"trsr_lite.models.{module}.time", types.SimpleNamespace(perf_counter=lambda: found.now))
    return found


def test_progress_counts_all_texts_and_no_time_of_loading(
    fake_recommender: Recommender, store: SummaryStore, news_user: User, fake: Any, clock: types.SimpleNamespace
) -> None:
    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        clock.now += 1000.0
        return dataclasses.replace(fake, identity=file.digest)

    def script(prompt: str) -> str:
        clock.now += 2.0
        return " tea."

    fake.script = script
    seen: list[Progress] = []
    with Recommender(fake_recommender.bundle, store, open_engine) as recommender:
        recommender.recommend(news_user, progress=seen.append)
        texts = [progress for progress in seen if progress.stage == "summarize" and progress.fraction]
        assert [progress.fraction for progress in texts] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
        assert [progress.rate for progress in texts] == [0.5] * 5  # the scripted engine counts prompts


def test_loading_is_announced_where_a_model_is_opened_and_nowhere_else(
    fake_recommender: Recommender, store: SummaryStore, news_user: User, opened: Opened
) -> None:
    seen: list[Progress] = []
    fake_recommender.recommend(news_user, progress=seen.append)
    assert [progress.stage for progress in seen].count("load") == len(opened) == 2
    seen.clear()
    store.clear()
    fake_recommender.recommend(news_user, progress=seen.append)
    assert {progress.stage for progress in seen} == {"summarize", "score"}


def test_a_model_that_was_not_loaded_in_time_took_that_time_too(
    fake_recommender: Recommender, store: SummaryStore, news_user: User, clock: types.SimpleNamespace
) -> None:
    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        clock.now += 1000.0
        raise Cancelled("in the middle of loading, as where a budget ends")

    with Recommender(fake_recommender.bundle, store, open_engine) as recommender:
        seconds = recommender.recommend(news_user, budget=3600.0).stats.seconds
    assert seconds == {"load": 2000.0, "summarize": 0.0, "score": 0.0}


# Many histories


def test_summaries_of_many_are_linked_to_their_users_before_any_is_made(
    fake_recommender: Recommender, store: SummaryStore, fake: Any, news_user: User
) -> None:
    history = news_user.history
    shared, rest = history[:5], history[5:10]

    def script(prompt: str) -> str:
        if len(fake.prompts) == 3:
            raise Cancelled("in the middle of the third text")
        return " tea."

    fake.script = script
    with pytest.raises(Cancelled):
        fake_recommender.summaries([shared + rest, shared, history[10:15]], user_ids=["a", "b", None])
    assert (store.info()["summaries"], store.info()["users"]) == (2, 2)


def test_as_many_users_are_named_as_there_are_histories(fake_recommender: Recommender, news_user: User) -> None:
    with pytest.raises(ValueError, match="2 histories have 1 user ids"):
        fake_recommender.summaries([news_user.history] * 2, user_ids=["a"])


def test_summaries_may_be_had_without_the_items_they_hold(fake_recommender: Recommender, news_user: User) -> None:
    histories = [news_user.history[:10], news_user.history[:3]]
    (whole, _), (bare, none) = (fake_recommender.summaries(histories, nodes=nodes) for nodes in (True, False))
    assert bare == dataclasses.replace(whole, nodes=(), calls=0, hits=3) and none.text is None
    assert len(whole.nodes) == 3


# Other settings


def test_other_settings_are_those_of_a_view_on_the_same_models(
    fake_recommender: Recommender, news_user: User, fake: Any, opened: Opened
) -> None:
    other = fake_recommender.with_settings(fake_recommender.settings.updated(domain="product"))
    for recommender, noun in ((other, "product"), (fake_recommender, "item")):
        recommender.recommend(news_user)
        assert f"### Candidate {noun}" in fake.scored[-1]
    asked = len(fake.scored)
    other.recommend(news_user)
    assert (len(fake.scored), len(opened)) == (asked, 2)
    other.close()
    with pytest.raises(Closed):
        fake_recommender.recommend(news_user)


# JSON


def kinds(value: Any) -> Any:
    """The shape of a value: the names of objects, one entry of a list, and types."""
    if isinstance(value, dict):
        return {name: kinds(entry) for name, entry in value.items()}
    return [kinds(entry) for entry in value[:1]] if isinstance(value, list) else type(value)


RECOMMENDATION = {
    "rank": int, "id": str, "title": str, "score": float, "margin": float, "label_mass": float, "tied": bool,
    "parts": {"model": float}, "because": [],
}  # fmt: skip
SHAPE = {
    "schema": int,
    "user_id": str,
    "strategy": str,
    "summary": str,
    "model": {"name": str, "summarizer": str, "recommender": str, "prompt_version": str},
    "recommendations": [RECOMMENDATION],
    "stats": {
        "history_items": int,
        "blocks": int,
        "summary_calls": int,
        "summary_cache_hits": int,
        "prefix_tokens": int,
        "candidate_tokens": int,
        "evaluated_tokens": int,
        "margin_cache_hits": int,
        "generated_tokens": int,
        "dropped_items": int,
        "seconds": {"load": float, "summarize": float, "score": float},
    },
}


def test_a_ranking_has_the_documented_json(fake_recommender: Recommender, news_user: User) -> None:
    data = fake_recommender.recommend(news_user).to_dict()
    assert kinds(data) == SHAPE
    assert data["schema"] == 1
    assert (data["user_id"], data["strategy"]) == ("news-reader", "hierarchical")
    assert data["model"] == {
        "name": "scripted",
        "summarizer": "b2:summarizer",
        "recommender": "b2:recommender",
        "prompt_version": PROMPT_VERSION,
    }
    assert (data["stats"]["history_items"], data["stats"]["blocks"], data["stats"]["summary_calls"]) == (23, 4, 5)
    assert orjson.loads(orjson.dumps(data)) == data


def test_a_summary_has_the_same_json_without_a_ranking(fake_recommender: Recommender, news_user: User) -> None:
    data = fake_recommender.summarize(news_user).to_dict()
    stats = {**SHAPE["stats"], "seconds": {"load": float, "summarize": float}}
    assert kinds(data) == {
        **{name: kind for name, kind in SHAPE.items() if name != "recommendations"},
        "stats": stats,
    }


def test_explaining_adds_every_summary_with_its_source(make_recommender: Make, news_user: User) -> None:
    make_recommender().summarize(dataclasses.replace(news_user, history=news_user.history[:15]))
    summaries = make_recommender().recommend(news_user).to_dict(explain=True)["summaries"]
    assert [entry["kind"] for entry in summaries] == ["block"] * 4 + ["merge"]
    assert [entry["source"] for entry in summaries] == ["cache"] * 3 + ["fresh"] * 2
    assert [entry["items"] for entry in summaries[:2]] == [
        [item.id for item in news_user.history[start : start + 5]] for start in (0, 5)
    ]
    assert all(entry["text"] for entry in summaries)


@pytest.mark.parametrize(("trained", "hint"), [(True, None), (False, UNTRAINED), (None, NO_MANIFEST)])
def test_a_result_says_what_it_is_worth(
    make_recommender: Make, news_user: User, trained: bool | None, hint: str | None
) -> None:
    recommender = make_recommender(trained=trained)
    assert recommender.recommend(news_user).hint == recommender.summarize(news_user).hint == hint


# Seeing the prompts


def test_the_shown_prompts_are_the_ones_that_models_get(
    fake_recommender: Recommender, news_user: User, opened: Opened, fake: Any
) -> None:
    before = fake_recommender.prompt(news_user)
    assert [name for name, _ in before if not name.startswith("scoring")] == [f"block {n} of 5" for n in range(1, 5)]
    assert opened == [("summarizer.gguf", True), ("recommender.gguf", True)]
    assert fake.prompts == fake.scored == []
    fake_recommender.recommend(news_user)
    after = dict(fake_recommender.prompt(news_user))
    prefix = after["scoring: shared by all candidates"]
    shown = [prefix + after[f"scoring: candidate {item.id}"] for item in news_user.candidates]
    assert shown == fake.scored
    generated = [text.replace("\n\n", "") for name, text in after.items() if not name.startswith("scoring")]
    assert sorted(generated) == sorted(text.replace("\n\n", "") for text in fake.prompts)
    assert len(generated) == 5


def test_a_vocabulary_is_closed_where_the_other_cannot_be_opened(
    fake_recommender: Recommender, store: SummaryStore, news_user: User
) -> None:
    engines: list[FakeEngine] = []

    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        if engines:
            raise ModelError("damaged")
        engines.append(FakeEngine())
        return engines[-1]

    with (
        Recommender(fake_recommender.bundle, store, open_engine) as recommender,
        pytest.raises(ModelError, match="damaged"),
    ):
        recommender.prompt(news_user)
    assert [engine.closed for engine in engines] == [True]


def test_a_prompt_can_be_shown_without_candidates(fake_recommender: Recommender) -> None:
    names = [name for name, _ in fake_recommender.prompt({"history": titled("soup")})]
    assert names == ["scoring: shared by all candidates"]


# What is refused


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([], "no candidates"),
        (None, "no candidates"),
        ([{"id": "c1"}], r"candidates\[0\]: no text"),
        ([{"id": "c1", "title": "\u200b"}], r"candidates\[0\]: no visible text"),
    ],
)
def test_candidates_that_cannot_be_ranked_are_refused_before_a_model_is_opened(
    fake_recommender: Recommender, opened: Opened, candidates: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fake_recommender.recommend({"history": titled("soup")}, candidates)
    assert opened == []


def test_an_item_without_a_chosen_attribute_is_refused_before_a_model_is_opened(
    make_recommender: Make, news_user: User, opened: Opened
) -> None:
    recommender = make_recommender(Settings(attributes=("brand",)))
    for call in (recommender.recommend, recommender.summarize):
        with pytest.raises(DataError, match=r"'n01'.*brand"):
            call(news_user)
    assert opened == []


def test_a_candidate_that_is_too_long_is_named(fake_recommender: Recommender) -> None:
    with pytest.raises(DataError, match="candidate 'c1'"):
        fake_recommender.recommend({"history": titled("soup")}, titled("tulip", "x" * 5000))


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (titled("soup", 9000 * "x"), "candidate 'c1': its title alone needs"),
        ([{"id": "c1"}], r"candidates\[0\]: no text"),
    ],
)
def test_candidates_can_be_checked_before_there_is_a_user(
    fake_recommender: Recommender, opened: Opened, candidates: Any, message: str
) -> None:
    fake_recommender.check_candidates(one for one in titled("soup", "tulip"))
    with pytest.raises(DataError, match=message):
        fake_recommender.check_candidates(candidates)
    assert all(vocab_only for _, vocab_only in opened)


def test_a_recommender_of_another_bundle_is_refused(make_recommender: Make, news_user: User) -> None:
    assert make_recommender(answers=ANSWERS).recommend(news_user).recommendations
    with pytest.raises(ModelError, match=r"recommender\.gguf.*\(1, 2\)"):
        make_recommender(answers=(1, 2)).recommend(news_user)


def test_a_recommender_whose_answers_are_several_tokens_is_refused(
    fake_recommender: Recommender, store: SummaryStore, news_user: User
) -> None:
    class Characters(FakeEngine):
        def tokenize(self, prompt: Any, *, start: bool = True) -> list[int]:
            return [ord(character) for text, _ in prompt for character in text]

    bundle = fake_recommender.bundle
    with (
        Recommender(bundle, store, lambda file, vocab_only, on_load: Characters()) as recommender,
        pytest.raises(ModelError, match=r"recommender\.gguf.*'yes'"),
    ):
        recommender.recommend(news_user)


# Closing and forgetting


def test_a_closed_recommender_refuses_work(fake_recommender: Recommender, news_user: User, opened: Opened) -> None:
    fake_recommender.summarize(news_user)
    opened.clear()
    fake_recommender.close()
    for use in (
        lambda: fake_recommender.recommend(news_user),
        lambda: fake_recommender.summarize(news_user),
        lambda: fake_recommender.prompt(news_user),
        lambda: fake_recommender.forget(news_user.user_id),
        fake_recommender.describe,
    ):
        with pytest.raises(Closed):
            use()
    assert opened == []


def test_closing_twice_is_fine_and_closes_every_engine(
    fake_recommender: Recommender, store: SummaryStore, news_user: User, fake: Any
) -> None:
    engines: list[FakeEngine] = []

    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        engines.append(dataclasses.replace(fake, identity=file.digest))
        return engines[-1]

    with Recommender(fake_recommender.bundle, store, open_engine) as recommender:
        recommender.recommend(news_user)
        recommender.prompt(news_user)
        assert [engine.closed for engine in engines] == [False, False, True, True]
    recommender.close()
    assert all(engine.closed for engine in engines)


def test_a_forgotten_user_is_summarized_again(fake_recommender: Recommender, news_user: User) -> None:
    friend = dataclasses.replace(news_user, user_id="friend", history=news_user.history[:10])
    fake_recommender.summarize(news_user)
    fake_recommender.summarize(friend)
    assert fake_recommender.forget(news_user.user_id) == 3  # two blocks and the root; two blocks are shared
    assert fake_recommender.forget(news_user.user_id) == 0
    assert fake_recommender.summarize(friend).stats.summary_calls == 0
    assert fake_recommender.summarize(news_user).stats.summary_calls == 3


@pytest.mark.parametrize("nobody", [None, "", True, 1.5])
def test_forgetting_nobody_is_refused_and_deletes_nothing(
    fake_recommender: Recommender, news_user: User, store: SummaryStore, nobody: Any
) -> None:
    fake_recommender.summarize(news_user)
    before = store.info()
    with pytest.raises(SettingsError, match=f"user_id is {nobody!r}") as caught:
        fake_recommender.forget(nobody)
    assert "cache clear" in (caught.value.hint or "")
    assert store.info() == before


def test_a_user_may_be_forgotten_by_the_number_that_is_the_id(fake_recommender: Recommender) -> None:
    fake_recommender.summarize({"user_id": 7, "history": titled(*(f"article {number}" for number in range(5)))})
    assert fake_recommender.forget(7) == 1


def test_a_user_known_only_from_the_cache_can_be_forgotten(make_recommender: Make, news_user: User) -> None:
    make_recommender().summarize(dataclasses.replace(news_user, user_id=""))
    recommender = make_recommender()
    assert recommender.summarize(news_user).stats.summary_calls == 0
    assert recommender.forget(news_user.user_id) == 5


def test_cancelling_between_two_stages_is_not_lost(
    make_recommender: Make, news_user: User, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = make_recommender(Settings(strategy="none"))
    scoring = templates.scoring

    def cancelled_meanwhile(*arguments: Any, **options: Any) -> Any:
        thread = threading.Thread(target=recommender.cancel)
        thread.start()
        thread.join()
        return scoring(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(templates, "scoring", cancelled_meanwhile)
        with pytest.raises(Cancelled):
            recommender.recommend(news_user)
    assert fake.scored == []
    assert recommender.recommend(news_user).recommendations


def interrupted_once(call: int) -> Callable[[str], str]:
    """A script that is interrupted at this call and goes on at the next."""
    numbers = count(1)

    def script(prompt: str) -> str:
        number = next(numbers)
        if number == call:
            raise KeyboardInterrupt
        return f" topic {number}."

    return script


def test_an_interrupted_call_leaves_the_recommender_usable(fake_recommender: Recommender, fake: Any) -> None:
    fake.script = interrupted_once(3)
    user = {"history": titled(*(f"article {number}" for number in range(20)))}
    with pytest.raises(KeyboardInterrupt):
        fake_recommender.summarize(user)
    stats = fake_recommender.summarize(user).stats
    assert (stats.summary_cache_hits, stats.summary_calls) == (2, 3)


def test_a_user_can_be_forgotten_after_an_interrupted_call(
    fake_recommender: Recommender, news_user: User, store: SummaryStore, fake: Any
) -> None:
    fake.script = interrupted_once(3)
    with pytest.raises(KeyboardInterrupt):
        fake_recommender.summarize(news_user)
    assert store.info()["summaries"] == 2
    assert fake_recommender.forget(news_user.user_id) == 2
    assert store.info()["summaries"] == 0


# Loading


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.gguf: there is no such model"):
        Recommender.load(tmp_path / "absent.gguf", cache_dir=tmp_path / "cache")


def test_settings_of_a_load_replace_those_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights are read at first use")
    with Recommender.load(path, cache_dir=tmp_path / "cache", strategy="recurrent", domain=None) as recommender:
        assert recommender.settings == Settings(strategy="recurrent")
    with pytest.raises(SettingsError, match="strategy is 'flat'"):
        Recommender.load(path, cache_dir=tmp_path / "cache", strategy="flat")


def test_a_file_that_is_no_gguf_is_refused_at_first_use(tmp_path: Path, news_user: User) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"these are no weights")
    with (
        Recommender.load(path, cache_dir=tmp_path / "cache") as recommender,
        pytest.raises(ModelError, match=r"model\.gguf"),
    ):
        recommender.summarize(news_user)


def test_summaries_go_to_the_users_cache_folder_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    with Recommender.load(path) as recommender:
        assert tmp_path / "home" in recommender.store.path.parents
        assert recommender.store.persistent


# Calls at once


def test_a_call_can_be_cancelled_while_it_runs_and_keeps_what_was_finished(
    fake_recommender: Recommender, news_user: User, fake: Any
) -> None:
    stop = Cancellation()
    texts = count(1)

    def script(prompt: str) -> str:
        number = next(texts)
        if number == 2:
            stop.cancel()
        return f" topic {number}."

    fake.script = script
    with pytest.raises(Cancelled):
        fake_recommender.recommend(news_user, cancel=stop)
    assert fake_recommender.summarize(news_user).stats.summary_cache_hits == 2


@pytest.mark.parametrize("name", ["recommend", "summarize", "summaries"])
def test_a_call_that_was_cancelled_before_opens_nothing(
    fake_recommender: Recommender, news_user: User, opened: Opened, name: str
) -> None:
    stop = Cancellation()
    stop.cancel()
    asked = [news_user.history] if name == "summaries" else news_user
    with pytest.raises(Cancelled):
        getattr(fake_recommender, name)(asked, cancel=stop)
    assert opened == []


def test_closing_from_a_callback_ends_the_call_and_frees_everything(
    fake_recommender: Recommender, store: SummaryStore, news_user: User, fake: Any
) -> None:
    engines: list[FakeEngine] = []

    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        engines.append(dataclasses.replace(fake, identity=file.digest))
        return engines[-1]

    recommender = Recommender(fake_recommender.bundle, store, open_engine)

    def close(progress: Progress) -> None:
        if progress.stage == "score":
            recommender.close()

    with pytest.raises(Cancelled):
        recommender.recommend(news_user, progress=close)
    assert [engine.closed for engine in engines] == [True, True]
    with pytest.raises(Closed):
        recommender.recommend(news_user)


def test_calling_a_recommender_from_its_own_callback_is_a_bug_and_no_deadlock(
    fake_recommender: Recommender, news_user: User
) -> None:
    with pytest.raises(RuntimeError, match="callback"):
        fake_recommender.recommend(news_user, progress=lambda _: fake_recommender.summarize(news_user))
    assert fake_recommender.recommend(news_user).recommendations


def test_progress_tells_a_rate_where_tokens_are_counted(fake_recommender: Recommender, news_user: User) -> None:
    seen: list[Progress] = []
    fake_recommender.recommend(news_user, progress=seen.append)
    ends = {progress.stage: progress for progress in seen}
    assert ends["load"].rate is None
    assert all((ends[stage].rate or 0) > 0 for stage in ("summarize", "score"))
    assert all(progress.rate is None for progress in seen if not progress.fraction)


def test_cancelling_while_a_model_is_loaded_leaves_no_half_loaded_one(tmp_path: Path, tiny: Path) -> None:
    user, candidates = {"history": titled("soup")}, titled("tulip", "orchid")
    with Recommender.load(tiny, cache_dir=tmp_path / "cache", options=EngineOptions(threads=1)) as recommender:
        stop = Cancellation()

        def cancel(progress: Progress) -> None:
            if progress.stage == "load" and progress.fraction > 0:
                stop.cancel()

        with pytest.raises(Cancelled):
            recommender.recommend(user, candidates, progress=cancel, cancel=stop)
        assert recommender.loaded == ()
        assert len(recommender.recommend(user, candidates).recommendations) == 2
