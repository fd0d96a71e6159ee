"""MIND as Microsoft publishes it: `news.tsv` and `behaviors.tsv`.

Invariant: a user's history is one of the rows as it stands, without the articles whose text is missing. Impressions
matter only where they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.datasets import impressions, items
from trsr_lite.datasets.corpus import Case, Corpus
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.sources import NOT_TEXT, Source
from trsr_lite.io.encodings import is_text
from trsr_lite.io.values import MISSING
from trsr_lite.records import Item

FILES = ("news.tsv", "behaviors.tsv")
LAYOUT = "a folder of MIND with `news.tsv` and `behaviors.tsv`, such as MINDsmall_train"
NEWS_COLUMNS = 8
BEHAVIOR_COLUMNS = 5


def files(_: DataOptions) -> tuple[str, ...]:
    """The files to be read."""
    return FILES


def read(sources: list[Source], options: DataOptions, corpus: Corpus, report: Report) -> None:
    """Fill the corpus with articles, and with one sequence for each user or one case for each impression."""
    news, behaviors = sources
    _read_news(news, corpus, report)
    if corpus.item_count == 0:
        return
    for where, number, columns in _rows(behaviors, BEHAVIOR_COLUMNS, report):
        user_id = columns[1].strip()
        if not user_id:
            report.drop("row", "no user id", where)
            continue
        report.read("row")
        history = impressions.known(columns[3].split(), corpus, report, where, "history item", FILES[0])
        if options.negatives == "impressions":
            _add_impression(user_id, history, columns[4].split(), corpus, report, where, number)
        elif history:
            corpus.add_sequence(user_id, history, number)
        else:
            report.leave_out("row", "no history", where)


def _read_news(source: Source, corpus: Corpus, report: Report) -> None:
    for where, _, columns in _rows(source, NEWS_COLUMNS, report):
        news_id, category, subcategory, title, abstract = (text.strip() for text in columns[:5])
        if not news_id:
            report.drop("item", "no id", where)
        elif not title or title in MISSING:
            report.drop("item", "no title", where)
        else:
            named = {"title": title, "category": category, "subcategory": subcategory, "abstract": abstract}
            items.add(
                Item(news_id, {name: text for name, text in named.items() if text not in MISSING and text}),
                corpus,
                report,
                where,
            )


def _add_impression(
    user_id: str, history: tuple[int, ...], entries: list[str], corpus: Corpus, report: Report, where: str, line: int
) -> None:
    ids: dict[str, list[str]] = {"1": [], "0": []}
    for entry in entries:
        news_id, _, label = entry.rpartition("-")
        if label in ids and news_id:
            ids[label].append(news_id)
        else:
            report.drop("candidate", "no label `-0` or `-1`", where)
    clicked, shown = (
        impressions.known(ids[label], corpus, report, where, "candidate", FILES[0]) for label in ("1", "0")
    )
    impressions.add(Case(user_id, history, clicked, shown, line), corpus, report, where)


def _rows(source: Source, columns: int, report: Report) -> Iterator[tuple[str, int, list[str]]]:
    for number, line in source.lines():
        text = line.rstrip("\r\n")
        if not text:
            continue
        where = f"{source.name}:{number}"
        values = text.split("\t")
        if not is_text(text):
            report.drop("row", NOT_TEXT, where)
        elif len(values) == columns:
            yield where, number, values
        else:
            report.drop("row", f"not {columns} columns", where, f"has {len(values)}")
