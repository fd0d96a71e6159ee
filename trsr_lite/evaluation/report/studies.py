"""The studies of a page: for each a question, a drawing and a table.

Invariant: what is drawn is in the table too, and a change is shown with how sure it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trsr_lite.evaluation.report import plots
from trsr_lite.evaluation.report.content import (
    NONE,
    Cell,
    Drawing,
    Study,
    Table,
    change_interval,
    figure,
    probability,
    signed,
)

TITLES = {"recall@3": "Recall@3", "mrr@10": "MRR@10", "auc": "AUC"}


def study(name: str, found: Mapping[str, Any]) -> Study:
    """One study, as `Evaluation.studies` has it."""
    metric, axis, table_id = TITLES[found["metric"]], found["axis"], f"table-{name}"
    values: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in found["rows"]:
        values.setdefault(row["variant"], {})[row["system"]] = row[found["metric"]]
    heads = [axis.capitalize(), "System", "Items", *TITLES.values(), f"Against {found['reference']}", "p", "Failed"]
    svg = plots.variants(values, name=f"study-{name}", label=f"Plot: {metric} by {axis}", described_by=table_id)
    caption = f"{metric} by {axis}, with 95 % intervals where there are users enough"
    table = Table(f"Study {name}", heads, [_row(row) for row in found["rows"]])
    return Study(name, found["question"], found["reference"], metric, Drawing(svg, caption, table_id, table=table))


def _row(row: Mapping[str, Any]) -> tuple[str, list[Cell]]:
    change = row["change"]
    compared = (
        [Cell(signed(change["value"]), change_interval(change)), Cell(probability(change["p"]))] if change else []
    )
    cells = [
        Cell(row["system"]),
        Cell(f"{row['history_items']:.1f}"),
        *(figure(row[metric]) for metric in TITLES),
        *(compared or [Cell(NONE), Cell(NONE)]),
        Cell(str(row["failed"])),
    ]
    return row["variant"], cells
