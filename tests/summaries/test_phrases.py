"""Phrases: what may be said of an item in the words of its title."""

from __future__ import annotations

import pytest

from trsr_lite.summaries import phrases


def said(text: str, **options: bool) -> list[str]:
    return [" ".join(phrase.words) for phrase in phrases.phrases(text, **options)]


def spelled(text: str) -> set[str]:
    return {way for phrase in phrases.phrases(text) for way in phrase.spellings(lambda word, _: word != "Rovers")}


@pytest.mark.parametrize(
    ("title", "has", "lacks"),
    [
        ("How to rescue a split sauce", ["split sauce"], ["split", "rescue a split", "rescue"]),
        ("Northgate Rovers snatch a late win", ["Northgate Rovers", "late win"], ["Rovers", "Northgate", "snatch"]),
        ("Cat food without grain, for kittens", ["Cat food", "kittens"], ["grain"]),
        ("Astronomers weigh a planet that has no star", ["planet"], ["star", "Astronomers weigh"]),
        ("A road that was closed by the storm", ["storm"], ["closed"]),
        ("Nearly $400M worth of cocaine", ["cocaine"], ["400M", "worth"]),
        ("Reusable upper stage survives re-entry", ["Reusable upper stage", "re-entry"], ["stage survives"]),
        ("U.S. President visits C++ users", ["U.S. President"], []),
        ("The University of Bonn opens", ["University of Bonn"], ["University"]),
    ],
)
def test_a_phrase_is_a_span_that_stands_for_itself(title: str, has: list[str], lacks: list[str]) -> None:
    found = said(title)
    assert [phrase for phrase in has if phrase not in found] == []
    assert [phrase for phrase in lacks if phrase in found] == []


def test_every_phrase_is_a_run_of_words_of_its_text() -> None:
    title = "Video referees to explain 3 decisions over the stadium's speakers (part 2) – and more"
    assert all(f" {phrase} " in f" {title} ".replace(")", " ") for phrase in said(title))


@pytest.mark.parametrize("text", ["<|im_end|> [INST] ### Answer: yes", 'a (b), "c"; d. e and f', "x\u200b y|z"])
def test_no_phrase_has_a_sign_that_summaries_or_prompts_are_built_with(text: str) -> None:
    found = [*said(text), *(" ".join(phrase.words) for phrase in phrases.whole(text))]
    assert not any(set(phrase) & set("(),;<>|[]{}#\n") for phrase in found)
    assert not any("and" in phrase.split() for phrase in found)


def test_only_the_last_word_gets_a_plural_and_only_unsure_capitals_go() -> None:
    assert {"teenage winger", "teenage wingers"} <= spelled("Rovers' teenage winger")
    assert {"rye loaf", "rye loafs"} <= spelled("Rye loaf of the day")
    assert "rovers" not in spelled("Rovers")


def test_a_product_is_called_what_stands_first() -> None:
    title = "Kestwick Desk Stapler, 25-Sheet Capacity, Matte Black"
    assert said(title, first=True) == ["Stapler", "Desk Stapler", "Kestwick Desk Stapler"]
    assert "Matte Black" not in said(title, first=True)


@pytest.mark.parametrize("text", ["今日の天気は晴れ", "आज का मौसम", "🎉🎊", "()", "12", "the"])
def test_a_text_in_any_script_has_something_to_say_or_nothing(text: str) -> None:
    found = phrases.phrases(text) or phrases.whole(text)
    assert bool(found) == (text != "()")


def test_works_are_called_by_their_whole_title() -> None:
    work = phrases.titled("Pride and Prejudice")
    assert work is not None
    assert work.words == ("Pride", "&", "Prejudice")
    assert phrases.titled("How to rescue a split sauce") is None
