"""`evaluate`: an evaluation from keywords, named as the flags of `trsr-lite evaluate`.

Invariant: an option that would change nothing is refused, and a catalog is looked at, before anything is read or
loaded. Models that may have seen the lists are ranked all the same, and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from trsr_lite.catalog.catalog import Catalog
from trsr_lite.datasets import data_options, dataset
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.evaluation import ablations, candidate_recall, lists, open_systems
from trsr_lite.evaluation.evaluate import Evaluation, rank_lists
from trsr_lite.evaluation.evaluate_options import EvaluateOptions
from trsr_lite.evaluation.fused import ListSignals
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.systems import System
from trsr_lite.options import known_options, make, one_of, refuse_unknown
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.results import OnEvent, OnProgress
from trsr_lite.settings import Settings
from trsr_lite.signals.signal import MODEL
from trsr_lite.training import run_dir

PRESETS = ("paper",)
OF_DATA = tuple(name for name in known_options(DataOptions) if name != "max_users")  # which is one of lists here
NAMES = frozenset([*known_options(EvaluateOptions), *OF_DATA, *known_options(Settings)])


def evaluate(
    models: str | Path | Sequence[str | Path] = EvaluateOptions.models,
    *,
    preset: str | None = None,
    output: str | Path | None = None,
    force: bool = False,
    offline: bool = False,
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    machine: EngineOptions | None = None,
    defaults: Mapping[str, Any] | None = None,
    progress: OnProgress | None = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> Evaluation:
    """Rank held-out lists with models and simple systems, as `trsr-lite evaluate` does.

        found = trsr_lite.evaluate("news_bundle", dataset="mind", data="mind/test", baselines=["tfidf"])
        print(found.systems["news_bundle"]["recall@3"])

    The lists are those of a data set (`dataset` and `data`), or a file (`lists`). If a run is among the models, its
    test users serve. Figures are means over lists with 95 % intervals, from 0 to 1.

    Keywords
    --------
    models: bundles, `.gguf` files, `user/repo[:TYPE]`, `smollm2` or training runs; the others are compared with the
        first.
    preset: "paper" takes the authors' protocol for all that is not given.
    output: a folder that keeps every answer: the same call continues a stopped evaluation, and models can be added.
    force: replace the evaluation in `output`.
    offline: open no network connection.
    cache_dir: where summaries are kept; the system's cache folder without it.
    data_dir: where the prepared default model is kept; the system's data folder without it.
    machine: how models run.
    defaults: more options, such as those of a file: an option of the same name counts instead, and one that changes
        nothing is passed over where an option would be refused.
    progress: hears how far it is.
    on_event: hears `data`, the lines that say what was read.
    **options: fields of `EvaluateOptions`, `DataOptions` and `Settings`.

    Raises `SettingsError` for an unknown option, whose hint names the nearest, and for options that contradict each
    other. Raises `DataError` for lists and `ModelError` for a model that cannot be used. `Evaluation.error` says why a
    catalog could not be measured.
    """
    refuse_unknown([*options, *(defaults or {})], NAMES)
    named = [models] if isinstance(models, str | Path) else models
    values = {**(defaults or {}), **options, "models": tuple(map(str, named))}
    changes = {name: values[name] for name in known_options(Settings) if name in values}
    if preset is not None:
        changes.setdefault("signals", (MODEL,))
    places: dict[str, Any] = {"cache_dir": cache_dir, "data_dir": data_dir, "offline": offline}
    places["cache_size"] = 0  # seconds of a list are those of a model that ranks
    load = partial(Recommender.load, options=machine, progress=progress, **places, **changes)
    request = _Request(_wanted(values, options), values, options, preset, load, offline, progress, on_event)
    return request.evaluated(Path(output) if output else None, force=force)


@dataclass(frozen=True)
class _Request:
    """Options that were checked; all values, those of a file too; and the names that the caller gave."""

    options: EvaluateOptions
    values: Mapping[str, Any]
    given: Collection[str]
    preset: str | None
    load: Callable[[str], Recommender]
    offline: bool
    progress: OnProgress | None
    on_event: OnEvent | None

    def evaluated(self, folder: Path | None, *, force: bool) -> Evaluation:
        """Rank the lists with every system; keep the answers in `folder`."""
        seed = self.values.get("seed", DataOptions.seed)
        with ExitStack() as opened:
            ranked, domain = read_lists(self.options, self.values, self.given, self.preset, opened, self.on_event)
            systems, signals, notes = self._systems(ranked, domain, opened, seed)
            plan = ablations.plan(self.options.ablations, systems)
            found = rank_lists(
                ranked,
                systems,
                output=folder,
                force=force,
                notes=notes,
                signals=signals,
                progress=self.progress,
                then=partial(ablations.study, plan, seed=seed, output=folder, progress=self.progress),
            )
            if not self.options.retrieve:
                return found
            return _with_first_stage(found, systems[0].name, self.options, self.progress)

    def _systems(
        self, ranked: EvalLists, domain: str | None, opened: ExitStack, seed: int
    ) -> tuple[list[System], ListSignals, list[str]]:
        """All systems, models first; the signals of the lists; what a reader must know of them."""
        options = self.options
        systems, notes = open_systems.models(
            options.models,
            ranked,
            opened,
            self.load,
            domain=None if "domain" in self.values else domain,
            exact=options.exact,
            untrained=options.untrained,
            offline=self.offline,
            summarizing=ablations.summarizing(options.ablations),
        )
        signals, said = open_systems.signals_of(ranked, systems, opened, seed=seed)
        simple, more = open_systems.simple(options.baselines, signals)
        systems += simple
        systems += open_systems.scored(options.scores, [system.name for system in systems])
        return systems, signals, [*notes, *said, *more]


def _with_first_stage(
    found: Evaluation, ranker: str, wanted: EvaluateOptions, progress: OnProgress | None
) -> Evaluation:
    """The same with what a catalog finds, or with the error and a note: figures of hours are not lost for it."""
    outcomes, count = found.outcomes[ranker], wanted.retrieve or 0
    try:
        recall = candidate_recall.measure(found.lists, outcomes, count, catalog=wanted.catalog, progress=progress)
    except TrsrError as error:
        return replace(found, notes=[*found.notes, f"the first stage could not be measured: {error}"], error=error)
    return replace(found, first_stage=recall)


def _wanted(values: Mapping[str, Any], given: Collection[str]) -> EvaluateOptions:
    """The options of an evaluation that makes sense; raises `SettingsError`."""
    wanted = make(EvaluateOptions, {name: values[name] for name in known_options(EvaluateOptions) if name in values})
    ablations.check(wanted.ablations)
    _refuse(wanted, given)
    return wanted


def _refuse(wanted: EvaluateOptions, options: Collection[str]) -> None:
    """Raise `SettingsError` for an option that lacks another one or would change nothing; look at the catalog."""
    if wanted.catalog and not wanted.retrieve:
        raise SettingsError("`--catalog` needs `--retrieve N`", hint="such as `--retrieve 50`")
    if wanted.retrieve and wanted.lists and not wanted.catalog:
        raise SettingsError(
            "`--retrieve` of `--lists` needs `--catalog FILE`", hint="`trsr-lite catalog build` makes it"
        )
    if wanted.catalog:
        Catalog(wanted.catalog).close()  # what is wrong with it is said before hours are spent
    runs = [name for name in wanted.models if run_dir.is_run(name)]
    if wanted.untrained and not runs:
        raise SettingsError("`--untrained` is the base of a run, and none is given", hint="give `-m RUN`")
    given = [name for name in (*known_options(Settings), "exact") if name in options]
    if given and len(runs) == len(wanted.models):
        raise SettingsError(
            f"`--{given[0].replace('_', '-')}` changes nothing: a run brings its own settings and is ranked by torch"
        )


def read_lists(
    wanted: EvaluateOptions,
    values: Mapping[str, Any],
    options: Collection[str],
    preset: str | None,
    opened: ExitStack,
    on_event: OnEvent | None,
) -> tuple[EvalLists, str | None]:
    """What is ranked, and what its items are."""
    given = {name: values[name] for name in OF_DATA if name in values}
    if preset:
        one_of("preset", preset, PRESETS)
        if "dataset" not in given:
            raise SettingsError("`--preset` needs `--dataset`", hint="a run brings its own data options")
    if wanted.lists:
        if unused := [name for name in (*OF_DATA, "max_users", "part") if name != "seed" and name in options]:
            flag = f"--{unused[0].replace('_', '-')}"
            raise SettingsError(f"`--lists` brings all data, so `{flag}` changes nothing", hint="remove it")
        return lists.of_file(wanted.lists), None
    if preset:
        given = {**data_options.paper(given["dataset"]), **given}
    if "dataset" not in given:
        given = {**_of_run(wanted.models), **given}
    if "data" not in given:
        raise SettingsError("which data? `--data` is missing", hint="`--data` is the folder of the data set")
    data = make(DataOptions, given)
    read = opened.enter_context(dataset.load(data))
    if on_event:
        on_event({"data": read.report.lines()})
    found = lists.of_dataset(read, wanted.part, most=wanted.max_users, seed=data.seed)
    return found, data_options.domain_of(data.dataset)


def _of_run(models: Sequence[str]) -> dict[str, Any]:
    """The data options of the first model that is a run: its own test users are what it may be judged on."""
    runs = [name for name in models if run_dir.is_run(name)]
    if not runs:
        raise SettingsError(
            "which lists? Give `--dataset` and `--data`, or `--lists FILE`",
            hint="a training run as `-m` brings its own test users",
        )
    return open_systems.data_of(runs[0])
