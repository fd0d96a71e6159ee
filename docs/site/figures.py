"""Tables of the lab book that are written while the site is built, from the files that benchmarks leave.

    <!-- figures: signals -->

Invariant: a figure stands in one place, its file under `benchmarks/results`; a mark without a table is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MARK = re.compile(r"<!-- figures: (\w+) -->")
LISTS = {
    "mind": "MIND, 1 : 20",
    "office": "Amazon Office, 1 : 20",
    "real": "MIND, really shown",
    "authors": "authors of papers, 1 : 20",
}


def signals(found: Mapping[str, Any]) -> Iterator[str]:
    """Recall@3 and AUC of each signal and of their fusion, on each kind of lists."""
    sets = {name: one for name, one in found["sets"].items() if one.get("systems")}
    heads = [f"{LISTS.get(name, name)}, {one['lists']:,} lists" for name, one in sets.items()]
    yield f"| Recall@3, AUC | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for system in next(iter(sets.values()))["systems"]:
        cells = [_pair(one["systems"].get(system)) for one in sets.values()]
        yield f"| {system} | {' | '.join(cells)} |"


def _pair(figures: Mapping[str, Any] | None) -> str:
    if not figures:
        return ""
    recall = figures["recall@3"]
    return f"{recall['value']:.2f} [{recall['low']:.2f}, {recall['high']:.2f}], {figures['auc']['value']:.2f}"


TABLES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {"signals": signals}


def filled(markdown: str) -> str:
    """The page with its tables."""

    def table(mark: re.Match[str]) -> str:
        if mark[1] not in TABLES:
            raise PluginError(f"there is no table {mark[1]!r}; there are {', '.join(TABLES)}")
        return "\n".join(TABLES[mark[1]](json.loads((RESULTS / f"{mark[1]}.json").read_text(encoding="utf-8"))))

    return MARK.sub(table, markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return filled(markdown)
