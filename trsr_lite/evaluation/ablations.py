"""Runs studies: each variant ranks the same lists, and is compared with the reference of its study.

Invariant: a row depends on the lists, the systems and the seed alone. A study that was stopped goes on; a variant that
changes nothing is what the evaluation has found already. Summaries that variants share are made once, by the cache.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trsr_lite.errors import SettingsError
from trsr_lite.evaluation import tables
from trsr_lite.evaluation.evaluate import Evaluation, answers, failures, several
from trsr_lite.evaluation.evaluate_options import STUDIES as NAMES
from trsr_lite.evaluation.fused import FusedSystem
from trsr_lite.evaluation.outcomes import FOLDER, ListOutcome
from trsr_lite.evaluation.scores_file import ScoresFileSystem
from trsr_lite.evaluation.studies import STUDIES, TUNING, Study, Variant
from trsr_lite.evaluation.systems import Adjustable, BaselineSystem, System
from trsr_lite.metrics import intervals
from trsr_lite.results import OnProgress, Progress
from trsr_lite.settings import Settings

SHOWN = ("recall@3", "recall@5", "recall@10", "mrr@10", "ndcg@10", "auc", "failed")
ALL, TUNED = "all", "tuning"
FIXED = (ScoresFileSystem, FusedSystem)  # they rank the lists that they were made with, no changed ones


@dataclass(frozen=True)
class Task:
    """A variant and its systems: those that it changes, and those that it leaves as they were."""

    variant: Variant
    changed: Sequence[System]
    same: Sequence[System]


@dataclass(frozen=True)
class Plan:
    """Studies that can be made: the tasks of each, and the (what was trained, name) of runs that are compared."""

    tasks: Mapping[str, Sequence[Task]]
    runs: Sequence[tuple[str, str]]
    notes: Sequence[str]


def check(names: Sequence[str]) -> None:
    """Raise `SettingsError` for a study that there is not, and suggest the nearest."""
    for name in names:
        if name not in (ALL, *NAMES):
            near = difflib.get_close_matches(name, NAMES, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"choose from {', '.join(NAMES)}, or {ALL}"
            raise SettingsError(f"there is no study {name!r}", hint=hint)


def summarizing(names: Sequence[str]) -> bool:
    """Whether any of these studies gives summaries to models that have none of their own."""
    return any(name == ALL or (name != TUNED and _of_settings(STUDIES[name])) for name in names)


def plan(names: Sequence[str], systems: Sequence[System]) -> Plan:
    """What the studies of these names run; `all` leaves out the study of runs where it cannot be made.

    Raises `SettingsError` for what cannot be studied.
    """
    check(names)
    runs = [(kind, system.name) for system in systems if (kind := getattr(system, "trained", None))]
    runs.sort(key=lambda one: one[0] != TUNING.reference)
    comparable = len({kind for kind, _ in runs}) > 1
    if TUNED in names and not comparable:
        raise SettingsError(
            f"study {TUNED!r} compares a run of LoRA with one of all weights; given: "
            f"{', '.join(f'{name} ({kind})' for kind, name in runs) or 'no run'}",
            hint="give both with `-m RUN -m RUN`; `trsr-lite train --full` trains all weights",
        )
    chosen = [name for name in NAMES if name in names or (ALL in names and (name != TUNED or comparable))]
    tasks = {name: _tasks(name, systems) for name in chosen if name != TUNED}
    notes = [note for name in tasks for note in _summarized(name, systems)]
    return Plan(tasks, runs if TUNED in chosen else (), notes)


def study(
    chosen: Plan,
    found: Evaluation,
    *,
    seed: int = 0,
    output: Path | None = None,
    progress: OnProgress | None = None,
) -> Evaluation:
    """The evaluation with its studies, of the systems that it was made with: the `then` of `evaluate`.

    With `output`, the folder of the evaluation, answers are kept there one by one.
    """
    studies, notes = dict[str, Any](), list(chosen.notes)
    for name, tasks in chosen.tasks.items():
        rows, said = _rows(name, tasks, found, seed, output, progress)
        studies[name] = _described(STUDIES[name], rows)
        notes += said
    if chosen.runs:
        studies[TUNED] = _tuning(chosen.runs, found)
    return replace(found, studies=studies, notes=[*found.notes, *notes])


def _tasks(name: str, systems: Sequence[System]) -> list[Task]:
    """Every variant of a study with its systems."""
    chosen = STUDIES[name]
    suitable = [
        system
        for system in systems
        if isinstance(system, Adjustable) or not (_of_settings(chosen) or isinstance(system, FIXED))
    ]
    if not suitable:
        raise SettingsError(f"study {name!r} needs a model", hint="give one with `-m`")
    return [_task(chosen, variant, suitable) for variant in chosen.variants]


def _of_settings(chosen: Study) -> bool:
    """Whether a study changes settings, which only models have."""
    return any(variant.settings for variant in chosen.variants)


def _task(chosen: Study, variant: Variant, systems: Sequence[System]) -> Task:
    changed, same = list[System](), list[System]()
    for system in systems:
        if isinstance(system, Adjustable) and (settings := _settings(chosen, variant, system)) != system.settings:
            changed.append(system.with_settings(settings))
        elif variant.change:
            changed.append(system)
        else:
            same.append(system)
    return Task(variant, changed, same)


def _settings(chosen: Study, variant: Variant, system: Adjustable) -> Settings:
    """A variant's settings of a system; raises `SettingsError` where they cannot be."""
    own = system.settings
    if chosen.summarized and own.strategy == "none":
        own = own.updated(strategy=Settings().strategy)
    try:
        return own.updated(**variant.settings)
    except SettingsError as error:
        raise SettingsError(f"{system.name}, {chosen.axis} {variant.name}: {error}", hint=error.hint) from error


