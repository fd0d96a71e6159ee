"""The studies of a report: for each a question, a plot and a table.

Invariant: what is drawn is in the table too, and a change is shown with how sure it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trsr_lite.evaluation.report import cells, page, plots

TITLES = {"recall@3": "Recall@3", "mrr@10": "MRR@10", "auc": "AUC"}


def section(name: str, found: Mapping[str, Any]) -> str:
    """One study, as `Evaluation.studies` has it."""
    metric = TITLES[found["metric"]]
    values: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in found["rows"]:
        values.setdefault(row["variant"], {})[row["system"]] = row[found["metric"]]
    table = page.table(
        f"Study {name}",
        [
            found["axis"].capitalize(),
            "System",
            "Items",
            *TITLES.values(),
            f"Against {found['reference']}",
            "p",
            "Failed",
        ],
        map(_row, found["rows"]),
    )
    return page.section(
        f"Study: {name}",
        f"<p>{found['question']}</p>",
        page.figure(
            plots.variants(
                values, name=f"study-{name}", label=f"Plot: {metric} by {found['axis']}", described_by=f"table-{name}"
            ),
            f"{metric} by {found['axis']}, with 95 % intervals where there are users enough",
            f'<div id="table-{name}">{table}</div>',
        ),
        f"<p>Items: of a history, on average. Against {found['reference']}: how far {metric} is above that of the same "
        "lists, and p, how often chance alone would make as large a difference; not corrected for asking several "
        "times.</p>",
    )


def _row(row: Mapping[str, Any]) -> list[str]:
    value, between, p = cells.difference(row["change"]) if row["change"] else (cells.NONE, "", cells.NONE)
    return [
        page.text(row["variant"]),
        page.text(row["system"]),
        f"{row['history_items']:.1f}",
        *(cells.figure(row[metric]) for metric in TITLES),
        f"{value}<br><small>{between}</small>" if between else value,
        p,
        str(row["failed"]),
    ]
