"""Grounded summaries: whatever a model would write, what stands there is true of the items."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from trsr_lite import FakeEngine, Item, Settings
from trsr_lite.engine.masks import Mask
from trsr_lite.prompts import templates
from trsr_lite.summaries import phrases, sentence
from trsr_lite.summaries.generate import summarize
from trsr_lite.summaries.grounding import Grounding
from trsr_lite.summaries.plan import Node, plan
from trsr_lite.summaries.store import SummaryStore

NEWS = Settings(domain="news")
TITLES = [
    ("Cup draw sends holders to a small ground", "football"),
    ("Match report: Lindholm United beat Westerby", "football"),
    ("How to rescue a split sauce", "cooking"),
    ("Late penalty saves the champions", "football"),
    ("A rye loaf with a dark crust", "baking"),
    ("The quiet art of tuning a heat pump", "home"),
    ("Reusable upper stage survives re-entry", "space"),
    ("Enceladus orbiter passes its last test", "space"),
    ("Why this winter is the best for watching Jupiter", "astronomy"),
    ("Solar roof on a terraced street", "home"),
]


def items(rows: Sequence[tuple[str, str]] = TITLES) -> list[Item]:
    return [Item(str(place), {"title": title, "category": topic}) for place, (title, topic) in enumerate(rows)]


def written(grammar: sentence.Place, seed: int, room: int = 200) -> str:
    """What a model might write that likes any token as much as another."""
    choose, mask, text = random.Random(seed), Mask(grammar, room), ""
    while allowed := mask.allowed:
        assert len(text) < room
        token = choose.choice(allowed)
        mask.advance(token)
        text += chr(token)
    return text


def block(found: Sequence[Item], settings: Settings = NEWS) -> sentence.Place:
    made = Grounding(settings, FakeEngine()).grammar(Node("block", "key", tuple(found)), {})
    assert isinstance(made, sentence.Place)
    return made


def texts_of(history: Sequence[Item], settings: Settings, folder: Path, **script: object) -> list[str]:
    engine = FakeEngine(obeys=True, **script)  # type: ignore[arg-type]
    store = SummaryStore(folder)
    [summary] = summarize([plan(history, settings, "b2:1")], store, lambda: engine)
    store.close()
    return [node.text for node in summary.nodes]


@pytest.mark.parametrize("seed", range(30))
def test_every_word_is_of_the_items_and_nothing_is_said_twice(seed: int) -> None:
    found = items()[:5]
    text = written(block(found), seed)
    own = {word for item in found for value in item.attributes.values() for word in phrases.key(phrases.words(value))}
    parts = [phrases.words(part) for part in text.replace("(", ",").replace(" and ", ",").replace(")", "").split(",")]
    assert {word for part in parts for word in phrases.key(part)} <= own
    assert len({phrases.key(part) for part in parts}) == len(parts)
    assert text.endswith(".")
    assert text.count("(") == text.count(")") <= 1


@pytest.mark.parametrize("seed", range(10))
def test_a_topic_comes_first_with_details_of_its_own_items(seed: int) -> None:
    text = written(block(items()[:5]), seed)
    topic, inside = text.strip(" .").split(")")[0].split(" (")
    assert topic == "football"
    football = " ".join(title.casefold() for title, kind in TITLES if kind == "football")
    assert all(phrases.singular(detail.strip().casefold()) in football for detail in inside.split(","))


@pytest.mark.parametrize("strategy", ["hierarchical", "recurrent"])
def test_later_summaries_take_from_earlier_items_only_what_was_said(strategy: str, tmp_path: Path) -> None:
    settings = NEWS.updated(strategy=strategy)
    *blocks, root = texts_of(items(), settings, tmp_path)
    opening = templates.opening("news")
    earlier = {key for text in blocks for key in sentence.said(text, opening)}
    fresh = TITLES[5:] if strategy == "recurrent" else []
    may = earlier | {phrase.key for title, _ in fresh for phrase in phrases.phrases(title)}
    assert sentence.said(root, opening) <= may | {(topic,) for _, topic in TITLES}
    assert "football" in root


def test_a_summary_does_not_depend_on_what_is_summarized_beside_it(tmp_path: Path) -> None:
    store, engine = SummaryStore(tmp_path), FakeEngine(obeys=True)
    alone = texts_of(items(), NEWS, tmp_path / "alone")
    both = summarize([plan(each, NEWS, "b2:1") for each in (items()[::-1], items())], store, lambda: engine)
    store.close()
    assert [node.text for node in both[1].nodes] == alone


@pytest.mark.parametrize("room", [8, 12, 20, 30, 60])
@pytest.mark.parametrize("seed", range(5))
def test_a_sentence_ends_within_its_tokens(room: int, seed: int) -> None:
    text = written(block(items()[:5]), seed, room)
    assert len(text) <= room
    assert text.startswith(" ")
    assert text.endswith(".")
    assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    "titles",
    [
        ["今日の天気は晴れ、気温は二十度です。"] * 5,
        ["🎉🎊", "👍🏽", "☕️", "👩‍👩‍👧", "🇺🇳"],
        ["()", "...", "((", "))", "--"],
        ["the", "of", "and", "not", "is"],
        ["x" * 100_000] * 5,
        ["word " * 20_000] * 5,
        ["No sugar", "No salt", "Not here", "Without you", "Never mind"],
        ["<|im_end|>", "<s>", "[INST]", "### Answer", "a|b"],
    ],
)
def test_any_items_make_a_line_that_is_not_empty(titles: list[str], tmp_path: Path) -> None:
    history = [Item(str(place), {"title": title}) for place, title in enumerate(titles)]
    [text] = texts_of(history, Settings(recent_items=5), tmp_path)
    assert text.startswith("The user likes ")
    assert text.endswith(".")
    assert len(text) > len("The user likes .")
    assert "\n" not in text
    assert not set(text) & set("<>|[]")


def test_one_item_five_hundred_times_is_one_interest(tmp_path: Path) -> None:
    history = [Item(str(place), {"title": "A rye loaf", "category": "baking"}) for place in range(500)]
    assert set(texts_of(history, NEWS, tmp_path)) == {"The reader likes articles about rye loaf."}


def test_without_grounding_the_model_writes_freely(tmp_path: Path) -> None:
    free = NEWS.updated(grounded=False)
    engine, store = FakeEngine(script=lambda _: " whatever."), SummaryStore(tmp_path)
    [summary] = summarize([plan(items()[:5], free, "b2:1")], store, lambda: engine)
    store.close()
    assert summary.text == "The reader likes articles about whatever."
