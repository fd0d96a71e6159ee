"""Hand-made lists, and systems that follow a script: what tests of evaluation share.

Invariant: nothing is random that a seed does not decide, and a scripted system records every list it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.evaluate import Evaluation
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.systems import Answer
from trsr_lite.records import Item
from trsr_lite.results import OnProgress

Script = Callable[[Example], "Sequence[float] | npt.NDArray[np.float64]"]


def item(name: str, title: str = "") -> Item:
    return Item(name, {"title": title or f"Title {name}"})


def example(user_id: str, labels: Sequence[int], *, titles: Sequence[str] = (), history: int = 2) -> Example:
    """A list of one user, whose candidates no other list has."""
    titles = titles or [f"Title {index}" for index in range(len(labels))]
    candidates = tuple(item(f"{user_id}-{index}", title) for index, title in enumerate(titles))
    return Example(user_id, tuple(item(f"h{index}") for index in range(history)), candidates, tuple(labels))


def lists(count: int, *, size: int = 5, seed: int = 0, **more: Any) -> EvalLists:
    """Lists of one positive each, at a place that the seed decides; numbered from 10."""
    places = np.random.default_rng(seed).integers(0, size, count).tolist()
    examples = [
        example(f"u{number}", [int(index == place) for index in range(size)]) for number, place in enumerate(places)
    ]
    return of(examples, **more)


def of(examples: Sequence[Example], *, counts: Mapping[str, int] | None = None) -> EvalLists:
    known = {one.id: one for each in examples for one in (*each.history, *each.candidates)}
    return EvalLists(dict(enumerate(examples, 10)), list(known.values()), counts, {"made": "by hand"})


class Scripted:
    """A system that scores as a function says; `asked` has the user of every list it was asked for, in order.

    `released` counts the lists that it was asked for before each release.
    """

    def __init__(self, name: str, script: Script, **identity: Any) -> None:
        self.name, self.script = name, script
        self.identity = {"script": name, **identity}
        self.asked: list[str] = []
        self.prepared: list[str] = []
        self.released: list[int] = []

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        self.prepared += [one.user_id for one in examples]
        return 0.0

    def answer(self, example: Example) -> Answer:
        self.asked.append(example.user_id)
        return Answer(np.asarray(self.script(example), np.float64))

    def release(self) -> None:
        self.released.append(len(self.asked))


def noisy(seed: int, strength: float = 1.0) -> Script:
    """Scores that know the labels through a noise of their own, whoever asks and when."""

    def script(example: Example) -> npt.NDArray[np.float64]:
        key = [seed, *example.user_id.encode()]
        return strength * np.array(example.labels) + np.random.default_rng(key).random(len(example.labels))

    return script


def failing(script: Script, error: BaseException, users: Sequence[str]) -> Script:
    """A script that raises for some users."""

    def call(example: Example) -> Any:
        if example.user_id in users:
            raise error
        return script(example)

    return call


def after(script: Script, calls: int, error: BaseException) -> Script:
    """A script that raises once it was called so often."""
    count = 0

    def call(example: Example) -> Any:
        nonlocal count
        count += 1
        if count > calls:
            raise error
        return script(example)

    return call


def timeless(found: Evaluation) -> dict[str, Any]:
    """What an evaluation found, without what depends on the clock."""
    data = found.to_dict()
    for figures in data["systems"].values():
        assert set(figures.pop("seconds_per_list")) == {"value"}
    return data
