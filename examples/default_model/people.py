"""People who read, buy and install: what they like, what they did, and what they were shown next.

Each person has one to four topics of one domain, of different weight; the weights drift from the first item to the
last; some items are noise, and shoppers come back to a brand. They are shown something of what they had before, next to
items of other topics: far ones, others of the same area, and others that they had as well, by noise or for a weaker
interest. Which one they take is drawn by how fond they are of its topic: having had a topic is not enough, its weight
counts. Part of the weight is from the early items, which only a summary can know. Everything follows from the seed.
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
KEPT = 2  # texts of each topic stay new to a person
EARLY = 0.3  # of a present fondness is what was liked at first
NOTICED, STRANGE = 0.03, 0.002  # fondness of a topic that was only noise, and of one never had
FAMILIAR = (0.0, 0.25, 0.5)  # of the candidates that are of another topic the person had
SAME_BRAND = 0.5  # of a shopper's items are of a brand bought before, where the topic has it
HARD = (0.0, 0.3, 0.6)  # of the rest that are of an area the person likes
VIEWS = (0.25, 0.2, 0.3, 0.25)  # how often items have all attributes, title and category, and description, title only


Topic = tuple[str, str, str]  # domain, area, name


@dataclass(frozen=True)
class Person:
    """What one person did: `history`, then `clicked` and not the rest of what was `shown`."""

    name: str
    noun: str
    view: int
    history: tuple[Text, ...]
    clicked: Text
    shown: tuple[Text, ...]


class World:
    """Texts by topic, of which a part is kept for people that no model is trained on."""

    def __init__(self, texts: Sequence[Text], *, held_out: bool) -> None:
        topics: dict[Topic, list[Text]] = defaultdict(list)
        for text in texts:
            topics[text.domain, text.area, text.topic].append(text)
        kept = [topic for number, topic in enumerate(topics) if (number % 8 == 3) is held_out]
        self.topics = {topic: topics[topic] for topic in kept}
        self.by_domain = {name: [topic for topic in kept if topic[0] == name] for name in DOMAIN_WEIGHTS}

    def person(self, number: int, shown: int, seed: int) -> Person:
        """Person `number`, shown `shown` items besides the one that comes next."""
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
            if len(self._fresh(topic, history)) > KEPT:
                history.append(self._new(topic, history, rng))
        fondness = dict.fromkeys(map(_topic, history), NOTICED)
        present = EARLY * first + (1 - EARLY) * last
        fondness |= {topic: float(weight) for topic, weight in zip(liked, present, strict=True) if topic in fondness}
        listed = self._listed(fondness, set(liked), history, shown + 1, rng)
        odds = np.array([fondness.get(_topic(text), STRANGE) for text in listed])
        clicked = listed.pop(int(rng.choice(len(listed), p=odds / odds.sum())))
        noun = "item" if rng.random() < GENERAL_NOUN else domain
        view = int(rng.choice(len(VIEWS), p=VIEWS))
        return Person(f"p{number}", noun, view, tuple(history), clicked, tuple(listed))

    def _fresh(self, topic: Topic, history: Sequence[Text]) -> list[Text]:
        return [text for text in self.topics[topic] if text not in history]

    def _new(self, topic: Topic, history: Sequence[Text], rng: np.random.Generator) -> Text:
        """A text of a topic that the person does not have yet."""
        fresh = self._fresh(topic, history)
        brands = {text.brand for text in history if text.brand}
        again = [text for text in fresh if text.brand in brands]
        pool = again if again and rng.random() < SAME_BRAND else fresh
        return pool[int(rng.integers(len(pool)))]

    def _listed(
        self,
        fondness: dict[Topic, float],
        liked: set[Topic],
        history: Sequence[Text],
        count: int,
        rng: np.random.Generator,
    ) -> list[Text]:
        """The `count` texts a person is shown: the first of a topic they are fond of."""
        had = list(fondness)
        weights = np.array(list(fondness.values()))
        fitting = had[int(rng.choice(len(had), p=weights / weights.sum()))]
        others = [topic for topic in had if topic != fitting]
        strange = [topic for topic in self.by_domain[fitting[0]] if topic not in fondness and topic not in liked]
        if sum(len(self.topics[topic]) for topic in strange) < 2 * count:  # a long history has something of everything
            strange += others
        areas = {topic[1] for topic in liked}
        near = [topic for topic in strange if topic[1] in areas]
        familiar, hard = (shares[int(rng.integers(len(shares)))] for shares in (FAMILIAR, HARD))
        found = [self._new(fitting, history, rng)]
        while len(found) < count:
            if others and rng.random() < familiar:
                topics = others
            elif near and rng.random() < hard:
                topics = near
            else:
                topics = strange
            text = self._new(topics[int(rng.integers(len(topics)))], history, rng)
            if text not in found:
                found.append(text)
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


def _topic(text: Text) -> Topic:
    return text.domain, text.area, text.topic
