"""`tune`: the weights of a bundle's signals, learned anew from lists of one's own; no language model is trained.

Invariant: what is said of the new weights comes from lists of users whom those weights never saw (cross-fitted). The
models of the bundle are copied as they are, and a bundle appears whole or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import DataError
from trsr_lite.evaluation import lists as eval_lists
from trsr_lite.evaluation import token_source
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.systems import BundleSystem
from trsr_lite.evaluation.tune_options import TuneOptions
from trsr_lite.io.digests import file_digest
from trsr_lite.metrics import intervals, ranking
from trsr_lite.models import bundle as bundles
from trsr_lite.models import bundle_folder, bundle_signals
from trsr_lite.models.bundle import Bundle
from trsr_lite.models.bundle_signals import BundleSignals
from trsr_lite.options import known_options, make, refuse_unknown
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.results import OnProgress, Progress
from trsr_lite.settings import Settings
from trsr_lite.signals import fitting, statistics_file
from trsr_lite.signals.fitting import FOLDS, JudgedList
from trsr_lite.signals.fusion import Fusion
from trsr_lite.signals.signal import MODEL, Numbers
from trsr_lite.signals.statistics_builder import StatisticsBuilder

LEAST = 30  # lists; fewer teach chance
STATISTICS = "statistics.npz"
FIGURES = ("auc", "recall@3", "ndcg@10")
NAMES = frozenset([*known_options(TuneOptions), *known_options(Settings)])


@dataclass(frozen=True)
class Tuned:
    """What tuning came to.

    Attributes
    ----------
    bundle: the new bundle, as it lies in its folder.
    lists, users: how many there were.
    weights: signal -> what a deviation counts.
    metrics: metric -> mean `after` (cross-fitted) and `before`, and their paired difference with its interval.
    """

    bundle: Bundle
    lists: int
    users: int
    weights: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "schema": 1,
            "bundle": str(self.bundle.recommender.path.parent),
            "lists": self.lists,
            "users": self.users,
            "weights": dict(self.weights),
            "metrics": {name: dict(one) for name, one in self.metrics.items()},
        }


def tune(
    model: str | Path,
    output: str | Path,
    *,
    force: bool = False,
    offline: bool = False,
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    machine: EngineOptions | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> Tuned:
    """Learn the weights of a model's signals from lists, and write a bundle with them.

        tuned = trsr_lite.tune("smollm2", "bundles/mine", lists="clicks.jsonl", margins="never")
        print(tuned.metrics["auc"]["after"], tuned.metrics["auc"]["before"])

    Keywords
    --------
    model: a bundle, a `.gguf` file, `user/repo[:TYPE]` or `smollm2`.
    output: the folder of the new bundle.
    force: replace the bundle in `output`.
    offline: open no network connection.
    cache_dir, data_dir: where summaries and the prepared default model are kept; the system's folders without them.
    machine: how models run.
    progress: hears how far it is.
    **options: fields of `TuneOptions` and `Settings`.

    Raises `SettingsError` for options that cannot be, `DataError` for lists that cannot be used or are too few, and
    `ModelError` for a model that cannot.
    """
    refuse_unknown(options, NAMES)
    asked = make(TuneOptions, {name: options[name] for name in known_options(TuneOptions) if name in options})
    changes = {name: options[name] for name in known_options(Settings) if name in options}
    target = Path(output)
    bundle_folder.check(target, force=force)
    lists = _read(asked.lists)
    with ExitStack() as opened:
        folders: dict[str, Any] = {"cache_dir": cache_dir, "data_dir": data_dir, "offline": offline}
        recommender = opened.enter_context(
            Recommender.load(model, options=machine, progress=progress, **folders, **{**changes, "signals": (MODEL,)})
        )
        bundle = recommender.bundle
        place = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        numbers, statistics = _simple(bundle, lists, asked, place, opened)
        if _asks_model(bundle, asked):
            numbers = _with_margins(numbers, recommender, lists, progress)
        judged = _judged(lists, numbers)
        names = sorted({name for one in numbers for name in one})
        users = len(set(lists.users()))
        facts = {"lists": len(judged), "users": users, "digest": lists.digest()}
        found = fitting.fit(judged, names, facts=facts)
        before = _before(bundle, numbers, judged)
        signals = bundle_signals.make(statistics, found.fusion, file_digest)
        bundle_folder.write(bundle, signals, target, force=force)
    weights = {name: round(found.fusion.weights[name].weight, 4) for name in found.fusion.names}
    metrics = _compared(judged, found.scores, before, lists.users())
    return Tuned(bundles.load(target, file_digest), len(judged), users, weights, metrics)


def _read(path: str) -> EvalLists:
    """The lists; raises `DataError` where there are too few."""
    lists = eval_lists.of_file(path)
    if (count := len(lists.examples)) < LEAST:
        raise DataError(
            f"{path}: {count} lists; tuning needs at least {LEAST}", hint="collect more: 200 or so are a good start"
        )
    return lists


def _simple(
    bundle: Bundle, lists: EvalLists, asked: TuneOptions, place: Path, opened: ExitStack
) -> tuple[list[dict[str, Numbers]], Path]:
    """What all signals but the model say of each list, and the file of the statistics that they rest on."""
    tokens = token_source.of_file(bundle.recommender.path, bundle.recommender.identity, opened)
    if bundle.signals is None or asked.statistics == "lists":
        builder = StatisticsBuilder(tokens.tokenizer, tokens.table)
        builder.add(lists.items)
        statistics_file.save(builder.build(), place / STATISTICS)
        signals = bundle_signals.make(place / STATISTICS, Fusion({}), file_digest)
    else:
        signals = BundleSignals(bundle.signals.statistics, Fusion({}))
    ranker = signals.ranker(bundle.recommender.path, tokens.tokenizer)
    numbers = [ranker.numbers(one.history, one.candidates) for _, one in sorted(lists.examples.items())]
    return numbers, signals.statistics.path


def _asks_model(bundle: Bundle, asked: TuneOptions) -> bool:
    if asked.margins != "auto":
        return asked.margins == "always"
    return bundle.signals is not None and MODEL in bundle.signals.fusion.names


def _with_margins(
    numbers: Sequence[dict[str, Numbers]], recommender: Recommender, lists: EvalLists, progress: OnProgress | None
) -> list[dict[str, Numbers]]:
    """The same with the model's margin of each candidate."""
    examples = [one for _, one in sorted(lists.examples.items())]
    system, found = BundleSystem("model", recommender), []
    system.prepare(examples, progress)
    for place, (example, own) in enumerate(zip(examples, numbers, strict=True), 1):
        found.append({**own, MODEL: system.answer(example).scores.astype(np.float32)})
        if progress:
            progress(Progress("score", place / len(examples)))
    return found


