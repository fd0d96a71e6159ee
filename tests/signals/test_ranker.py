"""Every signal says the same of a candidate in any company, and fused scores are their parts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.signals import worlds
from trsr_lite import Item
from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.signals.fusion import Fusion, Weight
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.statistics import NO_BAGS, Statistics
from trsr_lite.signals.token_table import TokenTable

KNOWN = worlds.items()
STATISTICS = worlds.statistics()
OF_TEXTS = ["tokens", "meaning", "recent", "words", "taste", "specific"]
ALL = [*OF_TEXTS, "attributes", "popularity", "neighbours", "freshness"]

texts = st.text(max_size=30).map(lambda text: text.encode(errors="ignore").decode()).filter(str.strip)
strange = st.builds(
    lambda text, brand, number: Item(f"s{number}", {"title": text, "brand": brand}, None),
    texts,
    texts,
    st.integers(0, 5),
)
ours = st.sampled_from(KNOWN)
some = st.lists(ours | strange, min_size=1, max_size=12)


def test_every_signal_is_there_and_has_one_number_a_candidate() -> None:
    found = worlds.ranker(STATISTICS).numbers(KNOWN[:5], KNOWN[5:20])
    assert list(found) == ALL
    assert all(one.dtype == np.float32 and one.shape == (15,) for one in found.values())
    assert all(np.isfinite(one).all() for one in found.values())


@given(some, some, st.randoms(use_true_random=False))
def test_order_and_company_never_change_a_number(history: list[Item], candidates: list[Item], rng: object) -> None:
    together = worlds.ranker(STATISTICS).numbers(history, candidates)
    order = list(range(len(candidates)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    shuffled = worlds.ranker(STATISTICS).numbers(history, [candidates[place] for place in order])
    alone = [worlds.ranker(STATISTICS).numbers(history, [candidate]) for candidate in candidates[:3]]
    for name, numbers in together.items():
        np.testing.assert_array_equal(shuffled[name], numbers[order])
        np.testing.assert_array_equal([one[name][0] for one in alone], numbers[:3])


def test_a_thousand_in_company_are_each_what_they_are_alone() -> None:
    rng = np.random.default_rng(1)
    topics = list(worlds.TOPICS)
    many = [worlds.item(number, topics[number % 4], rng, words=12) for number in range(1200)]
    history, candidates = many[:200], many[200:]
    ranker = worlds.ranker(STATISTICS)
    together = ranker.rank(history, candidates)
    for place in (0, 17, 998):
        alone = worlds.ranker(STATISTICS).rank(history, [candidates[place]])
        assert alone.scores[0] == together.scores[place]
        assert {name: part[0] for name, part in alone.parts.items()} == {
            name: part[place] for name, part in together.parts.items()
        }
        assert ranker.because(history, candidates)[place] == ranker.because(history, [candidates[place]])[0]


def test_candidates_that_are_taken_in_parts_are_what_they_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    history, candidates = KNOWN[:9], KNOWN[9:40]
    whole, reasons = (getattr(worlds.ranker(STATISTICS), name)(history, candidates) for name in ("rank", "because"))
    monkeypatch.setattr("trsr_lite.signals.ranker.AT_ONCE", 36)  # four candidates
    parts = worlds.ranker(STATISTICS)
    assert parts.rank(history, candidates).scores.tolist() == whole.scores.tolist()
    assert parts.because(history, candidates) == reasons


def test_a_long_history_that_is_known_is_not_forgotten() -> None:
    store = ItemStore(most=12)
    for start in range(3):
        store.numbers(KNOWN[:10], KNOWN[10 + start : 11 + start])
    assert store.generation == 1  # ten, one and one more fit; the thirteenth does not
    store.numbers(KNOWN[:40], [])
    assert len(store.items) == 40


@given(some, some)
def test_what_was_ranked_before_changes_nothing(before: list[Item], history: list[Item]) -> None:
    used = worlds.ranker(STATISTICS)
    used.rank(before, KNOWN)
    fresh = worlds.ranker(STATISTICS).rank(history, KNOWN[:7])
    np.testing.assert_array_equal(used.rank(history, KNOWN[:7]).scores, fresh.scores)


def test_forgetting_items_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ranker, store = worlds.ranker(STATISTICS), ItemStore(most=12)
    monkeypatch.setattr("trsr_lite.signals.ranker.ItemStore", lambda: store)
    small = worlds.ranker(STATISTICS)
    for start in range(0, 60, 5):
        history, candidates = KNOWN[start : start + 6], KNOWN[start + 6 : start + 11]
        assert small.rank(history, candidates).scores.tolist() == ranker.rank(history, candidates).scores.tolist()
    assert store.generation > 3


@given(some, some)
def test_parts_add_up_to_the_score_exactly_in_any_precision(history: list[Item], candidates: list[Item]) -> None:
    found = worlds.ranker(STATISTICS).rank(history, candidates, np.linspace(-3, 3, len(candidates), dtype=np.float32))
    assert set(found.parts) == {"model", *ALL}
    assert sum(part.astype(np.float64) for part in found.parts.values()).tolist() == found.scores.tolist()
    backwards = np.zeros(len(candidates), np.float32)
    for part in reversed(found.parts.values()):
        backwards = backwards + part
    assert backwards.tolist() == found.scores.tolist()
    assert np.isfinite(found.scores).all()


@given(some, ours | strange)
def test_identical_candidates_tie(history: list[Item], candidate: Item) -> None:
    twin = Item(candidate.id, dict(candidate.attributes), candidate.time)
    scores = worlds.ranker(STATISTICS).rank(history, [candidate, KNOWN[3], twin]).scores
    assert scores[0] == scores[2]


@pytest.mark.parametrize("topic", list(worlds.TOPICS))
def test_a_history_of_one_topic_ranks_that_topic_first(topic: str) -> None:
    rng = np.random.default_rng(5)
    history = [worlds.item(1000 + number, topic, rng) for number in range(4)]
    candidates = [worlds.item(2000 + place, name, rng) for place, name in enumerate(worlds.TOPICS)]
    found = worlds.ranker(STATISTICS).numbers(history, candidates)
    for name in ("tokens", "meaning", "recent", "words", "taste", "attributes"):
        assert int(found[name].argmax()) == list(worlds.TOPICS).index(topic), name


def test_without_a_history_only_the_candidates_own_numbers_are_known() -> None:
    found = worlds.ranker(STATISTICS).numbers([], KNOWN[:4])
    known = {name for name, numbers in found.items() if np.isfinite(numbers).all()}
    assert known == {"specific", "popularity", "freshness"}
    assert all(np.isnan(found[name]).all() for name in set(found) - known)
    assert worlds.ranker(STATISTICS).because([], KNOWN[:4]) == [()] * 4


def test_no_candidates_are_no_scores() -> None:
    ranker = worlds.ranker(STATISTICS)
    assert ranker.rank(KNOWN[:3], []).scores.shape == (0,) and ranker.because(KNOWN[:3], []) == []


def test_a_history_of_one_item_and_one_of_ten_thousand_rank() -> None:
    ranker = worlds.ranker(STATISTICS)
    assert np.isfinite(ranker.rank(KNOWN[:1], KNOWN[1:9]).scores).all()
    rng = np.random.default_rng(2)
    long = [worlds.item(number, list(worlds.TOPICS)[number % 4], rng) for number in range(10_000)]
    scores = ranker.rank(long, KNOWN[1:9]).scores
    assert np.isfinite(scores).all() and len(set(scores.tolist())) > 1


def test_candidates_without_known_words_are_neutral_or_unlike() -> None:
    odd = [Item("a", {"title": "?!"}), Item("b", {"title": "zzyzx qwrtp"}), Item("c", {"title": "日本語の文章"})]
    found = worlds.ranker(STATISTICS).numbers(KNOWN[:5], odd)
    assert np.isnan(found["words"][0]) and np.isnan(found["taste"][0]) and np.isnan(found["specific"][0])
    assert found["words"][1:].tolist() == [0, 0]
    assert np.isnan(found["attributes"]).all()  # a title is no value that is shared
    assert np.isnan(found["freshness"]).all()


def test_scripts_without_spaces_share_parts_of_sentences() -> None:
    ranker = worlds.ranker(STATISTICS)
    history = [Item("h", {"title": "東京の天気予報"})]
    words = ranker.numbers(history, [Item("a", {"title": "大阪の天気予報"}), Item("b", {"title": "新しい料理"})])[
        "words"
    ]
    assert words[0] > 0 == words[1]


def test_what_is_absent_is_neutral() -> None:
    fusion = Fusion({"words": Weight(1.0, 0.5, 0.1), "attributes": Weight(2.0, 0.9, 0.1)})
    found = worlds.ranker(STATISTICS, fusion=fusion).rank(KNOWN[:3], [Item("a", {"title": "?!"})])
    assert found.scores.tolist() == [0.0]


def test_without_counters_nobody_is_popular_and_nothing_breaks() -> None:
    found = worlds.ranker(worlds.statistics(users=False)).numbers(KNOWN[:3], KNOWN[3:6])
    assert "popularity" not in found and "neighbours" not in found


def test_an_item_that_nobody_had_is_unpopular_and_no_neighbour() -> None:
    found = worlds.ranker(STATISTICS).numbers(KNOWN[:3], [KNOWN[4], Item("new", {"title": "goal"})])
    assert found["popularity"][0] > found["popularity"][1] == 0
    assert np.isfinite(found["neighbours"][0]) and np.isnan(found["neighbours"][1])


def test_repeating_ones_own_best_word_gains_nothing_or_little() -> None:
    ranker = worlds.ranker(STATISTICS)
    history = [one for one in KNOWN if one.attributes["category"] == "food"][:5]
    texts = ["soup", "soup " * 200, "market soup", "market " + "soup " * 20, "market " + "soup " * 400]
    found = ranker.numbers(history, [Item(f"a{place}", {"title": text}) for place, text in enumerate(texts)])
    for name in ("tokens", "recent", "words", "taste"):
        once, often, mixed, more, most = found[name].tolist()
        assert once == often, name
        assert most - more < 0.25 * (once - mixed), name


def test_without_a_table_the_rest_ranks() -> None:
    ranker = SignalRanker(STATISTICS, worlds.EVEN)
    assert "tokens" not in ranker.names and "words" in ranker.names
    found = ranker.rank(KNOWN[:4], KNOWN[4:9])
    assert "tokens" not in found.parts and np.isfinite(found.scores).all()
    assert all(ranker.because(KNOWN[:4], KNOWN[4:9]))


def test_because_names_the_nearest_items_of_the_history() -> None:
    rng = np.random.default_rng(8)
    history = [worlds.item(500 + place, topic, rng) for place, topic in enumerate(["food", "space", "food", "money"])]
    candidate = Item("x", dict(history[1].attributes))
    for tokens in (True, False):
        found = worlds.ranker(STATISTICS, tokens=tokens).because(history, [candidate], 2)
        assert found[0][0] == "i501" and len(found[0]) <= 2


def test_because_names_an_item_that_was_had_twice_once() -> None:
    found = worlds.ranker(STATISTICS).because([KNOWN[0]] * 6 + [KNOWN[4]], [KNOWN[0]], 2)
    assert found[0][0] == "i0" and len(found[0]) == 2


def test_only_signals_that_are_asked_for_count() -> None:
    margins = np.array([0.5, -0.25], np.float32)
    ranker = SignalRanker(STATISTICS, worlds.EVEN, names=["words"])
    assert list(ranker.rank(KNOWN[:3], KNOWN[3:5], margins).parts) == ["words"]
    alone = SignalRanker(STATISTICS, worlds.EVEN, names=["model"]).rank(KNOWN[:3], KNOWN[3:5], margins)
    assert alone.scores.tolist() == margins.tolist()
    with pytest.raises(SettingsError, match="no signal 'charm'"):
        SignalRanker(STATISTICS, worlds.EVEN, names=["charm"])


def test_a_candidate_that_the_model_was_not_asked_for_is_neutral() -> None:
    fusion = Fusion({"model": Weight(1.0)})
    found = worlds.ranker(STATISTICS, fusion=fusion).rank(KNOWN[:3], KNOWN[3:5], np.array([2, np.nan], np.float32))
    assert found.scores.tolist() == [2.0, 0.0]


class OtherTokenizer(worlds.WordTokenizer):
    def encode(self, text: str) -> list[int]:
        return [token + 1 for token in super().encode(text)]


def test_statistics_of_another_tokenizer_are_refused() -> None:
    assert STATISTICS.row_mean is not None
    table = TokenTable(worlds.Table(), STATISTICS.row_mean)
    with pytest.raises(ModelError, match="another tokenizer") as raised:
        SignalRanker(STATISTICS, worlds.EVEN, tokenizer=OtherTokenizer(), table=table)
    assert raised.value.hint and raised.value.exit_code == 3


def test_a_table_of_another_vocabulary_is_refused() -> None:
    table = worlds.Table()
    table.count = 7
    with pytest.raises(ModelError, match="another tokenizer"):
        SignalRanker(
            STATISTICS, worlds.EVEN, tokenizer=worlds.WordTokenizer(), table=TokenTable(table, table.values[0])
        )


def test_learned_vectors_need_no_table_of_a_model() -> None:
    ranker = SignalRanker(STATISTICS, worlds.EVEN, tokenizer=worlds.WordTokenizer())
    assert "meaning" in ranker.names and "tokens" not in ranker.names
    own = worlds.ranker(STATISTICS).numbers(KNOWN[:3], KNOWN[3:6])["meaning"]
    assert ranker.numbers(KNOWN[:3], KNOWN[3:6])["meaning"].tolist() == own.tolist()


def test_learned_vectors_of_another_tokenizer_are_refused() -> None:
    strange = replace(STATISTICS, learned=replace(worlds.learned(), tokenizer="b2:another"))
    with pytest.raises(ModelError, match="another tokenizer") as raised:
        SignalRanker(strange, worlds.EVEN, tokenizer=worlds.WordTokenizer())
    assert raised.value.exit_code == 3


def test_statistics_without_learned_vectors_do_without_that_signal() -> None:
    ranker = worlds.ranker(replace(STATISTICS, learned=None))
    assert "meaning" not in ranker.names and "tokens" in ranker.names


def test_learned_vectors_know_words_that_no_item_of_the_statistics_has() -> None:
    few = replace(worlds.statistics([KNOWN[0]]), token_sample=NO_BAGS)
    food, space = (Item(topic, {"title": worlds.TOPICS[topic]}) for topic in ("food", "space"))
    near, far = worlds.ranker(few).numbers([food], [Item("a", {"title": "soup oven"}), space])["meaning"].tolist()
    assert near > 0.8 > far


def test_a_number_stands_for_attributes_whatever_the_id() -> None:
    store = ItemStore()
    one, other = Item("a", {"title": "x"}), Item("b", {"title": "x"})
    first, second = store.numbers([one, one], [other, Item("a", {"title": "y"})])
    assert first.tolist() == [0, 0] and second.tolist() == [0, 1]


def test_ids_and_addresses_are_not_read() -> None:
    plain = Item("a", {"title": "goal keeper"})
    noisy = Item("b", {"title": "goal keeper https://example.org/goal", "url": "www.example.org", "id": "league"})
    found = worlds.ranker(STATISTICS).numbers(KNOWN[:8], [plain, noisy])
    assert found["words"][0] == found["words"][1] and found["tokens"][0] == found["tokens"][1]


def test_statistics_of_nothing_rank() -> None:
    found = worlds.ranker(Statistics()).rank(KNOWN[:3], KNOWN[3:9])
    assert np.isfinite(found.scores).all() and "words" in found.parts
