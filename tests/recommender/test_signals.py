"""Ranking by signals: what counts, what it costs, what each part adds, and what a budget or a cascade leaves out."""

from __future__ import annotations

import dataclasses
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trsr_lite import FakeEngine, Item, ModelError, Recommender, Settings, SettingsError, User
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle_signals
from trsr_lite.models.bundle import Bundle, ModelFile, load
from trsr_lite.models.bundle_signals import BundleSignals
from trsr_lite.models.calibration import Calibration
from trsr_lite.recommender.queue import Call
from trsr_lite.recommender.reasons import explain
from trsr_lite.results import Recommendation
from trsr_lite.signals import statistics_file
from trsr_lite.signals.fusion import Fusion, Weight
from trsr_lite.signals.statistics_builder import StatisticsBuilder

Make = Callable[..., Recommender]
Opened = list[tuple[str, bool]]
VOCABULARY = ("recommender.gguf", True)
FLOOR = 0.25


@pytest.fixture
def signals(news_user: User, tmp_path: Path) -> BundleSignals:
    """Statistics of the news items; the model's margin counts half of a deviation of 2."""
    builder = StatisticsBuilder()
    builder.add([*news_user.history, *news_user.candidates])
    statistics_file.save(builder.build(), tmp_path / "statistics.npz")
    weights = {"model": Weight(0.5, scale=2.0), "words": Weight(1.0, mean=0.1, scale=0.2), "taste": Weight(0.3)}
    return bundle_signals.make(tmp_path / "statistics.npz", Fusion(weights, temperature=2.0, bias=-1.0), file_digest)


@pytest.fixture
def fused(make_recommender: Make, signals: BundleSignals) -> Callable[..., Recommender]:
    """`fused(**settings)`: a recommender on a bundle with signals."""
    return lambda **settings: make_recommender(Settings(**settings), signals=signals, noise_floor=FLOOR)


def margins(result: Any) -> dict[str, float]:
    return {entry.item.id: entry.margin for entry in result.recommendations}


# What ranks


def test_parts_add_up_to_the_margin_exactly_and_the_model_is_one_of_them(
    fused: Callable[..., Recommender], news_user: User, fake: FakeEngine
) -> None:
    result = fused().recommend(news_user)
    assert len(result.recommendations) == len(fake.scored) == 12
    for entry in result.recommendations:
        assert list(entry.parts) == ["model", "words", "taste"]
        assert np.float32(sum(entry.parts.values())) == np.float32(entry.margin)
        assert entry.label_mass == 1.0
    values = [entry.margin for entry in result.recommendations]
    assert values == sorted(values, reverse=True)
    assert result.summary is not None


def test_a_score_is_the_fusions_chance_of_the_margin(fused: Callable[..., Recommender], news_user: User) -> None:
    for entry in fused().recommend(news_user).recommendations:
        assert entry.score == pytest.approx(1 / (1 + np.exp(-(entry.margin / 2.0 - 1.0))), rel=1e-6)


def test_the_model_alone_ranks_as_it_did_without_signals(
    fused: Callable[..., Recommender], make_recommender: Make, news_user: User, opened: Opened
) -> None:
    alone = fused(signals=("model",)).recommend(news_user)
    assert VOCABULARY not in opened
    assert alone.recommendations == make_recommender(noise_floor=FLOOR).recommend(news_user).recommendations
    assert all(entry.parts == {"model": entry.margin} and entry.because == () for entry in alone.recommendations)


def test_rerank_without_a_fusion_is_refused_rather_than_passed_over(
    make_recommender: Make, news_user: User, opened: Opened
) -> None:
    recommender = make_recommender()
    with pytest.raises(SettingsError, match="rerank is 5, but scripted has no fusion") as caught:
        recommender.recommend(news_user, settings=recommender.settings.updated(rerank=5))
    assert "remove `rerank`" in caught.value.hint
    assert opened == []


