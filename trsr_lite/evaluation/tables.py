"""From outcomes to figures: what each system reaches, how sure that is, and how two systems differ.

Invariant: every system is judged on the same lists. A list that a system could not rank counts as nothing found, and
is counted. Lists stand in the order of their numbers, so that no figure depends on the order of work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.evaluation.outcomes import ListOutcome
from trsr_lite.metrics import calibration, intervals, ranking

KS = (3, 5, 10)
HEADLINE = "recall@3"
ALSO = ("ndcg@10", "auc")  # compared beside the headline metric
Table = Mapping[str, npt.NDArray[np.float64]]
"""Metric -> (lists,) values."""


def table(outcomes: Sequence[ListOutcome]) -> Table:
    """Every metric of every list of one system."""
    each = [_of_list(outcome) for outcome in outcomes]
    return {name: np.array([values[name] for values in each]) for name in _names()}


def system(outcomes: Sequence[ListOutcome], values: Table) -> dict[str, Any]:
    """The figures of one system, as in `trsr-lite evaluate --json`."""
    users = [outcome.user_id for outcome in outcomes]
    found: dict[str, Any] = {name: intervals.mean(values[name], users).to_dict() for name in values}
    masses = {place: one.label_mass for place, one in enumerate(outcomes) if one.label_mass is not None}
    if masses:
        mass = intervals.mean(np.array(list(masses.values())), [users[place] for place in masses])
        found["label_mass"] = mass.to_dict()
    said = [outcome for outcome in outcomes if outcome.probabilities is not None]
    if said:
        probabilities = np.concatenate([np.array(outcome.probabilities) for outcome in said])
        labels = np.concatenate([np.array(outcome.labels) for outcome in said])
        found["calibration_error"] = {"value": round(calibration.error(probabilities, labels), 5)}
    found["seconds_per_list"] = {"value": round(float(np.mean([outcome.seconds for outcome in outcomes])), 4)}
    found["failed"] = sum(outcome.error is not None for outcome in outcomes)
    return found


def comparisons(tables: Mapping[str, Table], against: str, users: intervals.Users) -> list[dict[str, Any]]:
    """Each system against one of them, list by list; `users` are those of the lists.

    The headline metric stands in the entry itself, the other compared metrics below `others`.
    """

    def compared(name: str, metric: str) -> dict[str, Any]:
        return intervals.difference(tables[name][metric], tables[against][metric], users).to_dict()

    return [
        {
            "system": name,
            "against": against,
            "metric": HEADLINE,
            **compared(name, HEADLINE),
            "others": {metric: compared(name, metric) for metric in ALSO},
        }
        for name in tables
        if name != against
    ]


def _names() -> list[str]:
    return [*(f"{name}@{k}" for k in KS for name in ("recall", "mrr", "ndcg")), "auc"]


def _of_list(outcome: ListOutcome) -> dict[str, float]:
    if outcome.scores is None:
        return dict.fromkeys(_names(), 0.0)
    return ranking.summary([(outcome.scores, outcome.labels)], KS)