def _judged(lists: EvalLists, numbers: Sequence[Mapping[str, Numbers]]) -> list[JudgedList]:
    """The lists with what signals say; those of fewer users than folds count as one user's each."""
    examples = [one for _, one in sorted(lists.examples.items())]
    few = len({one.user_id for one in examples}) < FOLDS
    return [JudgedList(own, one.labels, "" if few else one.user_id) for own, one in zip(numbers, examples, strict=True)]


def _before(bundle: Bundle, numbers: Sequence[Mapping[str, Numbers]], judged: Sequence[JudgedList]) -> list[Numbers]:
    """Scores by the weights that the bundle has; without any by the model's margin, else none."""
    if bundle.signals is not None:
        return [bundle.signals.fusion.scores(own, len(one.labels)) for own, one in zip(numbers, judged, strict=True)]
    return [own[MODEL] for own in numbers if MODEL in own]


def _compared(
    judged: Sequence[JudgedList], after: Sequence[Numbers], before: Sequence[Numbers], users: intervals.Users
) -> dict[str, dict[str, Any]]:
    new = _figures(judged, after)
    if not before:
        return {name: {"after": round(float(new[name].mean()), 5)} for name in FIGURES}
    old = _figures(judged, before)
    return {
        name: {
            "before": round(float(old[name].mean()), 5),
            "after": round(float(new[name].mean()), 5),
            **intervals.difference(new[name], old[name], users).to_dict(),
        }
        for name in FIGURES
    }


def _figures(judged: Sequence[JudgedList], scores: Sequence[Numbers]) -> dict[str, intervals.Values]:
    each = [ranking.summary([(found, one.labels)], (3, 10)) for one, found in zip(judged, scores, strict=True)]
    return {name: np.array([values[name] for values in each]) for name in FIGURES}
