"""From names to systems: models, runs and baselines, with what a reader must know about each.

Invariant: a model that may have seen the lists in training is used, and said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.errors import SettingsError
from trsr_lite.evaluation import baselines
from trsr_lite.evaluation.lists import Lists
from trsr_lite.evaluation.systems import Model, Simple, System
from trsr_lite.recommender import Recommender
from trsr_lite.settings import Settings

Load = Callable[..., Recommender]
"""`Recommender.load` with the machine's options; takes the model and single settings."""
RUN = "run.json"
# What decides which users are held out.
SPLIT = ("dataset", "locale", "min_items", "max_items", "max_users", "validation", "test", "seed")


def is_run(name: str) -> bool:
    """Whether a name is a training run's folder."""
    return (Path(name) / RUN).is_file()


def data_of(name: str) -> dict[str, Any]:
    """The data options of a run, as it was asked."""
    record = orjson.loads((Path(name) / RUN).read_bytes())
    data: dict[str, Any] = record["config"]["data"]
    if "dataset" not in data:
        raise SettingsError(f"{name}: is a run of a summarizer, which ranks nothing")
    return data


def model(name: str, opened: ExitStack, load: Load, *, domain: str | None, exact: bool) -> System:
    """A bundle or GGUF; one that was never trained reads the lists as `domain`."""
    recommender = opened.enter_context(load(name))
    if domain and not recommender.bundle.trained:
        recommender.settings = recommender.settings.updated(domain=domain)
    return Model(_short(name), recommender, exact=exact)


def run(
    name: str, lists: Lists, opened: ExitStack, load: Load, *, untrained: bool, offline: bool
) -> tuple[list[System], list[str]]:
    """A run in torch, its base too if asked for; and what there is to say about its data."""
    try:
        from trsr_lite.evaluation.run import Run
        from trsr_lite.training.scorer import Scorer
    except ImportError as error:
        raise SettingsError(f"a run needs {error.name}", hint="pip install 'trsr-lite[train]'") from error
    scorer = Scorer(Path(name), offline=offline)
    recommender = opened.enter_context(load(scorer.options.summarizer, **_changes(scorer.settings)))
    systems: list[System] = [Run(_short(name), scorer, recommender)]
    if untrained:
        base = Scorer(Path(name), base_model=True, offline=offline)
        systems.append(Run(_short(name), base, recommender, base_model=True))
    return systems, _seen(name, scorer.record, lists)


def simple(names: Sequence[str], lists: Lists, *, seed: int) -> tuple[list[System], list[str]]:
    """Baselines; popularity is left out, and said, where nobody counted."""
    usable = [name for name in names if name != "popularity" or lists.counts is not None]
    notes = [] if len(usable) == len(names) else ["popularity is left out: a file of lists has no training users"]
    return [Simple(name, baselines.make(name, lists.items, lists.counts, seed)) for name in usable], notes


def _seen(name: str, record: Mapping[str, Any], lists: Lists) -> list[str]:
    """A warning where the run's own split is not the one that is ranked."""
    ours, theirs = lists.facts.get("options", {}), record["config"]["data"]
    same = all(ours.get(key) == theirs.get(key) for key in SPLIT)
    if same and lists.facts.get("files") == record["data"]["files"]:
        return []
    return [f"{_short(name)} was trained on other data or another split of them: it may have seen these users"]


def _changes(settings: Settings) -> dict[str, Any]:
    return {key: getattr(settings, key) for key in settings.to_dict()}


def _short(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix == ".gguf" else path.name if path.exists() else name
