"""People who read, buy and install: what they like, what they did, and what they were shown next.

Each person has one to four topics of one domain, of different weight; the weights drift from the first item to the
last; some items are noise, and shoppers come back to a brand. They are shown a text of a present interest or of an
early one, which only a summary can know, among texts of other topics: far ones, others of the same area, and such as
they had before, by interest or by noise. Everything follows from the seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from texts import Text

DOMAIN_WEIGHTS = {"news": 0.4, "product": 0.4, "item": 0.2}
GENERAL_NOUN = 0.15  # of the people whose items are called just that
LENGTHS = ((2, 4, 0.2), (5, 9, 0.3), (10, 15, 0.25), (16, 30, 0.25))  # items of a history: from, to, share
NOISE = 0.3  # at most so many of a person's items are of no interest of theirs
EARLY = 0.3  # of the next items are of what was liked at first
SAME_BRAND = 0.5  # of a shopper's items are of a brand bought before, where the topic has it
HARD = (0.0, 0.3, 0.6)  # of the candidates that are of an area the person likes
VIEWS = (0.25, 0.2, 0.3, 0.25)  # how often items have all attributes, title and category, and description, title only


@dataclass(frozen=True)
class Person:
    """What one person did, and was then shown."""

    name: str
    noun: str
    view: int
    history: tuple[Text, ...]
    shown: tuple[Text, ...]


class World:
    """Texts by topic, of which a part is kept for people that no model is trained on."""

    def __init__(self, texts: Sequence[Text], *, held_out: bool) -> None:
        topics: dict[tuple[str, str, str], list[Text]] = defaultdict(list)
        for text in texts:
            topics[text.domain, text.area, text.topic].append(text)
        kept = [topic for number, topic in enumerate(topics) if (number % 8 == 3) is held_out]
        self.topics = {topic: topics[topic] for topic in kept}
        self.by_domain = {name: [topic for topic in kept if topic[0] == name] for name in DOMAIN_WEIGHTS}

    def person(self, number: int, strange: int, familiar: int, seed: int) -> Person:
        """Person `number`, shown a text of an interest, `strange` ones of other topics, `familiar` ones of any had."""
        rng = np.random.default_rng([seed, number])
        domain = str(rng.choice(list(DOMAIN_WEIGHTS), p=list(DOMAIN_WEIGHTS.values())))
        known = self.by_domain[domain]
        liked = [known[index] for index in rng.choice(len(known), int(rng.integers(1, 5)), replace=False)]
        first, last = (rng.dirichlet([0.8] * len(liked)) for _ in range(2))
        start, end, _ = LENGTHS[int(rng.choice(len(LENGTHS), p=[share for *_, share in LENGTHS]))]
        length = int(rng.integers(start, end + 1))
        noise = NOISE * rng.random()
        history: list[Text] = []
        for place in range(length):
            weights = first + (last - first) * place / max(length - 1, 1)
            topic = liked[int(rng.choice(len(liked), p=weights))]
            if rng.random() < noise:
                topic = known[int(rng.integers(len(known)))]
            history.append(self._new(topic, history, rng))
        early = rng.random() < EARLY
        touched = [index for index, topic in enumerate(liked) if any(_topic(text) == topic for text in history)]
        weights = (first if early else last)[touched] if touched else last
        topic = liked[(touched or range(len(liked)))[int(rng.choice(len(weights), p=weights / weights.sum()))]]
        shown = [self._new(topic, history, rng)]
        shown += self._strange(liked, history, strange, rng)
        noun = "item" if rng.random() < GENERAL_NOUN else domain
        view = int(rng.choice(len(VIEWS), p=VIEWS))
        shown += self._familiar(history, shown, familiar, rng)
        return Person(f"p{number}", noun, view, tuple(history), tuple(shown))

    def _new(self, topic: tuple[str, str, str], history: Sequence[Text], rng: np.random.Generator) -> Text:
        """A text of a topic that the person does not have yet; all of a topic may be used up."""
        fresh = [text for text in self.topics[topic] if text not in history] or self.topics[topic]
        brands = {text.brand for text in history if text.brand}
        again = [text for text in fresh if text.brand in brands]
        pool = again if again and rng.random() < SAME_BRAND else fresh
        return pool[int(rng.integers(len(pool)))]

    def _strange(
        self, liked: Sequence[tuple[str, str, str]], history: Sequence[Text], count: int, rng: np.random.Generator
    ) -> list[Text]:
        had = {_topic(text) for text in history}
        other = [topic for topic in self.by_domain[history[0].domain] if topic not in liked]
        strange = [topic for topic in other if topic not in had]
        if sum(len(self.topics[topic]) for topic in strange) < 2 * count:  # a long history has something of everything
            strange = other
        areas = {topic[1] for topic in liked}
        near = [topic for topic in strange if topic[1] in areas]
        hard = HARD[int(rng.integers(len(HARD)))]
        found: list[Text] = []
        while len(found) < count:
            topics = near if near and rng.random() < hard else strange
            texts = self.topics[topics[int(rng.integers(len(topics)))]]
            text = texts[int(rng.integers(len(texts)))]
            if text not in found and text not in history:
                found.append(text)
        return found

    def _familiar(
        self, history: Sequence[Text], shown: Sequence[Text], count: int, rng: np.random.Generator
    ) -> list[Text]:
        """Texts of topics that were had, each topic as likely as any; fewer where there are no more."""
        known = {*history, *shown}
        pools = {topic: [text for text in self.topics[topic] if text not in known] for topic in map(_topic, history)}
        found: list[Text] = []
        while len(found) < count and (topics := [topic for topic in pools if pools[topic]]):
            pool = pools[topics[int(rng.integers(len(topics)))]]
            found.append(pool.pop(int(rng.integers(len(pool)))))
        return found


def attributes(text: Text, view: int) -> dict[str, str]:
    """A text as an item shows it; sources differ in what they tell."""
    area, topic = text.area.capitalize(), text.topic.capitalize()
    by_domain: dict[str, tuple[dict[str, str], ...]] = {
        "news": (
            {"category": area, "subcategory": topic, "abstract": text.description},
            {"category": topic},
            {"description": text.description},
            {},
        ),
        "product": (
            {"brand": text.brand, "category": f"{area} > {topic}", "description": text.description},
            {"category": area},
            {"description": text.description},
            {"brand": text.brand},
        ),
        "item": (
            {"section": area, "description": text.description},
            {"section": topic},
            {"description": text.description},
            {},
        ),
    }
    return {"title": text.title, **by_domain[text.domain][view]}


def _topic(text: Text) -> tuple[str, str, str]:
    return text.domain, text.area, text.topic
