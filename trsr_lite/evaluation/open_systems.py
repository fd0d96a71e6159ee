"""From names to systems: models, runs and baselines, with what a reader must know about each.

Invariant: a model that may have seen the lists in training is used, and said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.datasets import origin
from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.evaluation import fused, token_source
from trsr_lite.evaluation.fused import FusedSystem, ListSignals
from trsr_lite.evaluation.lists import EvalLists, origin_of
from trsr_lite.evaluation.scores_file import ScoresFileSystem
from trsr_lite.evaluation.systems import BaselineSystem, BundleSystem, System
from trsr_lite.metrics import intervals
from trsr_lite.models.bundle import Bundle
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.training import run_dir

Load = Callable[[str], Recommender]
"""`Recommender.load` with the machine's options."""


def data_of(name: str) -> dict[str, Any]:
    """The data options of a run, as they were given; raises `SettingsError` for a run that ranks nothing."""
    path = Path(name) / run_dir.RUN
    try:
        data: dict[str, Any] = orjson.loads(path.read_bytes())["config"]["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: is no record of a run: {error!r}") from error
    if "dataset" not in data:
        raise SettingsError(f"{name}: is a run of a summarizer, which ranks nothing")
    return data


def models(
    names: Sequence[str],
    lists: EvalLists,
    opened: ExitStack,
    load: Load,
    *,
    domain: str | None,
    exact: bool,
    untrained: bool,
    offline: bool,
    summarizing: bool = False,
) -> tuple[list[System], list[str]]:
    """Bundles, GGUF files and runs, in order, and what there is to say about them; `opened` closes them.

    With `summarizing`, runs that read no summaries are given a summarizer all the same.
    """
    systems: list[System] = []
    notes: list[str] = []
    for name, label in zip(names, _labels(names), strict=True):
        if run_dir.is_run(name):
            found, said = run(
                name,
                lists,
                opened,
                load,
                untrained=untrained,
                offline=offline,
                label=label,
                summarizing=summarizing,
            )
            systems, notes = [*systems, *found], [*notes, *said]
        else:
            model = _model(name, label, opened, load, domain=domain, exact=exact)
            systems.append(model)
            notes += _seen(model.name, model.origin, lists)
    return systems, notes


def _model(name: str, label: str, opened: ExitStack, load: Load, *, domain: str | None, exact: bool) -> BundleSystem:
    """A bundle or GGUF; the lists are `domain` to it unless it was trained, and on others alone."""
    recommender = opened.enter_context(load(name))
    if domain and (not recommender.bundle.trained or domain in recommender.bundle.domains):
        recommender = recommender.with_settings(recommender.settings.updated(domain=domain))
    return BundleSystem(label, recommender, exact=exact)


def run(
    name: str,
    lists: EvalLists,
    opened: ExitStack,
    load: Load,
    *,
    untrained: bool,
    offline: bool,
    label: str | None = None,
    summarizing: bool = False,
) -> tuple[list[System], list[str]]:
    """A run in torch, its base too if wanted, and what there is to say about its data."""
    label = label or _short(name)
    try:
        from trsr_lite.evaluation.torch_system import TorchSystem
        from trsr_lite.training.torch_scorer import Scorer
    except ImportError as error:
        raise SettingsError(f"a run needs {error.name}", hint="pip install 'trsr-lite[train]'") from error
    data_of(name)  # refuses what ranks nothing
    scorer, recommender = Scorer(Path(name), offline=offline), None
    if summarizing or scorer.settings.strategy != "none":
        summarizer = opened.enter_context(load(scorer.options.summarizer))
        recommender = summarizer.with_settings(scorer.settings)  # all of them, as in training
    systems: list[System] = [TorchSystem(label, scorer, recommender)]
    if untrained:
        base = Scorer(Path(name), base_model=True, offline=offline)
        systems.append(TorchSystem(label, base, recommender, base_model=True))
    record = scorer.record
    return systems, _seen(label, origin.of(record["config"]["data"], record["data"]["files"]), lists)


def signals_of(
    lists: EvalLists, systems: Sequence[System], opened: ExitStack, *, seed: int, bundle: Bundle | None = None
) -> tuple[ListSignals, list[str]]:
    """The signals of the lists, and what there is to say about them.

    Token vectors are made of the first bundle's embeddings, or of those of `bundle` if no system is a bundle. Without
    any, or with a table that cannot be read, the other signals go on alone.
    """
    bundles = [system.bundle for system in systems if isinstance(system, BundleSystem)]
    found, tokens, notes = next(iter(bundles), bundle), None, list[str]()
    if found:
        try:
            tokens = token_source.of_file(found.recommender.path, found.recommender.identity, opened)
        except ModelError as error:
            notes.append(f"token vectors are left out: {error}")
    return ListSignals.of(lists, seed=seed, tokens=tokens), notes


def simple(names: Sequence[str], signals: ListSignals) -> tuple[list[System], list[str]]:
    """Baselines; one that lacks what it needs is left out, and said."""
    lists, materials, missing = signals.lists, signals.materials, dict[str, str]()
    if lists.counts is None:
        missing["popularity"] = "there are no training users to count"
    if materials.tokens is None:
        missing["tokens"] = "there is no bundle whose embeddings could be read"
    if intervals.count(lists.users()) < intervals.LEAST:
        missing[fused.NAME] = f"its weights are learned on lists of at least {intervals.LEAST} users"
    notes = [f"{name} is left out: {missing[name]}" for name in names if name in missing]
    systems: list[System] = []
    for name in names:
        if name in missing:
            continue
        systems.append(FusedSystem(signals) if name == fused.NAME else BaselineSystem(name, materials))
    return systems, notes


def scored(paths: Sequence[str], taken: Sequence[str]) -> list[System]:
    """Files of scores, each by its name; `taken` are names of other systems."""
    labels = [Path(path).stem for path in paths]
    known = [*labels, *taken]
    return [
        ScoresFileSystem(label if known.count(label) == 1 else path, path)
        for path, label in zip(paths, labels, strict=True)
    ]


def _seen(label: str, trained_on: Mapping[str, Any], lists: EvalLists) -> list[str]:
    """A warning where a model's own split is not the ranked one, or where it was chosen on these users."""
    if not trained_on:  # nothing is known of it
        return []
    if origin_of(lists.facts) != trained_on:
        return [f"{label} was trained on other data or another split of them: it may have seen these users"]
    if lists.facts["part"] == "validation":
        return [f"{label} chose its checkpoint on these users: its figures are flattered"]
    return []


def _labels(names: Sequence[str]) -> list[str]:
    """Short names; where two are alike, what was typed."""
    short = [_short(name) for name in names]
    return [label if short.count(label) == 1 else name for name, label in zip(names, short, strict=True)]


def _short(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix == ".gguf" else path.name if path.exists() else name
