"""Which cases of a corpus become examples, in which part.

Invariant: whether a user is kept depends on that user, the options and the number of kept users alone. No case of a
held-out user lies in a training range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trsr_lite.datasets.corpus import Case, Corpus
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.splits import Numbers, ranked, split
from trsr_lite.errors import DataError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Selection:
    """Examples by number: `cases[number]` is a case of the corpus, of which the newest `back[number]` items are cut.

    `ranges` and `users` give the numbers and the count of users of each part.
    """

    cases: Numbers
    back: Numbers
    ranges: dict[str, range]
    users: dict[str, int]
    training_users: Numbers


def select(corpus: Corpus, options: DataOptions, report: Report, source: str) -> Selection:
    """Filter, choose `max_users`, and split; `source` is the file that the lines of the cases count."""
    cases, owners = _kept(corpus, options, report, source)
    users = np.unique(owners)
    if len(users) == 0:
        raise DataError(f"{options.data}: no user is left", hint=_first_reason(report))
    ids = _ids(corpus, users)
    if options.max_users is not None and options.max_users < len(users):
        chosen = np.sort(ranked(ids, options.seed)[: options.max_users])
        for _ in range(len(users) - len(chosen)):
            report.leave_out("user", f"more than {options.max_users:,} users")
        users, ids = users[chosen], [ids[index] for index in chosen]
    splits = split(ids, validation=options.validation, test=options.test, seed=options.seed)
    parts = [np.flatnonzero(np.isin(owners, users[getattr(splits, part)])) for part in PARTS]
    chosen_cases, back = _targets(corpus, cases[parts[0]], options, report, source)
    all_cases = np.concatenate([chosen_cases, cases[parts[1]], cases[parts[2]]])
    ends = np.cumsum([len(chosen_cases), len(parts[1]), len(parts[2])]).tolist()
    return Selection(
        cases=all_cases,
        back=np.concatenate([back, np.zeros(len(all_cases) - len(back), np.int64)]),
        ranges={part: range(start, end) for part, start, end in zip(PARTS, [0, *ends], ends, strict=False)},
        users={part: len(getattr(splits, part)) for part in PARTS},
        training_users=users[splits.train],
    )


def _kept(corpus: Corpus, options: DataOptions, report: Report, source: str) -> tuple[Numbers, Numbers]:
    """Case numbers that pass the filters, and the user of each."""
    kind = "impression" if options.negatives == "impressions" else "user"
    keep = np.zeros(corpus.case_count, bool)
    owners = np.zeros(corpus.case_count, np.int64)
    for number, case in corpus.cases():
        owners[number] = case.user
        reason = _fault(case, options)
        keep[number] = not reason
        if reason:
            report.leave_out(kind, reason, f"{source}:{case.line}")
    numbers = np.flatnonzero(keep)
    return numbers, owners[numbers]


def _fault(case: Case, options: DataOptions) -> str:
    length = len(case.history) + 1
    if length < options.min_items:
        return f"fewer than {options.min_items} items"
    if options.max_items is not None and length > options.max_items:
        return f"more than {options.max_items} items"
    if not case.negatives and case.positives[-1] in case.history:
        return "the last item is already in the history"
    return ""


def _targets(
    corpus: Corpus, cases: Numbers, options: DataOptions, report: Report, source: str
) -> tuple[Numbers, Numbers]:
    """Training cases, repeated for each of the newest positions that can be a target, and how far back it is."""
    if options.targets == 1:
        return cases, np.zeros(len(cases), np.int64)
    found: list[tuple[int, int]] = []
    for number in cases.tolist():
        case = corpus.case(number)
        sequence = case.sequence
        for back in range(min(options.targets, len(sequence) - options.min_items + 1)):
            target = len(sequence) - 1 - back
            if not case.is_target(back):
                report.leave_out("target", "the user disliked or skipped the item", f"{source}:{case.line}")
                continue
            if sequence[target] in sequence[:target]:
                report.leave_out("target", "the item is already in the history before it", f"{source}:{case.line}")
            else:
                found.append((number, back))
    table = np.asarray(found, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _ids(corpus: Corpus, users: Numbers) -> list[str]:
    wanted = np.zeros(corpus.user_count, bool)
    wanted[users] = True
    return [user_id for user_id, kept in zip(corpus.user_ids(), wanted, strict=True) if kept]


def _first_reason(report: Report) -> str:
    lines = [line for line in report.lines() if not line.startswith(("read ", "times ", "noted "))]
    return lines[-1] if lines else "there are no interactions in the files"
