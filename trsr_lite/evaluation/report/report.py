"""An evaluation as one HTML file: figures, plots, ten lists to look at, and how all of it was made.

Invariant: the file loads nothing and runs nothing; text of items, models and people is folded and escaped, so that it
is shown as text. What cannot be said, such as an interval of too few users, is not drawn.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from trsr_lite import __version__
from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.evaluation.evaluate import Evaluation
from trsr_lite.evaluation.report import cases, cells, findings, page, places, plots
from trsr_lite.evaluation.tables import HEADLINE
from trsr_lite.io import files
from trsr_lite.metrics import intervals

CURVE = 20  # Recall@1 up to this
COLUMNS = {
    "recall@3": "Recall@3",
    "recall@5": "Recall@5",
    "recall@10": "Recall@10",
    "mrr@10": "MRR@10",
    "ndcg@10": "nDCG@10",
    "auc": "AUC",
    "label_mass": "Label mass",
    "calibration_error": "Calibration error",
    "seconds_per_list": "Seconds per list",
    "failed": "Failed",
}
MEANINGS = {
    "Recall@k": "share of the user's items that are among the first k; items of the same score are in every order",
    "MRR@10": "1 / rank of the first of the user's items, 0 beyond the tenth",
    "nDCG@10": "gain of the first ten, earlier places counting more, as a share of the best possible",
    "AUC": "chance that one of the user's items stands before another candidate; 0.5 is no better than chance",
    "Label mass": "how likely the model answers yes or no at all; where it is low, it does not understand the question",
    "Calibration error": "how far probabilities are from what happens; 0 is best",
    "Seconds per list": "time of ranking one list, without summaries that were made beforehand",
    "Failed": "lists that the system could not rank; they count as nothing found",
}


def check(path: Path, output: Path | None = None) -> None:
    """Raise `SettingsError` where no report can be made at `path`; leaves nothing there.

    `output` is a folder that will be made by then.
    """
    plots.library()
    if output is not None and not output.exists() and path.parent.resolve() == output.resolve():
        return
    beside = files.beside(path)
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"{path}: is not a file", hint="name a file for the report, such as `report.html`")
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise SettingsError(
            f"{path}: a report cannot be written there: {error.strerror}", hint="name a file in a folder of yours"
        ) from error


def write(path: Path, content: str) -> None:
    """A page as a file that is whole or not there; raises `TrsrError` where it cannot be written."""
    try:
        files.replace(path, content.encode("utf-8", "replace"))
    except OSError as error:
        raise TrsrError(f"{path}: the report cannot be written: {error.strerror}") from error


def html(evaluation: Evaluation, *, command: str, when: datetime | None = None) -> str:
    """The whole page; `command` is the line that was typed. Raises `SettingsError` without matplotlib."""
    first, *others = evaluation.systems
    rest = f" and {page.counted(len(others), 'other system')}" if others else ""
    title = f"{page.text(first)}{rest} on {page.counted(len(evaluation.lists.examples), 'list')}"
    date = (when or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M %Z").strip()
    return page.page(
        title,
        [
            f"<header><h1>{title}</h1>\n<p>trsr-lite evaluate, {date}</p></header>",
            _notes(evaluation),
            _figures(evaluation),
            _plots(evaluation),
            _comparisons(evaluation, page.text(first)),
            _groups(evaluation),
            _first_stage(evaluation.first_stage),
            *(findings.section(name, found) for name, found in evaluation.studies.items()),
            _lists(evaluation),
            cases.section(evaluation, first),
            _made(command),
        ],
    )


# Sections


def _notes(evaluation: Evaluation) -> str:
    if not evaluation.notes:
        return ""
    return page.section("Read this first", page.items(map(page.text, evaluation.notes), class_="notes"))


def _figures(evaluation: Evaluation) -> str:
    rows = [
        [page.text(name), *(_figure(key, figures.get(key)) for key in COLUMNS)]
        for name, figures in evaluation.systems.items()
    ]
    prepared = [f"{page.text(name)} {value:,.1f} s" for name, value in evaluation.preparing.items() if value >= 0.05]
    before = f" Beside that, all lists were prepared together: {', '.join(prepared)}." if prepared else ""
    return page.section(
        "Figures",
        "<p>Means over the lists, and below each its 95 % interval where there are users enough. A dash: the system "
        f"has no such figure.{before}</p>",
        page.table("What each system reaches", ["System", *COLUMNS.values()], rows),
        page.details("What the columns mean", page.terms(MEANINGS)),
    )


def _plots(evaluation: Evaluation) -> str:
    most = min(CURVE, max(len(example.candidates) for example in evaluation.lists.examples.values()))
    headlines = {name: figures[HEADLINE] for name, figures in evaluation.systems.items()}
    curves = {
        name: np.mean([places.recalls(one, most) for one in found], axis=0).tolist()
        for name, found in evaluation.outcomes.items()
    }
    ks = [k for k in (1, 2, 3, 5, 10, 15, CURVE) if k <= most]
    rows = [[page.text(name), *(f"{values[k - 1]:.3f}" for k in ks)] for name, values in curves.items()]
    words = page.items((f"{page.text(name)}: {_said(found)}" for name, found in headlines.items()), id="dots-words")
    table = page.table("Recall@k", ["System", *(f"k = {k}" for k in ks)], rows)
    return page.section(
        "Plots",
        '<div class="plots">',
        page.figure(
            plots.dots(headlines, name="dots", label="Plot: Recall@3 of each system", described_by="dots-words"),
            "Recall@3, the share of the user's items among the first three, and its 95 % interval",
            page.details("The same in words", words),
        ),
        page.figure(
            plots.curves(curves, name="lines", label="Plot: Recall@k of each system", described_by="lines-words"),
            "Recall@k, the share of the user's items among the first k",
            page.details("The same as a table", f'<div id="lines-words">{table}</div>'),
        ),
        "</div>",
    )


def _comparisons(evaluation: Evaluation, first: str) -> str:
    if not evaluation.comparisons:
        return ""
    rows = [[page.text(one["system"]), *cells.difference(one)] for one in evaluation.comparisons]
    return page.section(
        f"Against {first}",
        f"<p>How far each system is above {first} in Recall@3 on the same lists. p: how often chance alone would make "
        "as large a difference (sign flips); it is not corrected for asking several times.</p>",
        page.table(f"Recall@3 against {first}", ["System", "Difference", "95 % interval", "p"], rows),
    )


def _groups(evaluation: Evaluation) -> str:
    groups = evaluation.groups
    if not groups:
        return ""
    rows = [
        [
            page.text(name),
            *(_figure(HEADLINE, group["systems"].get(name, {}).get(HEADLINE)) for group in groups.values()),
        ]
        for name in evaluation.systems
    ]
    heads = [f"{page.text(name)} ({page.counted(group['lists'], 'list')})" for name, group in groups.items()]
    return page.section(
        "Warm and cold lists",
        "<p>A list is warm where a training user has one of its own items, and cold where none has. "
        "A figure without an interval is of too few users to be sure of anything.</p>",
        page.table("Recall@3 of each group", ["System", *heads], rows),
    )


def _first_stage(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    popular = f"; popularity's first: {_said(found['popularity'])}" if found["popularity"] else ""
    return page.section(
        "First stage",
        f"<p>The part of the user's items that is among the first {found['count']:,} of "
        f"{page.counted(found['items'], 'item')} before any ranking. The catalog's first: "
        f"{_said(found['catalog'])}{popular}.</p>",
    )


def _lists(evaluation: Evaluation) -> str:
    examples = evaluation.lists.examples.values()
    facts = {
        "lists": len(examples),
        "users": intervals.count(evaluation.lists.users()),
        "candidates of a list": _between(len(example.candidates) for example in examples),
        "of them the user's own": _between(sum(example.labels) for example in examples),
        "items of a history": _between(len(example.history) for example in examples),
        **evaluation.lists.facts,
    }
    return page.section(
        "What was ranked", page.terms({page.text(name): page.text(_plain(value)) for name, value in facts.items()})
    )


def _made(command: str) -> str:
    versions = {"trsr-lite": __version__, "Python": platform.python_version(), "Platform": platform.platform()}
    with contextlib.suppress(metadata.PackageNotFoundError):
        versions["llama-cpp-python"] = metadata.version("llama-cpp-python")
    return page.section(
        "How this was made",
        page.command(command),
        page.terms({name: page.text(version) for name, version in versions.items()}),
        "<p>The cases show titles from users' histories: pass this file on only where the data may go.</p>",
    )


# Pieces


def _figure(key: str, figure: Mapping[str, Any] | int | None) -> str:
    if figure is None:
        return cells.NONE
    if isinstance(figure, int):
        return str(figure)
    return cells.figure(figure, ".3g" if key == "seconds_per_list" else ".3f")


def _said(figure: Mapping[str, Any]) -> str:
    found = cells.interval(figure)
    return f"{figure['value']:.3f}, " + (f"95 % interval {found}" if found else "too few users for an interval")


def _between(counts: Iterable[int]) -> str:
    found = sorted(counts)
    return str(found[0]) if found[0] == found[-1] else f"{found[0]} to {found[-1]}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items() if entry is not None)
    return "; ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)
