"""The summaries that a summarizer should write: every interest, the strongest first.

An interest that several items share is named by its topic, one of a single item by what that item is about: a name for
it would be a guess, which a small model makes wrongly more often than not.

A block's reference follows from its items, a merge's and an update's from their notes alone, as a model has to do it:
what stands first in a note, in several notes, or in a newer note counts more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from texts import Text

MOST_TOPICS = 4
MOST_SUBJECTS = 2


@dataclass(frozen=True)
class Interest:
    """A topic, and subjects of it, oldest first."""

    topic: str
    subjects: tuple[str, ...]


def of_block(texts: Sequence[Text]) -> list[Interest]:
    """What the items of a block say: topics by number of items, then the newest."""
    places = {text.topic: place for place, text in enumerate(texts)}
    counts = {topic: sum(text.topic == topic for text in texts) for topic in places}
    order = sorted(places, key=lambda topic: (-counts[topic], -places[topic]))
    return [
        Interest(topic, _few(text.subject for text in texts if text.topic == topic)) for topic in order[:MOST_TOPICS]
    ]


def of_notes(notes: Sequence[Sequence[Interest]]) -> list[Interest]:
    """What notes say together, oldest first."""
    weights: dict[str, float] = {}
    subjects: dict[str, list[str]] = {}
    for age, note in enumerate(notes):
        for place, interest in enumerate(note):
            weight = (1 + 0.1 * age) / (1 + place)
            weights[interest.topic] = weights.get(interest.topic, 0.0) + weight
            subjects.setdefault(interest.topic, []).extend(interest.subjects)
    order = sorted(weights, key=lambda topic: -weights[topic])
    return [Interest(topic, _few(subjects[topic])) for topic in order][:MOST_TOPICS]


def sentence(opening: str, interests: Sequence[Interest]) -> str:
    """One sentence, such as `The reader likes articles about soccer (late saves, transfers) and rye bread.`"""
    parts = [
        f"{one.topic} ({', '.join(one.subjects)})" if len(one.subjects) > 1 else one.subjects[0] for one in interests
    ]
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{opening} {listed}."


def _few(subjects: Iterable[str]) -> tuple[str, ...]:
    """The newest subjects, each once."""
    return tuple(list(dict.fromkeys(subjects))[-MOST_SUBJECTS:])
