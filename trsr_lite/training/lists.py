"""What the recommender learns from: users of a data set, their summaries, and lists of candidates.

Invariant: summaries are made by the model that will serve, with the plan and the cache of inference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from trsr_lite.blocks import split
from trsr_lite.datasets.dataset import Dataset, Example
from trsr_lite.engine.base import Tokenizer
from trsr_lite.errors import DataError
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.training import validation
from trsr_lite.training.rows import Row, build

Summarizer = Callable[[Sequence[Sequence[Item]]], Sequence["str | None"]]
"""Histories to summaries, in order."""


@dataclass(frozen=True)
class HeldOut:
    """One list to rank, as the model sees it: the summary, the recent items, candidates and their labels."""

    summary: str | None
    recent: tuple[Item, ...]
    candidates: tuple[Item, ...]
    labels: tuple[int, ...]

    def row(self, settings: Settings, tokenizer: Tokenizer) -> Row:
        """Its prompts."""
        return build(self.recent, self.summary, self.candidates, self.labels, settings, tokenizer)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        items = {name: [_plain(item) for item in getattr(self, name)] for name in ("recent", "candidates")}
        return {"summary": self.summary, **items, "labels": self.labels}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HeldOut:
        """What `to_dict` made."""
        recent, candidates = (tuple(map(Item.from_dict, data[name])) for name in ("recent", "candidates"))
        return cls(data["summary"], recent, candidates, tuple(data["labels"]))


class Lists:
    """Rows of a data set's training users, and of at most `validation_users` held-out ones."""

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        tokenizer: Tokenizer,
        summarizer: Summarizer | None,
        validation_users: int,
    ) -> None:
        self.dataset, self.settings, self.tokenizer = dataset, settings, tokenizer
        self.train = list(dataset.numbers("train"))
        held_out = list(dataset.numbers("validation"))[:validation_users]
        for part, found in (("training", self.train), ("validation", held_out)):
            if not found:
                raise DataError(
                    f"{dataset.options.data}: no {part} user is left",
                    hint="give more users, or change `--validation`, `--test`, `--min-items` or `--max-items`",
                )
        numbers = [*self.train, *held_out]
        self._summaries: dict[int, str | None] = dict.fromkeys(numbers)
        if summarizer:
            histories = list(dataset.histories(numbers))
            self._summaries.update(zip(numbers, summarizer(histories), strict=True))
        self.lists = [self._list(dataset.example(number), self._summaries[number]) for number in held_out]
        self.validation = [one.row(settings, tokenizer) for one in self.lists]

    def row(self, number: int, epoch: int) -> Row:
        """The row of a training case; its negatives and their order change with the epoch."""
        return self._list(self.dataset.example(number, epoch=epoch), self._summaries[number]).row(
            self.settings, self.tokenizer
        )

    def metrics(self, scores: Sequence[np.ndarray[Any, Any]]) -> dict[str, float]:
        """Validation metrics of the scores of `validation`."""
        return validation.ranking(scores, self.validation)

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the data."""
        counts = {name: len(self.dataset.numbers(name)) for name in ("train", "validation", "test")}
        return {"files": self.dataset.digests, "cases": counts, "report": self.dataset.report.to_dict()}

    def _list(self, example: Example, summary: str | None) -> HeldOut:
        recent = split(example.history, **self.settings.cut).recent
        return HeldOut(summary, recent, example.candidates, example.labels)


def write(lists: Sequence[HeldOut], path: Path) -> None:
    """Keep lists as JSON Lines: what conversion checks the ranking on."""
    path.write_bytes(b"".join(orjson.dumps(one.to_dict()) + b"\n" for one in lists))


def read(path: Path) -> list[HeldOut]:
    """Lists that `write` kept."""
    return [HeldOut.from_dict(orjson.loads(line)) for line in path.read_bytes().splitlines()]


def _plain(item: Item) -> dict[str, Any]:
    return {"id": item.id, **item.attributes}