def test_rerank_where_the_model_does_not_rank_is_refused(
    fused: Callable[..., Recommender], news_user: User, opened: Opened
) -> None:
    recommender = fused(signals=("taste", "words"))
    with pytest.raises(SettingsError, match="rerank is 5, but the model of scripted is not among the signals"):
        recommender.recommend(news_user, settings=recommender.settings.updated(rerank=5))
    assert opened == []


def test_a_bundles_own_rerank_is_no_fault_of_the_caller(make_recommender: Make, news_user: User) -> None:
    recommender = make_recommender(Settings(rerank=5))
    recommender.bundle = dataclasses.replace(recommender.bundle, settings=recommender.settings)
    assert len(recommender.recommend(news_user, k=3)) == 3


def test_without_the_model_nothing_is_loaded_or_summarized(
    fused: Callable[..., Recommender], news_user: User, fake: FakeEngine, opened: Opened
) -> None:
    result = fused(signals=("taste", "words")).recommend(news_user)
    assert opened == [VOCABULARY]
    assert (fake.prompts, fake.scored) == ([], [])
    assert (result.summary, result.skipped, result.stats.summary_calls) == (None, None, 0)
    assert list(result.stats.seconds) == ["load", "summarize", "score"]
    assert {tuple(entry.parts) for entry in result.recommendations} == {("words", "taste")}
    assert {entry.label_mass for entry in result.recommendations} == {None}


def test_a_call_may_choose_its_own_signals(fused: Callable[..., Recommender], news_user: User) -> None:
    recommender = fused()
    words = recommender.recommend(news_user, settings=recommender.settings.updated(signals=("words",)))
    assert margins(words) == {
        entry.item.id: entry.parts["words"] for entry in recommender.recommend(news_user).recommendations
    }


def test_order_and_company_of_candidates_change_no_margin(
    fused: Callable[..., Recommender], news_user: User, fake: FakeEngine
) -> None:
    fake.margin = lambda prompt: float(len(prompt) % 7)
    recommender = fused()
    whole = margins(recommender.recommend(news_user))
    some = margins(recommender.recommend(news_user, list(reversed(news_user.candidates[3:8]))))
    assert some == {item.id: whole[item.id] for item in news_user.candidates[3:8]}


