"""Items on their way from a file into the corpus.

Invariant: an item of which no model could see anything is a fault of its row, whatever attributes are chosen later.
"""

from __future__ import annotations

from trsr_lite.datasets.corpus import REPEATED, Corpus
from trsr_lite.datasets.report import Report
from trsr_lite.prompts.templates import fold
from trsr_lite.records import Item


def add(item: Item, corpus: Corpus, report: Report, where: str, *, kind: str | None = None) -> None:
    """Store an item and count it, or why it is none; `kind` as in `Corpus.add_item`."""
    if not any(map(fold, item.attributes.values())):
        report.drop("item", "no visible text", where)
    elif (became := corpus.put_item(item, kind)) == "new":
        report.read("item")
    else:
        report.drop("item", REPEATED if became == "replaced" else "the id came before", where)
