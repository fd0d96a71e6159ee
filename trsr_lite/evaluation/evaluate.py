"""An evaluation: systems rank the same lists, and their answers become figures.

Invariant: a figure depends on the lists and the systems alone. An evaluation that was stopped goes on to the same
figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import Cancelled, Closed, DataError, ModelError, SettingsError, TrsrError
from trsr_lite.evaluation import tables
from trsr_lite.evaluation.fused import ListSignals, model_adds
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.outcomes import ListOutcome, Outcomes, held
from trsr_lite.evaluation.systems import Adjustable, Answer, System
from trsr_lite.metrics import intervals
from trsr_lite.results import OnProgress, Progress

SCHEMA = 1


@dataclass(frozen=True)
class Evaluation:
    """Results of one evaluation.

    Attributes
    ----------
    lists: what was ranked.
    outcomes: system -> its outcomes, in order of the lists' numbers.
    systems: system -> figure -> `value`, `low` and `high`; and `failed`, the lists it could not rank.
    groups: `warm` and `cold` -> the numbers of users and of lists, and the headline metric of each system.
    comparisons: each system against the first one.
    notes: what a reader must know before believing the figures.
    preparing: system -> seconds of its work for all lists together.
    studies: name -> what a study found, as in the JSON; see `ablations`.
    first_stage: what `candidate_recall.measure` found; None where it was not wanted.
    error: what kept the first stage from being measured, or None.
    model_adds: for each model how far the fusion with it is above the fusion without; see `fused.model_adds`.
    """

    lists: EvalLists
    outcomes: Mapping[str, Sequence[ListOutcome]]
    systems: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Mapping[str, Any]]
    comparisons: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    preparing: Mapping[str, float]
    studies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    first_stage: Mapping[str, Any] | None = None
    error: TrsrError | None = None
    model_adds: Sequence[Mapping[str, Any]] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `trsr-lite evaluate --json`."""
        return {
            "schema": SCHEMA,
            "users": intervals.count(self.lists.users()),
            "lists": len(self.lists.examples),
            "systems": {name: dict(found) for name, found in self.systems.items()},
            "groups": {name: dict(found) for name, found in self.groups.items()},
            "comparisons": [dict(one) for one in self.comparisons],
            "notes": list(self.notes),
            **({"model_adds": [dict(one) for one in self.model_adds]} if self.model_adds else {}),
            **({"studies": {name: dict(found) for name, found in self.studies.items()}} if self.studies else {}),
            **({"first_stage": dict(self.first_stage)} if self.first_stage else {}),
        }


def rank_lists(
    lists: EvalLists,
    systems: Sequence[System],
    *,
    output: Path | None = None,
    force: bool = False,
    notes: Sequence[str] = (),
    signals: ListSignals | None = None,
    progress: OnProgress | None = None,
    then: Callable[[Evaluation], Evaluation] | None = None,
) -> Evaluation:
    """Let every system rank every list.

    With `output`, answers are kept there one by one: an evaluation that was stopped goes on, and one with other systems
    runs only those that are new. The first system is what the others are compared with. With `signals` of the same
    lists, the result says what each model adds to them. `then` makes more of it, such as studies, before anybody else
    may work in `output`. Raises `SettingsError` where somebody does, where `output` holds answers to other lists, or of
    another system of the same name.
    """
    names = [system.name for system in systems]
    if not systems or len(set(names)) < len(names):
        raise SettingsError(f"{', '.join(names) or 'nothing'}: systems must be at least one, each with its own name")
    with held(output):
        outcomes, preparing = answers(
            lists, systems, output=output, force=force, in_turn=several(systems), progress=progress
        )
        models = [system.name for system in systems if isinstance(system, Adjustable)]
        found = compare(lists, outcomes, notes=notes, signals=signals, models=models, preparing=preparing)
        return then(found) if then else found


def compare(
    lists: EvalLists,
    outcomes: Mapping[str, Sequence[ListOutcome]],
    *,
    notes: Sequence[str] = (),
    signals: ListSignals | None = None,
    models: Sequence[str] = (),
    preparing: Mapping[str, float] | None = None,
) -> Evaluation:
    """The figures of answers that are there: each system's outcomes of every list, in order of the lists' numbers.

    The first system is what the others are compared with; with `signals`, what each of `models` adds is measured.
    """
    figures = {name: tables.table(found) for name, found in outcomes.items()}
    enough = intervals.count(lists.users()) >= intervals.LEAST
    return Evaluation(
        lists=lists,
        outcomes=outcomes,
        systems={name: tables.system(outcomes[name], figures[name]) for name in outcomes},
        groups=_groups(lists, figures),
        comparisons=tables.comparisons(figures, next(iter(figures)), lists.users()),
        notes=[*notes, *_few(lists), *failures(outcomes)],
        preparing=preparing or {},
        model_adds=[model_adds(signals, name, outcomes[name]) for name in models] if signals and enough else [],
    )


