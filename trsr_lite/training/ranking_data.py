"""What the recommender learns from: users of a data set, their summaries, and lists of candidates.

Invariant: summaries are made by the model that will serve, with the plan and the cache of inference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import orjson

from trsr_lite.datasets.dataset import Dataset, Example
from trsr_lite.engine.interface import Tokenizer
from trsr_lite.errors import DataError
from trsr_lite.prompts import templates
from trsr_lite.prompts.templates import Scoring
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.summaries.blocks import cut
from trsr_lite.training import validation
from trsr_lite.training.packing import PackedRow, build

NAMED = 3  # items in a message

Summarizer = Callable[[Sequence[Sequence[Item]], Settings], Sequence["str | None"]]
"""Histories to summaries, in order, as the settings say."""


@dataclass(frozen=True)
class RankingExample:
    """One list to rank, as the model sees it: the summary, the recent items, candidates and their labels.

    `relevance` is for training alone, and is not kept in files; `against` is what the user disliked or skipped.
    """

    summary: str | None
    recent: tuple[Item, ...]
    candidates: tuple[Item, ...]
    labels: tuple[int, ...]
    domain: str | None = None
    relevance: tuple[float, ...] = ()
    against: tuple[Item, ...] = ()

    def asked(self, settings: Settings, tokenizer: Tokenizer) -> Scoring:
        """Its prompts, in the nouns of its own domain where it has one."""
        own = settings.updated(domain=self.domain)
        return templates.scoring(self.summary, self.recent, self.candidates, own, tokenizer, against=self.against)

    def row(self, settings: Settings, tokenizer: Tokenizer) -> PackedRow:
        """Its prompts as tokens."""
        own = settings.updated(domain=self.domain)
        history = [*self.against, *self.recent]
        return build(history, self.summary, self.candidates, self.labels, own, tokenizer, self.relevance)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        items = {name: [_plain(item) for item in getattr(self, name)] for name in ("recent", "candidates")}
        data = {"summary": self.summary, **items, "labels": self.labels, "domain": self.domain}
        against = [{"feedback": item.feedback, "item": _plain(item)} for item in self.against]
        return {**data, "against": against} if against else data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RankingExample:
        """What `to_dict` made."""
        recent, candidates = (tuple(map(_item, data[name])) for name in ("recent", "candidates"))
        against = tuple(replace(_item(one["item"]), feedback=one["feedback"]) for one in data.get("against", ()))
        return cls(data["summary"], recent, candidates, tuple(data["labels"]), data.get("domain"), against=against)


class _Shown(NamedTuple):
    """What the row of a training case shows, besides its candidates."""

    user: bool
    summary: bool


class RankingData:
    """Rows of a data set's training users, and of at most `validation_users` held-out ones, chosen by its seed.

    `read` are the epochs and numbers of the training rows that a run will read: who is not shown with a summary in one
    of them is not summarized. None: every training user in the first epoch. `summaries` has a text for each one who is,
    by number, and None where there is nothing to summarize. The held-out users are its last.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        tokenizer: Tokenizer,
        summarizer: Summarizer | None,
        validation_users: int,
        *,
        read: Iterable[tuple[int, int]] | None = None,
        drop_summaries: float = 0.0,
        content_free: float = 0.0,
    ) -> None:
        self.dataset, self.settings, self.tokenizer = dataset, settings, tokenizer
        self.drop_summaries, self.content_free = drop_summaries, content_free
        self.train = list(dataset.numbers("train"))
        held_out = dataset.chosen("validation", validation_users, dataset.options.seed)
        for part, found in (("training", self.train), ("validation", held_out)):
            if not found:
                raise DataError(
                    f"{dataset.options.data}: no {part} user is left",
                    hint="give more users, or change `--validation`, `--test`, `--min-items` or `--max-items`",
                )
        _check_items(dataset, settings, tokenizer)
        shown, summarized = set(held_out), set[int]()
        for epoch, number in ((0, each) for each in self.train) if read is None else read:
            shown.add(number)
            if self._shown(number, epoch).summary:
                summarized.add(number)
        for number in sorted(shown):
            dataset.check(number)
        self.domains = {dataset.domain(number) or settings.domain for number in shown}
        self.summaries: dict[int, str | None] = dict.fromkeys([*sorted(summarized), *held_out])
        if summarizer:
            for domain, members in _by_domain(dataset, self.summaries).items():
                texts = summarizer(_Histories(dataset, members), settings.updated(domain=domain))
                self.summaries.update(zip(members, texts, strict=True))
        self.lists = [self._list(dataset.example(number), self.summaries[number]) for number in held_out]
        self.validation = [one.row(settings, tokenizer) for one in self.lists]

    def row(self, number: int, epoch: int) -> PackedRow:
        """The row of a training case; negatives, their order and what is left out change with the epoch."""
        example, shown = self.dataset.example(number, epoch=epoch), self._shown(number, epoch)
        if not shown.user:
            nobody = RankingExample(None, (), example.candidates, (0,) * len(example.candidates), example.domain)
            return nobody.row(self.settings, self.tokenizer)
        summary = self.summaries[number] if shown.summary else None
        return self._list(example, summary).row(self.settings, self.tokenizer)

    def metrics(self, scores: Sequence[np.ndarray[Any, Any]]) -> dict[str, float]:
        """Validation metrics of the scores of `validation`."""
        return validation.ranking(scores, self.validation)

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the data."""
        counts = {name: len(self.dataset.numbers(name)) for name in ("train", "validation", "test")}
        facts = {"files": self.dataset.digests, "cases": counts, "domains": sorted(self.domains)}
        return {**facts, "report": self.dataset.report.to_dict()}

    def _shown(self, number: int, epoch: int) -> _Shown:
        without_summary, without_user = np.random.default_rng([self.dataset.options.seed, epoch, number]).random(2)
        user = bool(without_user >= self.content_free)
        return _Shown(user, user and bool(without_summary >= self.drop_summaries))

    def _list(self, example: Example, summary: str | None) -> RankingExample:
        blocks = cut(example.history, self.settings)
        shown = (summary, blocks.recent, example.candidates, example.labels)
        return RankingExample(*shown, example.domain, example.relevance, blocks.against)


class _Histories(Sequence[Sequence[Item]]):
    """Of users by number, read where they are asked for: memory does not grow with the users."""

    def __init__(self, dataset: Dataset, numbers: Sequence[int]) -> None:
        self._dataset, self._numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Sequence[Item]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sequence[Item]]: ...
    def __getitem__(self, place: int | slice) -> Sequence[Any]:
        if isinstance(place, slice):
            return list(self._dataset.histories(self._numbers[place]))
        return next(iter(self._dataset.histories([self._numbers[place]])))


def _check_items(dataset: Dataset, settings: Settings, tokenizer: Tokenizer) -> None:
    """Raise `DataError` where items cannot be asked of: one would end the run where it is drawn, perhaps hours on."""
    ids, first = list[str](), None
    for item in dataset.items():
        try:
            templates.check(item, settings, tokenizer)
        except DataError as error:
            first = first or error
            ids.append(item.id)
    if first is None:
        return
    named = ", ".join(map(repr, ids[1 : 1 + NAMED])) + (", …" if len(ids) > 1 + NAMED else "")
    others = f"; {len(ids) - 1:,} more cannot be asked of: {named}" if ids[1:] else ""
    hint = first.hint or "choose `--attributes` that every item has, or take these items out of the data"
    raise DataError(f"{first}{others}", hint=hint)


def _by_domain(dataset: Dataset, numbers: Iterable[int]) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = {}
    for number in numbers:
        found.setdefault(dataset.domain(number), []).append(number)
    return found


def write(lists: Sequence[RankingExample], path: Path) -> None:
    """Keep lists as JSON Lines: what conversion checks the ranking on."""
    path.write_bytes(b"".join(orjson.dumps(one.to_dict()) + b"\n" for one in lists))


def read(path: Path) -> list[RankingExample]:
    """Lists that `write` kept; raises `DataError` where one is damaged."""
    found: list[RankingExample] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found.append(RankingExample.from_dict(orjson.loads(line)))
        except (ValueError, LookupError, TypeError, DataError) as error:
            raise DataError(
                f"{path}: line {number} is not a list to rank: {error!r}",
                hint="the file was changed or is damaged: bring it back, or train again",
            ) from error
    return found


def _item(data: Any) -> Item:
    return Item.from_dict(data, candidate=True)  # what is called its rating is an attribute


def _plain(item: Item) -> dict[str, Any]:
    return {"id": item.id, **item.attributes}