def test_what_a_candidate_is_like_is_named(fused: Callable[..., Recommender], news_user: User) -> None:
    twin = dataclasses.replace(news_user.history[7], id="twin")
    (entry,) = fused().recommend(news_user, [twin]).recommendations
    assert entry.because[0] == news_user.history[7].id
    assert set(entry.because) <= {item.id for item in news_user.history}
    data = fused().recommend(news_user, [twin]).to_dict()["recommendations"][0]
    assert (data["parts"], data["because"]) == (entry.parts, list(entry.because))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("wrods",), "there is no signal 'wrods'"),
        (("all", "words"), "there is no signal 'all'"),
        (("popularity",), "scripted does not weigh the signal 'popularity'"),
    ],
)
def test_a_signal_that_cannot_count_is_refused(
    fused: Callable[..., Recommender], news_user: User, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        fused(signals=names).recommend(news_user)


def test_a_bundle_without_a_fusion_ranks_by_the_model_alone(
    make_recommender: Make, news_user: User, opened: Opened
) -> None:
    result = make_recommender().recommend(news_user)
    assert VOCABULARY not in opened
    assert [entry.parts for entry in result.recommendations] == [
        {"model": entry.margin} for entry in result.recommendations
    ]
    with pytest.raises(SettingsError, match="scripted has no fusion"):
        make_recommender(Settings(signals=("words",))).recommend(news_user)


# Noise


def test_noise_of_the_model_reaches_the_ranking_by_its_weight(
    fused: Callable[..., Recommender], fake: FakeEngine
) -> None:
    """Half of a deviation of 2: a margin that is 1 higher is a part that is 0.25 higher."""
    steps = {"one": 0.0, "two": FLOOR, "three": 2 * FLOOR + 0.01}
    fake.margin = lambda prompt: next(
        value for name, value in steps.items() if name in prompt.rpartition("###")[0][-40:]
    )
    items = [Item(name, {"title": name}) for name in steps]
    user = User("u", (Item("h", {"title": "nothing of it"}),), tuple(items))
    recommender = fused(signals=("model", "words"))
    fast, exact = (recommender.recommend(user, exact=exact).recommendations for exact in (False, True))
    assert [entry.item.id for entry in fast] == ["three", "two", "one"]
    assert [entry.tied for entry in fast] == [False, True, True]
    assert [entry.tied for entry in exact] == [False, False, False]


# A cascade, and a budget


def test_the_model_scores_the_best_by_the_other_signals_first_and_alone(
    fused: Callable[..., Recommender], news_user: User, fake: FakeEngine
) -> None:
    cheap = fused(signals=("words", "taste")).recommend(news_user).recommendations
    result = fused(rerank=4).recommend(news_user)
    assert len(fake.scored) == 4
    for entry, prompt in zip(cheap, fake.scored, strict=False):
        assert entry.item.title in prompt
    asked = {entry.item.id for entry in cheap[:4]}
    assert {entry.item.id for entry in result.recommendations if "model" in entry.parts} == asked
    assert {entry.item.id for entry in result.recommendations if entry.label_mass is None} == {
        item.id for item in news_user.candidates
    } - asked
    assert len(result.recommendations) == 12 and result.skipped is None


def test_a_budget_without_time_for_the_model_ranks_by_the_rest_and_says_so(
    fused: Callable[..., Recommender], news_user: User
) -> None:
    result = fused().recommend(news_user, budget=0.0)
    cheap = fused(signals=("words", "taste")).recommend(news_user)
    assert margins(result) == margins(cheap) and len(result.recommendations) == 12
    assert result.skipped is not None and result.skipped.candidates == news_user.candidates
    assert all("model" not in entry.parts for entry in result.recommendations)


def test_a_call_whose_turn_does_not_come_in_time_is_ranked_by_the_rest(
    fused: Callable[..., Recommender], news_user: User
) -> None:
    recommender, done = fused(), list[Any]()
    with recommender.queue.take(Call()):  # others have the whole time
        thread = threading.Thread(target=lambda: done.append(recommender.recommend(news_user, budget=0.0)))
        thread.start()
        thread.join(60)
        words = recommender.settings.updated(signals=("words",))
        thread = threading.Thread(
            target=lambda: done.append(recommender.recommend(news_user, budget=0.0, settings=words))
        )
        thread.start()
        thread.join(60)
    result, without = done
    assert len(result.recommendations) == len(without.recommendations) == 12
    assert result.skipped.candidates == news_user.candidates
    assert without.skipped.candidates == () and without.skipped.blocks == 0


def test_a_call_without_its_turn_looks_nothing_up_and_ranks_nothing(
    fused: Callable[..., Recommender], news_user: User
) -> None:
    catalog = types.SimpleNamespace(check=lambda _: None, retrieve=lambda *_: pytest.fail("no time for it"))
    recommender, done = fused(), list[Any]()
    user = dataclasses.replace(news_user, candidates=())
    with recommender.queue.take(Call()):
        thread = threading.Thread(
            target=lambda: done.append(recommender.recommend(user, catalog=catalog, budget=0.0))  # type: ignore[arg-type]
        )
        thread.start()
        thread.join(60)
    assert done[0].recommendations == () and done[0].skipped is not None


def test_closing_closes_the_vocabulary_too(
    fused: Callable[..., Recommender], news_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(FakeEngine, "close", lambda self: closed.append(self.identity))
    recommender = fused(signals=("words",))
    recommender.recommend(news_user)
    recommender.close()
    assert closed == ["b2:recommender"]


# In words


def test_a_sentence_names_what_is_near_what_is_shared_and_what_the_model_says(signals: BundleSignals) -> None:
    user = User("u", (Item("h", {"title": "Comet returns", "section": "Space"}, time=1772500000.0),))
    item = Item("c", {"title": "A comet at dawn", "section": "space"})
    bundle = types.SimpleNamespace(signals=signals, calibration=Calibration(2.0, 1.0))
    entry = Recommendation(1, item, 0.9, 1.0, 1.0, False, {"model": 1.0, "words": 0.25, "taste": 0.0}, ("h",))
    assert explain(entry, user, bundle, "news") == (  # type: ignore[arg-type]
        'like "Comet returns", which you read in March 2026; shares space; the model says yes (0.82); words +0.25'
    )
    unread = dataclasses.replace(entry, parts={"words": 0.0}, because=())
    assert explain(unread, user, bundle, "news") == "nothing in the history speaks for it or against it"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "domain", "said"),
    [
        ((1_772_323_200.0, 1_773_000_000.0), "news", 'like "A" and "B", which you read in March 2026'),
        (
            (1_772_323_200.0, 1_767_225_600.0),
            "product",
            'like "A", which you chose in March 2026, and "B", which you chose in January 2026',
        ),
        ((1_772_323_200.0, None), "item", 'like "A", which you chose in March 2026, and "B"'),
        ((None, 1_772_323_200.0), "item", 'like "A", and "B", which you chose in March 2026'),
        ((None, None), "news", 'like "A" and "B"'),
        ((-9e10, None), "news", 'like "A" and "B"'),
    ],
)
def test_times_of_reading_are_named_where_the_history_has_them(
    times: tuple[float | None, float | None], domain: str, said: str, make_recommender: Make
) -> None:
    history = tuple(Item(name, {"title": name, "url": "a/b"}, time) for name, time in zip("AB", times, strict=True))
    candidate = Item("x", {"title": "X", "url": "a/b"})
    entry = Recommendation(1, candidate, 0.5, 0.0, None, False, {"words": 0.0}, because=("A", "B"))
    assert explain(entry, User("u", history), make_recommender().bundle, domain) == said