def answers(
    lists: EvalLists,
    systems: Sequence[System],
    *,
    output: Path | None = None,
    force: bool = False,
    in_turn: bool = False,
    progress: OnProgress | None = None,
) -> tuple[dict[str, list[ListOutcome]], dict[str, float]]:
    """Every system's answers to every list, in order of the lists' numbers, and the seconds that each prepared.

    `output` is a folder that the caller holds, or one below it. With `in_turn`, a system gives its memory back before
    the next one runs.
    """
    kept = Outcomes(output, _head(lists, systems) if output else {}, force=force)
    try:
        preparing = {}
        for system in systems:
            preparing[system.name] = _rank(system, lists, kept, progress)
            if in_turn:
                system.release()
        return {name: kept.of(name, list(lists.examples)) for name in preparing}, preparing
    finally:
        kept.close()


def several(systems: Sequence[System]) -> bool:
    """Whether more than one system loads models; they are then in memory one after another."""
    return sum(isinstance(system, Adjustable) for system in systems) > 1


def failures(outcomes: Mapping[str, Sequence[ListOutcome]]) -> list[str]:
    """A line for each system that could not rank some lists."""
    notes = []
    for name, found in outcomes.items():
        if failed := [outcome for outcome in found if outcome.error is not None]:
            notes.append(
                f"{name} could not rank {len(failed)} of {len(found)} lists, which count as nothing found; the first: "
                f"{failed[0].error}"
            )
    return notes


def _head(lists: EvalLists, systems: Sequence[System]) -> dict[str, Any]:
    """What answers depend on: the data, the lists and the systems.

    Another version may draw other candidates from the same data. So the lists have a digest of their own. Answers to
    other lists are never taken for answers to these.
    """
    return {
        "lists": lists.facts,
        "numbers": sorted(lists.examples),
        "examples": lists.digest(),
        "systems": {system.name: system.identity for system in systems},
    }


def _rank(system: System, lists: EvalLists, kept: Outcomes, progress: OnProgress | None) -> float:
    """Every list that this system has not ranked yet; returns the seconds of preparing."""
    numbers = sorted(lists.examples)
    missing = [number for number in numbers if kept.get(system.name, number) is None]
    if not missing:
        return 0.0
    preparing = system.prepare([lists.examples[number] for number in missing], progress)
    for done, number in enumerate(missing):
        if progress:
            progress(Progress(f"rank with {system.name}", done / len(missing)))
        example, start = lists.examples[number], time.perf_counter()
        answer, error, lasts = _tried(system, example, first=number == numbers[0])
        seconds = time.perf_counter() - start
        kept.add(ListOutcome.of(system.name, number, example, answer, seconds, error), lasts=lasts)
    return preparing


def _tried(system: System, example: Example, *, first: bool) -> tuple[Answer | None, str | None, bool]:
    """The answer of a system, or why there is none, and whether another try would end alike.

    An error of the data stays; one of a full disk or memory may pass. A model that cannot rank the first list is
    broken, and its error is raised.
    """
    try:
        answer = system.answer(example)
    except (Cancelled, Closed):
        raise
    except TrsrError as error:
        if first and isinstance(error, ModelError):
            raise
        return None, str(error), isinstance(error, DataError)
    if not np.isfinite(answer.scores).all():
        return None, "its scores are not finite numbers", True
    return answer, None, True


def _groups(lists: EvalLists, figures: Mapping[str, tables.Table]) -> dict[str, Any]:
    """Lists whose own items training users have seen, and the others."""
    if lists.counts is None:
        return {}
    warm, users = [lists.warm(number) for number in sorted(lists.examples)], lists.users()
    found = {}
    for name, wanted in (("warm", True), ("cold", False)):
        places = [place for place, is_warm in enumerate(warm) if is_warm is wanted]
        own = [users[place] for place in places]
        figure = {
            system: {tables.HEADLINE: intervals.mean(values[tables.HEADLINE][places], own).to_dict()}
            for system, values in figures.items()
            if places
        }
        found[name] = {"users": intervals.count(own), "lists": len(places), "systems": figure}
    return found


def _few(lists: EvalLists) -> list[str]:
    count, users = len(lists.examples), intervals.count(lists.users())
    if users >= intervals.LEAST:
        return []
    least, are = str(intervals.LEAST), "list is" if count == 1 else "lists are"
    if users < count:  # alike, so that more lists of the same users would not help
        least, are = f"{least} users", f"lists of {users} user{'s' * (users > 1)} are"
    return [f"{count} {are} too few for intervals (at least {least}): the figures may be chance"]
