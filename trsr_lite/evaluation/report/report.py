"""An evaluation as one HTML file: figures, drawings, ten lists to look at, and how all of it was made.

Invariant: the file loads nothing and runs nothing, and is whole or not there. What cannot be said, such as an interval
of too few users, is not drawn.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from trsr_lite import __version__
from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.evaluation.evaluate import Evaluation
from trsr_lite.evaluation.report import figures, plots, template
from trsr_lite.evaluation.report.cases import cases
from trsr_lite.evaluation.report.content import Page, counted
from trsr_lite.evaluation.report.studies import study
from trsr_lite.io import files
from trsr_lite.metrics import intervals


def check(path: Path, output: Path | None = None) -> None:
    """Raise `SettingsError` where no report can be made at `path`; leaves nothing there.

    `output` is a folder that will be made by then.
    """
    plots.library()
    template.library()
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
    """The whole page; `command` is the line that was typed. Raises `SettingsError` without matplotlib or jinja2."""
    return template.render(page(evaluation, command=command, when=when))


def page(evaluation: Evaluation, *, command: str, when: datetime | None = None) -> Page:
    """What the page shows."""
    first, *others = evaluation.systems
    count = len(evaluation.lists.examples)
    rest = f" and {counted(len(others), 'other system')}" if others else ""
    return Page(
        title=f"{first}{rest} on {counted(count, 'list')}",
        date=(when or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M %Z").strip(),
        notes=evaluation.notes,
        in_short=figures.in_short(evaluation),
        figures=figures.systems(evaluation),
        meanings=figures.MEANINGS,
        prepared=figures.prepared(evaluation),
        drawings=figures.drawings(evaluation),
        added=figures.added(evaluation),
        first=first,
        comparisons=figures.comparisons(evaluation),
        groups=figures.groups(evaluation),
        first_stage=figures.first_stage(evaluation.first_stage),
        studies=[study(name, found) for name, found in evaluation.studies.items()],
        lists=count,
        facts=_facts(evaluation),
        cases=cases(evaluation, first),
        command=command,
        versions=_versions(),
    )


def _facts(evaluation: Evaluation) -> dict[str, str]:
    """What was ranked."""
    examples = evaluation.lists.examples.values()
    found = {
        "lists": len(examples),
        "users": intervals.count(evaluation.lists.users()),
        "candidates of a list": _between(len(example.candidates) for example in examples),
        "of them the user's own": _between(sum(example.labels) for example in examples),
        "items of a history": _between(len(example.history) for example in examples),
        **evaluation.lists.facts,
    }
    return {name: _plain(value) for name, value in found.items()}


def _versions() -> dict[str, str]:
    versions = {"trsr-lite": __version__, "Python": platform.python_version(), "Platform": platform.platform()}
    with contextlib.suppress(metadata.PackageNotFoundError):
        versions["llama-cpp-python"] = metadata.version("llama-cpp-python")
    return versions


def _between(counts: Iterable[int]) -> str:
    found = sorted(counts)
    return str(found[0]) if found[0] == found[-1] else f"{found[0]} to {found[-1]}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items() if entry is not None)
    return "; ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)
