"""Impressions: what was shown to a user at once, and which of it the user chose.

Invariant: no candidate is in the history, and no chosen item is a negative. An impression without both kinds is left
out, and the report says why.
"""

from __future__ import annotations

from collections.abc import Sequence

from trsr_lite.datasets.corpus import Case, Corpus
from trsr_lite.datasets.report import Report


def add(case: Case, corpus: Corpus, report: Report, where: str) -> None:
    """Store a case whose positives and negatives are as the source has them, repetitions included."""
    history, chosen = set(case.history), set(case.positives)
    positives = tuple(row for row in dict.fromkeys(case.positives) if row not in history)
    others = [row for row in dict.fromkeys(case.negatives) if row not in chosen]
    negatives = tuple(row for row in others if row not in history)  # shown again: whoever has read it did choose it
    if not positives:
        reason = "every clicked candidate is already in the history" if case.positives else "no clicked candidate"
        report.leave_out("impression", reason, where)
    elif not negatives:
        reason = "every candidate that was not clicked is in the history"
        report.leave_out("impression", reason if others else "no candidate that was not clicked", where)
    else:
        more = (case.line, case.domain, case.relevance, case.said)
        corpus.add_case(case.user_id, case.history, positives, negatives, *more)


def known(ids: Sequence[str], corpus: Corpus, report: Report, where: str, kind: str, source: str) -> tuple[int, ...]:
    """Rows of the ids; those that `source` has no item for are counted as dropped."""
    rows = []
    for item_id, row in zip(ids, corpus.rows(ids), strict=True):
        if row is None:
            report.drop(kind, f"not in {source}", where, item_id)
        else:
            rows.append(row)
    return tuple(rows)