def _rows(
    name: str,
    tasks: Sequence[Task],
    found: Evaluation,
    seed: int,
    output: Path | None,
    progress: OnProgress | None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each variant and system, and what there is to say of them."""
    outcomes: dict[str, dict[str, Sequence[ListOutcome]]] = {}
    lengths, notes = dict[str, float](), list[str]()
    for task in tasks:
        variant = task.variant
        lists = variant.change(found.lists, seed) if variant.change else found.lists
        lengths[variant.name] = float(np.mean([len(one.history) for one in lists.examples.values()]))
        ranked = {system.name: found.outcomes[system.name] for system in task.same}
        if task.changed:
            changed = task.changed
            if lists.items is not found.lists.items:
                changed = [one.with_items(lists.items) if isinstance(one, BaselineSystem) else one for one in changed]
            facts = {**lists.facts, "study": name, "variant": variant.name, "seed": seed}
            place = output / FOLDER / name / folder_of(variant.name) if output else None
            more, _ = answers(
                replace(lists, facts=facts),
                changed,
                output=place,
                in_turn=several([*task.changed, *task.same]),
                progress=_within(f"{name}, {variant.name}", progress),
            )
            notes += [f"{name}, {variant.name}: {line}" for line in failures(more)]
            ranked = {**ranked, **more}
        outcomes[variant.name] = ranked
    return list(_compared(outcomes, STUDIES[name].reference, lengths)), notes


def _compared(
    outcomes: Mapping[str, Mapping[str, Sequence[ListOutcome]]], reference: str, lengths: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Rows of variants, each with how far it is above the reference of the same system."""
    for name in outcomes[reference]:
        against = tables.table(outcomes[reference][name])[tables.HEADLINE]
        users = [outcome.user_id for outcome in outcomes[reference][name]]
        for variant, ranked in outcomes.items():
            row = _row(variant, name, ranked[name], lengths[variant])
            values = tables.table(ranked[name])[tables.HEADLINE]
            change = None if variant == reference else intervals.difference(values, against, users).to_dict()
            yield {**row, "change": change}


def _row(variant: str, system: str, outcomes: Sequence[ListOutcome], length: float) -> dict[str, Any]:
    values = tables.system(outcomes, tables.table(outcomes))
    return {"variant": variant, "system": system, "history_items": round(length, 1), **{k: values[k] for k in SHOWN}}


def _described(chosen: Study, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "question": chosen.question,
        "axis": chosen.axis,
        "reference": chosen.reference,
        "metric": tables.HEADLINE,
        "rows": list(rows),
    }


def _summarized(name: str, systems: Sequence[System]) -> list[str]:
    """What a reader must know of models that read no summaries of their own."""
    without = [
        system.name for system in systems if isinstance(system, Adjustable) and system.settings.strategy == "none"
    ]
    if not STUDIES[name].summarized or not without:
        return []
    return [f"{name}: {', '.join(without)} has strategy none, and was read with {Settings().strategy} summaries here"]


def _tuning(runs: Sequence[tuple[str, str]], found: Evaluation) -> dict[str, Any]:
    """Rows of the evaluation's own answers, against the first run of LoRA."""
    figures = {name: tables.table(found.outcomes[name])[tables.HEADLINE] for _, name in runs}
    against, rows = figures[runs[0][1]], []
    length = float(np.mean([len(one.history) for one in found.lists.examples.values()]))
    for place, (kind, name) in enumerate(runs):
        change = intervals.difference(figures[name], against, found.lists.users()).to_dict() if place else None
        rows.append({**_row(kind, name, found.outcomes[name], length), "change": change})
    return _described(TUNING, rows)


def _within(stage: str, progress: OnProgress | None) -> OnProgress | None:
    """Progress that says which variant it is of."""
    if progress is None:
        return None
    report = progress
    return lambda step: report(Progress(f"{stage}: {step.stage}", step.fraction))


def folder_of(name: str) -> str:
    """A variant's name as a folder's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("%", "percent")).strip("-")
