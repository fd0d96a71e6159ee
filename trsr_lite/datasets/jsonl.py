"""Any data set, as two files of JSON Lines: `items.jsonl`, and `interactions.jsonl` or `impressions.jsonl`.

Invariant: a user's sequence is in order of time if every interaction has one, else in order of the file. Users may come
in any order. Nothing is sorted in memory but one user's sequence.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import orjson

from trsr_lite import feedback
from trsr_lite.datasets import impressions, items
from trsr_lite.datasets.corpus import Case, Corpus, scratch
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.sources import NOT_TEXT, Source
from trsr_lite.errors import DataError
from trsr_lite.io import json_text, times
from trsr_lite.io.encodings import is_text
from trsr_lite.io.fields import LIKE_TIME, parse_time
from trsr_lite.records import Item
from trsr_lite.settings import DOMAINS

FILES = ("items.jsonl", "interactions.jsonl")
IMPRESSIONS = "impressions.jsonl"
LAYOUT = (
    '`items.jsonl` (`{"id", "title", …}`) and `interactions.jsonl` (`{"user_id", "item_id", "time"?, "feedback"?, '
    '"rating"?}`), or for `--negatives impressions` `impressions.jsonl` (`{"user_id", "history", "clicked", "shown", '
    '"relevance"?, "feedback"?, "rating"?, "domain"?}`)'
)
LISTS = ("history", "clicked", "shown")
CHUNK = 500
_SCHEMA = (
    "CREATE TABLE interactions "
    "(user TEXT NOT NULL, row INTEGER NOT NULL, time REAL, line INTEGER, feedback TEXT, rating REAL)"
)
Said = tuple[str | None, float | None]  # feedback and rating
Row = tuple[str, int, float | None, int, str | None, float | None]
Interaction = tuple[str, str, float | None, int, Said]


def files(options: DataOptions) -> tuple[str, ...]:
    """The files to be read."""
    return (FILES[0], IMPRESSIONS) if options.negatives == "impressions" else FILES


def read(sources: list[Source], options: DataOptions, corpus: Corpus, report: Report) -> None:
    """Fill the corpus with items, and with one sequence for each user or one case for each impression."""
    texts, actions = sources
    for where, _number, data in _objects(texts, "item", report):
        try:
            item = Item.from_dict(data, where, report.notes, candidate=True)
        except DataError as error:
            report.drop("item", "cannot be used", where, str(error).removeprefix(where).lstrip(".: "))
            continue
        items.add(Item(item.id, item.attributes), corpus, report, where)
    if corpus.item_count == 0:
        return
    if options.negatives == "impressions":
        _add_impressions(actions, options, corpus, report)
        return
    with scratch(_SCHEMA) as database:
        for chunk in _chunks(_interactions(actions, options, report)):
            database.executemany("INSERT INTO interactions VALUES (?, ?, ?, ?, ?, ?)", _known(chunk, corpus, report))
        _add_sequences(database, corpus, report)


def _interactions(source: Source, options: DataOptions, report: Report) -> Iterator[Interaction]:
    limits = options.limits
    for where, number, data in _objects(source, "interaction", report):
        user_id, item_id = _name(data.get("user_id")), _name(data.get("item_id"))
        if not user_id or not item_id:
            name = "item_id" if user_id else "user_id"
            report.drop("interaction", f"{name} is missing or not text", where)
            continue
        try:
            time = _time(data, report, where)
        except DataError as error:
            report.drop("interaction", "time is not a time", where, str(error).partition(": ")[2])
            continue
        try:
            said = _said(data.get("feedback"), data.get("rating"), limits, where)
        except DataError as error:
            report.drop("interaction", "feedback cannot be used", where, str(error).partition(": ")[2])
            continue
        yield user_id, item_id, time, number, said


def _said(word: Any, rating: Any, limits: feedback.Scale | None, where: str) -> Said:
    """Feedback and rating of one item; on a known scale a rating is feedback. Raises `DataError`."""
    said, number = feedback.word(word, f"{where}: feedback"), feedback.number(rating, f"{where}: rating")
    if number is not None and limits is not None:
        of_scale = feedback.of_rating(number, limits, f"{where}: rating")
        return said or of_scale, None
    return said, number


def _time(data: dict[str, Any], report: Report, where: str) -> float | None:
    """When it was: the field `time`, or else the first that is called like a time; raises `DataError`."""
    names = [name for name in data if name.strip().lower() in LIKE_TIME]
    name = "time" if "time" in data else names[0] if names else None
    if name is None:
        return None
    try:
        moment = parse_time(data[name], f"{where}.{name}")
    except DataError as error:
        if name == "time":
            raise
        value = str(error).partition(": ")[2].partition(" is not")[0]
        report.notes.add(f"{name!r} looks like a time, but is none, and is not used; {error.hint}", f"{where} {value}")
        return None
    if name != "time":
        report.notes.add(f"{name!r} is used as the time", where)
    if moment is not None:
        report.saw(moment)
        if (unit := times.unit(data[name])) != "seconds":
            report.notes.add(f"{name!r} read as {unit} since 1970", where)
    return moment


def _add_impressions(source: Source, options: DataOptions, corpus: Corpus, report: Report) -> None:
    limits = options.limits
    for where, number, data in _objects(source, "impression", report):
        user_id, domain = _name(data.get("user_id")), data.get("domain")
        ids = {name: _names(data.get(name)) for name in LISTS}
        grades, ungraded = _grades(data.get("relevance"), ids)
        wrong = [name for name, found in ids.items() if found is None]
        opinions, unjudged = _opinions(data, ids, limits, where)
        if not user_id:
            report.drop("impression", "user_id is missing or not text", where)
        elif domain is not None and domain not in DOMAINS:
            report.drop("impression", f"domain is none of {', '.join(DOMAINS)}", where, str(domain))
        elif wrong:
            report.drop("impression", f"{wrong[0]} is not a list of ids", where)
        elif ungraded:
            report.drop("impression", ungraded, where)
        elif unjudged:
            report.drop("impression", "feedback cannot be used", where, unjudged)
        else:
            report.read("impression")
            history, clicked, shown = (
                impressions.known(found or [], corpus, report, where, kind, FILES[0])
                for kind, found in zip(("history item", "candidate", "candidate"), ids.values(), strict=True)
            )
            judged = dict(zip(corpus.rows(list(opinions)), opinions.values(), strict=True))
            said = tuple(judged.get(row) for row in history)
            refused = tuple(row for row in clicked if judged.get(row) in feedback.AGAINST)
            clicked, shown = tuple(row for row in clicked if row not in refused), (*shown, *refused)
            rows = corpus.rows(list(grades))
            relevance = {row: grade for row, grade in zip(rows, grades.values(), strict=True) if row is not None}
            relevance = {row: 0.0 if row in refused else grade for row, grade in relevance.items()}
            case = Case(user_id, history, clicked, shown, number, domain=domain, relevance=relevance, said=said)
            impressions.add(case, corpus, report, where)


def _opinions(
    data: dict[str, Any], ids: dict[str, list[str] | None], limits: feedback.Scale | None, where: str
) -> tuple[dict[str, str], str]:
    """What the user thought of items by id, and what is wrong with it: "" if nothing is."""
    words, ratings = (data.get(name) or {} for name in ("feedback", "rating"))
    if not isinstance(words, dict) or not isinstance(ratings, dict):
        return {}, "`feedback` and `rating` are objects of ids"
    known = dict.fromkeys(one for found in ids.values() for one in found or [])
    if strange := sorted({*words, *ratings} - known.keys()):
        return {}, f"{strange[0]!r} is neither in the history nor shown"
    try:
        said = {one: _said(words.get(one), ratings.get(one), limits, where) for one in {**words, **ratings}}
        items = [Item(one, {"": ""}, None, *said.get(one, (None, None))) for one in known]
    except DataError as error:
        return {}, str(error).partition(": ")[2]
    return {item.id: found for item, found in zip(items, feedback.opinions(items), strict=True) if found}, ""


def _known(chunk: list[Interaction], corpus: Corpus, report: Report) -> Iterator[Row]:
    rows = corpus.rows([item_id for _, item_id, *_ in chunk])
    for (user_id, item_id, time, number, said), row in zip(chunk, rows, strict=True):
        if row is None:
            report.drop("interaction", f"not in {FILES[0]}", f"{FILES[1]}:{number}", item_id)
        else:
            report.read("interaction")
            yield user_id, row, time, number, *said


def _add_sequences(database: sqlite3.Connection, corpus: Corpus, report: Report) -> None:
    query = "SELECT user, row, time, line, feedback, rating FROM interactions ORDER BY user, line"
    for user_id, group in groupby(database.execute(query), key=lambda values: str(values[0])):
        found = [values[1:] for values in group]
        first = found[0][2]
        if all(time is not None for _, time, *_ in found):
            found.sort(key=lambda values: values[1])
        elif len(found) > 1:
            report.notes.add("user without a time at every interaction: in order of the file", f"{FILES[1]}:{first}")
        rows = [row for row, *_ in found]
        if all(said is None for values in found for said in values[3:]):
            corpus.add_sequence(user_id, rows, first)
            continue
        judged = feedback.opinions([Item(str(row), {"": ""}, None, *said) for row, _, _, *said in found])
        if not corpus.add_judged(user_id, rows, judged, first):
            report.leave_out("user", "no item that was not disliked or skipped", f"{FILES[1]}:{first}")


def _objects(source: Source, kind: str, report: Report) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for number, line in source.lines():
        if not line.strip():
            continue
        where = f"{source.name}:{number}"
        if not is_text(line):
            report.drop(kind, NOT_TEXT, where)
            continue
        try:
            data = json_text.loads(line.encode())
        except orjson.JSONDecodeError as error:
            report.drop(kind, "not valid JSON", where, f"column {error.colno}: {error.msg}")
            continue
        if isinstance(data, dict):
            yield where, number, data
        else:
            report.drop(kind, "not an object", where)


def _chunks(rows: Iterable[Interaction]) -> Iterator[list[Interaction]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _names(value: Any) -> list[str] | None:
    names = [_name(one) for one in value] if isinstance(value, list) else []
    return names if isinstance(value, list) and all(names) else None


def _grades(value: Any, ids: dict[str, list[str] | None]) -> tuple[dict[str, float], str]:
    """The relevance of candidates by id, and what is wrong with it: "" if nothing is."""
    if value is None:
        return {}, ""
    if not isinstance(value, dict) or not all(map(_is_grade, value.values())):
        return {}, "relevance is not an object of ids and numbers that are not negative"
    clicked, shown = (ids[name] or [] for name in ("clicked", "shown"))
    if not value.keys() <= {*clicked, *shown}:
        return {}, "relevance has an id that was not shown"
    if not all(value.get(name) for name in clicked):
        return {}, "a clicked candidate has no relevance above 0"
    return {name: float(grade) for name, grade in value.items()}, ""


def _is_grade(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _name(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return str(value)
