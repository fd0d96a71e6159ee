"""Measuring a bundle, a GGUF or the default on this machine: from loading a file to ranking for a user.

Invariant: summaries are kept in a temporary folder that is gone afterwards. What a person waits for is measured first,
through `Recommender`. So the peak of memory is that of recommending, not of the measuring after it.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trsr_lite.bench import machine, samples, speeds
from trsr_lite.bench.advice import advise
from trsr_lite.bench.energy import Meter
from trsr_lite.bench.figures import SCHEMA, STATES
from trsr_lite.bench.speeds import CANDIDATES
from trsr_lite.bench.stopwatch import Spent, Stopwatch, rates, times
from trsr_lite.engine import llama
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.engine.threads import default_threads
from trsr_lite.models.bundle import Bundle
from trsr_lite.models.resolve import DEFAULT_MODEL
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import User
from trsr_lite.results import OnProgress, Progress, Result

ROUNDS, QUICK_ROUNDS = 3, 2
HISTORY, USERS = 25, 8
STAGES = ("recommend", "summaries", "loading", "prefill", "decode", "scoring")


def run(
    model: str | Path = DEFAULT_MODEL,
    *,
    options: EngineOptions | None = None,
    data_dir: str | Path | None = None,
    offline: bool = False,
    quick: bool = False,
    progress: OnProgress | None = None,
) -> dict[str, Any]:
    """The report: plain JSON values; times in seconds, rates per second, memory in bytes, energy in joules.

    Takes some minutes for a small model; two rounds instead of three with `quick`. Raises `ModelError` where the model
    is missing or broken.
    """
    options = options or EngineOptions()
    meter = Meter()
    watch = Stopwatch(QUICK_ROUNDS if quick else ROUNDS, meter)

    def stage(name: str) -> None:
        if progress:
            progress(Progress(f"measure: {name}", STAGES.index(name) / len(STAGES)))

    with tempfile.TemporaryDirectory(prefix="trsr-lite-bench-") as folder, _each_warning_once():
        load = partial(Recommender.load, model, options=options, cache_dir=folder, data_dir=data_dir, offline=offline)
        load = partial(load, cache_size=0)  # margins are computed, whatever is stored
        with load(progress=progress) as recommender:  # fetched, prepared and hashed: none of it is measured
            bundle = recommender.bundle
        facts, others, start = machine.facts(), machine.Others(), time.perf_counter()
        stage("recommend")
        machine.forget_peak()
        spent, made = recommending(load, watch)
        memory = machine.peak_memory()
        stage("summaries")
        summaries = summarizing(load, watch)
        stage("loading")
        loading = speeds.loading(bundle, options, watch)
        stage("prefill")
        prefill = speeds.prefill(bundle.recommender, options, watch)
        stage("decode")
        decode = speeds.decode(bundle.summarizer, options, watch)
        stage("scoring")
        scoring, can_rewind = speeds.scoring(bundle.recommender, options, watch)
        kv_bytes = speeds.kv_bytes(bundle.recommender, options)
    report = {
        "schema": SCHEMA,
        "machine": facts,
        "model": {**_described(bundle, prepared_here=str(model) == DEFAULT_MODEL), "can_rewind": can_rewind},
        "conditions": _conditions(options, watch, start, others, quick=quick),
        "load_seconds": loading,
        "prefill": prefill,
        "decode": decode,
        "scoring": scoring,
        "summaries": summaries,
        "recommend": {state: {**times([one.seconds for one in spent[state]]), **made[state]} for state in STATES},
        "memory_bytes": memory,
        "kv_bytes_per_token": kv_bytes,
        "energy_joules": _energy(meter.sample(), spent),
    }
    return {**report, "advice": advise(report)}


# What a person waits for


def recommending(
    load: Callable[[], Recommender], watch: Stopwatch
) -> tuple[dict[str, list[Spent]], dict[str, dict[str, int]]]:
    """What each state of `recommend` took, and how many summaries it made. Nothing warms up: cold is meant."""
    longer = samples.user(HISTORY + 1, CANDIDATES, seed=0)
    user = replace(longer, history=longer.history[:HISTORY])
    spent: dict[str, list[Spent]] = {state: [] for state in STATES}
    made: dict[str, dict[str, int]] = {}
    for _ in range(watch.rounds):
        with load() as recommender:
            recommender.store.clear()
            for state, person in zip(STATES, (user, user, longer), strict=True):
                results: list[Result] = []
                work = partial(_keep, results, recommender, person)
                spent[state].append(watch.once(work))
                made[state] = {"summaries": results[0].stats.summary_calls}
    return spent, made


def _keep(results: list[Result], recommender: Recommender, user: User) -> None:
    results.append(recommender.recommend(user))


def summarizing(load: Callable[[], Recommender], watch: Stopwatch) -> list[dict[str, Any]]:
    """Summaries a second, for one user and for several together; nothing where the strategy makes none."""
    histories = [samples.items(HISTORY, seed) for seed in range(1, USERS + 1)]
    made: dict[int, int] = {}
    with load() as recommender:

        def work(users: int) -> float:
            recommender.store.clear()
            start = time.perf_counter()
            found = recommender.summaries(histories[:users])
            seconds = time.perf_counter() - start
            made[users] = sum(summary.calls for summary in found)
            return seconds

        work(1)  # loads the model
        spent = watch.in_turns({users: partial(work, users) for users in (1, USERS)}, warm_up=False)
    return [
        {"users": users, "items": HISTORY, "summaries": made[users], **rates(made[users], seconds)}
        for users, seconds in spent.items()
        if made[users]
    ]


# Facts


def _conditions(
    options: EngineOptions, watch: Stopwatch, start: float, others: machine.Others, *, quick: bool
) -> dict[str, Any]:
    return {
        **vars(options),
        "threads": options.threads or default_threads(),
        "quick": quick,
        "rounds": watch.rounds,
        "seconds": round(time.perf_counter() - start, 1),
        "busy_elsewhere": others.share(),
    }


def _described(bundle: Bundle, *, prepared_here: bool) -> dict[str, Any]:
    """`type_rates` are figures of several tensor types of one model, which only the default brings for this machine."""
    measured: Mapping[str, Any] = bundle.measured.get("tokens_per_second", {}) if prepared_here else {}
    return {
        "name": bundle.name,
        "trained": bundle.trained,
        "strategy": bundle.settings.strategy,
        "files": [
            {
                "file": file.path.name,
                "adapter": file.adapter.path.name if file.adapter else None,
                "roles": list(roles),
                "type": file.type,
                "bytes": file.size,
                "digest": file.identity,
            }
            for roles, file in speeds.files(bundle).items()
        ],
        "type_rates": {name: dict(rates) for name, rates in measured.items()},
    }


def _energy(total: float | None, spent: Mapping[str, list[Spent]]) -> dict[str, Any] | None:
    """Joules of the whole machine: of all measuring, and of the least demanding round of each `recommend`."""
    if total is None:
        return None
    known = {state: [one.joules for one in rounds if one.joules is not None] for state, rounds in spent.items()}
    return {
        "total": round(total, 1),
        "recommend": {state: round(min(joules), 2) if joules else None for state, joules in known.items()},
    }


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """An engine warns whenever it is made, and many are made here."""
    seen: set[str] = set()

    def first(record: logging.LogRecord) -> bool:
        known = record.getMessage() in seen
        seen.add(record.getMessage())
        return not known

    log = logging.getLogger(llama.__name__)
    log.addFilter(first)
    try:
        yield
    finally:
        log.removeFilter(first)
