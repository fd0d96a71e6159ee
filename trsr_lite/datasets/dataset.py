"""A data set as examples: a history, and candidates of which one or more are the user's.

Invariant: an example depends on the options, the items, the user's own sequence and, with popularity negatives, the
training users: never on another held-out user, and never on when or how often it is asked for. A held-out example is
the same in every epoch.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import ModuleType

import numpy as np
import numpy.typing as npt

from trsr_lite import feedback
from trsr_lite.datasets import amazon_m2, jsonl, mind, sources
from trsr_lite.datasets.corpus import Case, Corpus
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.negatives import Sampler
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.selection import Selection, select
from trsr_lite.datasets.splits import ranked
from trsr_lite.errors import DataError
from trsr_lite.records import Item

_READERS: dict[str, ModuleType] = {"mind": mind, "amazon-m2": amazon_m2, "jsonl": jsonl}


@dataclass(frozen=True)
class Example:
    """A list to rank: `labels[i]` is 1 where `candidates[i]` is the user's; the history is oldest first.

    `domain` is what the items are, where the data say so for each user. `relevance[i]` is what `candidates[i]` is worth
    to the user, empty where the data know of clicks alone.
    """

    user_id: str
    history: tuple[Item, ...]
    candidates: tuple[Item, ...]
    labels: tuple[int, ...]
    domain: str | None = None
    relevance: tuple[float, ...] = ()

    @property
    def liked(self) -> Sequence[Item]:
        """The history without what the user disliked or skipped."""
        return feedback.liked(self.history)


class Dataset:
    """Examples by number; made by `load`, and closed by its owner.

    Attributes
    ----------
    options: what it was made with.
    report: what was read and what was passed over.
    digests: file name -> `b2:` hash of its bytes.
    popularity: (items,) training users who have the item, by row.
    users: part -> number of users; the parts are `train`, `validation` and `test`.
    """

    def __init__(
        self, options: DataOptions, corpus: Corpus, report: Report, selection: Selection, digests: dict[str, str]
    ) -> None:
        self.options = options
        self.report = report
        self.digests = digests
        self.users = selection.users
        self._corpus = corpus
        self._selection = selection
        self.popularity = _popularity(corpus, selection.training_users)
        self._of_all = Sampler(options.negatives, self.popularity)
        self._of_kind = {
            kind: Sampler(options.negatives, self.popularity, rows) for kind, rows in corpus.kinds().items()
        }

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the temporary disk space back; more than once is fine."""
        self._corpus.close()

    @property
    def item_count(self) -> int:
        """Items that candidates can be drawn from."""
        return self._corpus.item_count

    def numbers(self, part: str) -> Sequence[int]:
        """The examples of a part: `train`, `validation` or `test`."""
        return self._selection.ranges[part]

    def chosen(self, part: str, most: int, seed: int) -> list[int]:
        """At most so many examples of a part, in order. Their users and the seed decide which, not the file."""
        numbers = self.numbers(part)
        if most >= len(numbers):
            return list(numbers)
        names, before = list[str](), Counter[str]()
        for number in numbers:
            user_id = self._cut(number).user_id
            names.append(f"{user_id}\0{before[user_id]}")
            before[user_id] += 1
        return sorted(numbers[index] for index in ranked(names, seed)[:most].tolist())

    def example(self, number: int, *, epoch: int = 0) -> Example:
        """The example of this number; another epoch draws other candidates for a training example."""
        case = self._cut(number)
        training = number in self._selection.ranges["train"]
        digest = hashlib.blake2b(f"{case.user_id}\0{case.positives}".encode(), digest_size=8).digest()
        key = int.from_bytes(digest, "little")
        rng = np.random.default_rng([self.options.seed, epoch if training else 0, key])
        candidates = [*case.positives, *self._negatives(case, number, rng, training)]
        order = rng.permutation(len(candidates)).tolist()
        history = self._had(case)
        items = self._corpus.items(candidates[index] for index in order)
        labels = tuple(int(index < len(case.positives)) for index in order)
        relevance = tuple(case.relevance[candidates[index]] for index in order) if case.relevance else ()
        return Example(case.user_id, tuple(history), tuple(items), labels, case.domain, relevance)

    def examples(self, part: str, *, epoch: int = 0) -> Iterator[Example]:
        """Every example of a part, in order of the numbers."""
        return (self.example(number, epoch=epoch) for number in self.numbers(part))

    def histories(self, numbers: Iterable[int]) -> Iterator[tuple[Item, ...]]:
        """The history of each example, without drawing candidates."""
        return (tuple(self._had(self._cut(number))) for number in numbers)

    def check(self, number: int) -> None:
        """Raise `DataError`, with the user's id, where an example's candidates cannot be drawn."""
        case = self._cut(number)
        if case.negatives:
            return
        sampler, own = self._drawn_from(case, number)
        try:
            sampler.check(self._wanted(number), own)
        except DataError as error:
            raise DataError(f"user {case.user_id!r}: {error}", hint=error.hint) from None

    def domain(self, number: int) -> str | None:
        """What the items of an example are, where the data say so."""
        return self._cut(number).domain

    def items(self) -> Iterator[Item]:
        """Every item, by row."""
        return self._corpus.all_items()

    def counts(self) -> dict[str, int]:
        """Item id -> training users who have it, for items that any of them has."""
        rows = np.flatnonzero(self.popularity)
        counts = self.popularity[rows].tolist()
        return {item.id: count for item, count in zip(self._corpus.items(rows.tolist()), counts, strict=True)}

    def _cut(self, number: int) -> Case:
        """The case as it was when its target came next."""
        return self._corpus.case(int(self._selection.cases[number])).back(int(self._selection.back[number]))

    def _had(self, case: Case) -> list[Item]:
        """The history's items, with the user's feedback."""
        items = self._corpus.items(case.history)
        if not case.said:
            return items
        return [replace(item, feedback=said) for item, said in zip(items, case.said, strict=True)]

    def _negatives(self, case: Case, number: int, rng: np.random.Generator, training: bool) -> list[int]:
        wanted = self._wanted(number)
        if not case.negatives:
            sampler, own = self._drawn_from(case, number)
            known = set(case.sequence)
            # What the user refused is the best example of what the user does not want; held-out lists stay as drawn.
            refused = [row for row in dict.fromkeys(case.refused) if row not in known][:wanted] if training else []
            return [*refused, *sampler.sample(rng, wanted - len(refused), own)]
        if not training or len(case.negatives) <= wanted:
            return list(case.negatives)
        return [int(row) for row in rng.choice(case.negatives, wanted, replace=False)]

    def _wanted(self, number: int) -> int:
        training = number in self._selection.ranges["train"]
        return self.options.train_negatives if training else self.options.test_negatives

    def _drawn_from(self, case: Case, number: int) -> tuple[Sampler, set[int]]:
        """What draws an example's negatives, and the user's own items, which are none."""
        # Later items too: what the user went on to read is no example of what the user does not read.
        whole = self._corpus.case(int(self._selection.cases[number]))
        kind = self._corpus.kind(case.positives[0]) if self._of_kind else None
        return self._of_kind[kind] if kind else self._of_all, {*whole.sequence, *whole.refused}


def load(options: DataOptions) -> Dataset:
    """Read the files that `options` name; raises `DataError` where nothing usable comes out of them."""
    reader = _READERS[options.dataset]
    files = sources.find(options.data, reader.files(options), reader.LAYOUT)
    report = Report(options.data, strict=options.strict)
    corpus = Corpus()
    try:
        reader.read(files, options, corpus, report)
        if corpus.item_count == 0:
            raise DataError(
                f"{files[0].path}: no item can be used",
                hint="; ".join(report.lines()[:3]) or f"expected {reader.LAYOUT}",
            )
        report.read("user", corpus.user_count)
        selection = select(corpus, options, report, files[1].name)
        return Dataset(options, corpus, report, selection, {file.name: file.digest for file in files})
    except BaseException:
        corpus.close()
        raise


def _popularity(corpus: Corpus, training_users: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    counts = np.zeros(corpus.item_count, np.int64)
    training = np.zeros(corpus.user_count, bool)
    training[training_users] = True
    for user, group in groupby(corpus.cases(by_user=True), key=lambda numbered: numbered[1].user):
        if training[user]:
            counts[list({row for _, case in group for row in case.liked})] += 1
    return counts