@pytest.mark.parametrize(
    ("score", "section", "said"),
    [
        (0.49, "travel", "little in common with what you read; taste -1.00"),
        (0.5, "travel", 'like "Comet returns"; taste -1.00'),
        (0.49, "space", 'like "Comet returns"; shares space; taste -1.00'),
    ],
)
def test_an_unlikely_candidate_is_likened_only_to_what_it_shares_a_value_with(
    make_recommender: Make, score: float, section: str, said: str
) -> None:
    user = User("u", (Item("h", {"title": "Comet returns", "section": "space"}),))
    candidate = Item("x", {"title": "Ten airlines", "section": section})
    entry = Recommendation(1, candidate, score, -1.0, None, False, {"taste": -1.0}, because=("h",))
    assert explain(entry, user, make_recommender().bundle, "news") == said


def test_no_reason_names_what_was_disliked_and_the_model_is_told_so(
    fused: Callable[..., Recommender], news_user: User, fake: FakeEngine
) -> None:
    liking = fused().recommend(news_user)
    near = {name for entry in liking.recommendations for name in entry.because}
    history = [dataclasses.replace(item, feedback="dislike" if item.id in near else None) for item in news_user.history]
    user = dataclasses.replace(news_user, history=tuple(history))
    recommender = fused()
    result = recommender.recommend(user)
    assert near
    for entry in result.recommendations:
        assert not near & set(entry.because)
        said = explain(entry, user, recommender.bundle, "news")
        assert not any(f'"{item.title}"' in said for item in history if item.feedback)
    prompt = dict(recommender.prompt(user))["scoring: shared by all candidates"]
    assert '\nDisliked: "' in prompt
    assert "Disliked" not in dict(recommender.prompt(news_user))["scoring: shared by all candidates"]


def test_the_model_alone_says_its_own_score(make_recommender: Make, news_user: User) -> None:
    recommender = make_recommender()
    entry = recommender.recommend(news_user).recommendations[0]
    said = "yes" if entry.score >= 0.5 else "no"
    assert explain(entry, news_user, recommender.bundle, "news") == f"the model says {said} ({entry.score:.2f})"


# A real vocabulary and a real table of embeddings


