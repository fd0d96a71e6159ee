"""The lists that every system ranks, and what is known beside them.

Invariant: a list has at least one of the user's items and one other, and no candidate twice. Lists and their numbers do
not depend on who asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from trsr_lite.datasets import origin
from trsr_lite.datasets.dataset import Dataset, Example
from trsr_lite.errors import DataError
from trsr_lite.io.documents import documents
from trsr_lite.io.notes import Notes
from trsr_lite.records import Item, User


@dataclass(frozen=True)
class EvalLists:
    """Lists to rank.

    Attributes
    ----------
    examples: number -> list.
    items: all items that are known, for systems that compare texts.
    counts: item id -> training users who have it; None where nobody counted.
    facts: what they were made from and how that was typed, as plain JSON values.
    """

    examples: Mapping[int, Example]
    items: Sequence[Item]
    counts: Mapping[str, int] | None
    facts: Mapping[str, Any]

    def users(self) -> list[str]:
        """The user of each list, in order of the lists' numbers."""
        return [self.examples[number].user_id for number in sorted(self.examples)]

    def digest(self) -> str:
        """`b2:` hash of everything that a list shows: candidates, labels, histories and their texts."""
        found = hashlib.blake2b(digest_size=20)
        for place, number in enumerate(sorted(self.examples)):
            found.update(b"\n" * (place > 0) + orjson.dumps(self.examples[number]))
        return f"b2:{found.hexdigest()}"

    def warm(self, number: int) -> bool:
        """Whether any training user has one of this list's own items."""
        example, counts = self.examples[number], self.counts or {}
        return any(counts.get(item.id) for item, own in zip(example.candidates, example.labels, strict=True) if own)


def of_dataset(dataset: Dataset, part: str, *, most: int | None, seed: int) -> EvalLists:
    """Held-out lists of a data set; at most `most` of them, chosen by the seed."""
    numbers: Sequence[int] = dataset.numbers(part)
    if not numbers:
        raise DataError(
            f"{dataset.options.data}: no {part} user is left",
            hint=f"give more users, or raise `--{part}`; `--min-items` and `--max-items` leave users out",
        )
    if most is not None:
        numbers = dataset.chosen(part, most, seed)
    facts = {"options": vars(dataset.options), "files": dataset.digests, "part": part, "report": dataset.report.lines()}
    examples = {number: dataset.example(number) for number in numbers}
    counts = dataset.counts() if dataset.users["train"] else None
    return EvalLists(examples, list(dataset.items()), counts, facts)


def of_file(path: str) -> EvalLists:
    """Lists of the user's own making: user records with candidates, and `positives`, the ids of those they chose."""
    examples: dict[int, Example] = {}
    known: dict[str, Item] = {}
    name, found = documents(path)
    notes = Notes()
    for number, (where, data) in enumerate(found, 1):
        user = User.from_dict(data, where, notes=notes)
        examples[number] = _example(user, data.get("positives"), where)
        for item in (*user.history, *user.candidates):
            if known.setdefault(item.id, item).attributes != item.attributes:
                raise DataError(
                    f"{where}: the item {item.id!r} is another than in a list before",
                    hint="one id is one text in all lists: baselines look items up by their ids",
                )
    notes.tell(path)
    if not examples:
        raise DataError(f"{name}: is empty", hint="one object a line: user_id, history, candidates, positives")
    lists = EvalLists(examples, list(known.values()), None, {"lists": name})
    return replace(lists, facts={**lists.facts, "digest": lists.digest()})


def origin_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Which data and users lists were made from, wherever those lay: what other items and counts depend on."""
    return origin.of(facts.get("options", {}), facts.get("files", {}))


def _example(user: User, positives: Any, where: str) -> Example:
    """A list that can be judged; raises `DataError` that starts with `where`."""
    if not isinstance(positives, list) or not positives:
        raise DataError(f"{where}.positives: must be a list of at least one id: the candidates that the user chose")
    ids, own = [item.id for item in user.candidates], set(map(str, positives))
    if missing := sorted(own - set(ids)):
        raise DataError(f"{where}.positives: {missing[0]!r} is not among the candidates")
    if len(own) == len(ids):
        raise DataError(f"{where}.candidates: all of them are positives: there is nothing to rank them against")
    return Example(user.user_id, user.history, user.candidates, tuple(int(name in own) for name in ids))