@pytest.fixture
def tiny_bundle(tiny: Path, tmp_path: Path, news_user: User) -> Path:
    """A bundle on a tiny model, whose statistics know the tokens of its tokenizer."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    model, statistics = folder / "model.gguf", folder / "statistics.npz"
    model.write_bytes(tiny.read_bytes())
    vocabulary = LlamaEngine(model, identity="", vocab_only=True)
    builder = StatisticsBuilder(vocabulary, Rows(model))
    builder.add([*news_user.history, *news_user.candidates])
    statistics_file.save(builder.build(), statistics)
    vocabulary.close()
    fusion = Fusion({"tokens": Weight(1.0, scale=0.1), "recent": Weight(0.5, scale=0.1), "words": Weight(0.1)})
    file = ModelFile(model, file_digest(model), model.stat().st_size, "F32")
    settings = Settings(strategy="none", item_tokens=20)
    Bundle("tiny", file, file, settings, signals=bundle_signals.make(statistics, fusion, file_digest)).write(folder)
    return folder


def test_token_vectors_rank_from_the_models_own_table_and_load_no_weights(
    tiny_bundle: Path, tmp_path: Path, news_user: User
) -> None:
    with Recommender.load(tiny_bundle, cache_dir=tmp_path / "cache") as recommender:
        result = recommender.recommend(news_user)
        assert recommender.loaded == ()
        first = result.recommendations[0]
        assert list(first.parts) == ["tokens", "recent", "words"] and first.parts["tokens"] != 0
        assert set(first.because) <= {item.id for item in news_user.history} and first.because
        again = recommender.recommend(news_user, list(reversed(news_user.candidates)))
        assert margins(again) == margins(result)


def test_statistics_of_another_tokenizer_are_refused(tiny_bundle: Path, tmp_path: Path, news_user: User) -> None:
    path, before = tiny_bundle / "statistics.npz", load(tiny_bundle, file_digest)
    statistics_file.save(dataclasses.replace(statistics_file.load(path), tokenizer="b2:other"), path)
    assert before.signals is not None
    signals = bundle_signals.make(path, before.signals.fusion, file_digest)
    dataclasses.replace(before, signals=signals).write(tiny_bundle)
    with (
        Recommender.load(tiny_bundle, cache_dir=tmp_path / "cache") as recommender,
        pytest.raises(ModelError, match="made with another tokenizer"),
    ):
        recommender.recommend(news_user)


# The first answer


def test_the_first_order_is_there_before_a_model_is_opened(
    fused: Callable[..., Recommender], news_user: User, opened: Opened, fake: FakeEngine
) -> None:
    told: list[Any] = []

    def partial(result: Any) -> None:
        told.append((result, list(opened), len(fake.scored), len(fake.prompts)))

    final = fused().recommend(news_user, k=5, partial=partial)
    ((first, had_opened, scored, prompts),) = told
    assert set(had_opened) <= {VOCABULARY} and scored == prompts == 0
    alone = fused(signals=("words", "taste")).recommend(news_user, k=5)
    assert margins(first) == margins(alone)
    assert [entry.because for entry in first] == [entry.because for entry in alone]
    assert {item.id for item in first.skipped.candidates} == {item.id for item in news_user.candidates}
    assert final.skipped is None and all("model" in entry.parts for entry in final)


def test_the_first_order_does_not_wait_for_the_calls_turn(fused: Callable[..., Recommender], news_user: User) -> None:
    recommender = fused()
    told = threading.Event()
    with recommender.queue.take(Call("other")):
        call = threading.Thread(
            target=recommender.recommend, args=(news_user,), kwargs={"partial": lambda _: told.set()}
        )
        call.start()
        assert told.wait(30)
    call.join(30)


@pytest.mark.parametrize("signals_", [("model",), ("words", "taste")])
def test_where_the_model_ranks_alone_or_not_at_all_there_is_no_first_order(
    fused: Callable[..., Recommender], news_user: User, signals_: tuple[str, ...]
) -> None:
    told: list[Any] = []
    fused(signals=signals_).recommend(news_user, partial=told.append)
    assert told == []


def test_a_bundle_without_signals_tells_no_first_order(make_recommender: Make, news_user: User) -> None:
    told: list[Any] = []
    make_recommender().recommend(news_user, partial=told.append)
    assert told == []
