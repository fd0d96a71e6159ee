"""One training run, from raw data to an adapter that was read back from disk.

Invariant: a finished run's adapter gives the margins that were validated; a run that was killed continues to the same
result. Nothing is trained before the base, the data and the summaries are known to be usable.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState

from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.io import files
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import Item
from trsr_lite.results import OnEvent, OnProgress, Progress
from trsr_lite.settings import Settings
from trsr_lite.training import (
    base_model,
    curves,
    distributed,
    lora,
    memory,
    ranking_data,
    reporters,
    run_dir,
    saved_adapter,
    trainable,
    trainer,
    validation,
)
from trsr_lite.training.ranking_data import RankingData, Summarizer
from trsr_lite.training.schedule import Order, Schedule, check_rows
from trsr_lite.training.summary_data import SummaryData
from trsr_lite.training.tokenizer import HfTokenizer
from trsr_lite.training.train_options import PairOptions, TrainOptions
from trsr_lite.training.train_result import TrainResult
from trsr_lite.training.trainable import Learner
from trsr_lite.training.trainer import METRIC, SHORTENED

BATCH_TOKENS = {"cpu": 2048, "gpu": 8192}  # a token of a 135M base with LoRA takes 2 MB of activations


def train(
    options: TrainOptions,
    settings: Settings,
    data: DataOptions | PairOptions,
    output: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    offline: bool = False,
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    machine: EngineOptions | None = None,
    progress: OnProgress | None = None,
    on_event: OnEvent | None = None,
) -> TrainResult:
    """Train as the options say, into the folder `output`.

    `machine` is how the summarizer runs. `progress` hears of the summaries, `on_event` of the data, of every step and
    every validation (see `results.OnEvent`), both in the main process alone. Started with `torchrun`, every process
    calls this alike. Raises `SettingsError`, `DataError`, `ModelError`, `TrsrError`.
    """
    reporters.check(options.report_to)
    began, state = time.perf_counter(), distributed.join()
    if os.path.islink(output):  # noqa: PTH114 - what cannot be looked at is said by whoever opens it
        output = os.path.realpath(output)  # `force` keeps the link
    output = Path(output)
    if not state.is_main_process:
        progress = on_event = None
    config = {"options": asdict(options), "settings": settings.to_dict(), "data": asdict(data)}
    check_rows(options.batch_rows, state.num_processes)
    with run_dir.alone(output) if state.is_main_process else contextlib.nullcontext():
        with distributed.in_turn(state):
            record = run_dir.open_run(output, config, resume=resume or not state.is_main_process, force=force)
        if resume and record["status"] == "finished" and (output / lora.place(options)).is_dir():
            return TrainResult(output, record["steps"], record["best"], record["seconds"])
        if resume and options.dtype == "auto":  # on this machine another might be the best one
            options = replace(options, dtype=record.get("computed_in", options.dtype))
        places: dict[str, Any] = {"cache_dir": cache_dir, "data_dir": data_dir, "offline": offline}
        load = partial(Recommender.load, options.summarizer, options=machine, progress=progress, **places)
        run = _Run(options, settings, data, output, state, record, resume, offline, began)
        return run.trained(load, progress or (lambda _: None), on_event)


@dataclass(frozen=True)
class _Run:
    """One start of a run; `record` is what its folder says of it, `began` the clock at its start."""

    options: TrainOptions
    settings: Settings
    data: DataOptions | PairOptions
    output: Path
    state: PartialState
    record: dict[str, Any]
    resume: bool
    offline: bool
    began: float

    def trained(self, load: Callable[..., Recommender], report: OnProgress, on_event: OnEvent | None) -> TrainResult:
        """Train, keep the adapter, and finish the record."""
        options, output, state = self.options, self.output, self.state
        transformers.utils.logging.disable_progress_bar()
        transformers.set_seed(options.seed)
        report(Progress("load the base model", 0.0))
        with contextlib.ExitStack() as opened, memory.checked():
            start = opened.enter_context(run_dir.starting(output, undo=state.is_main_process and not self.resume))
            weights = options.weights if isinstance(self.data, DataOptions) else {"text": 1.0}
            ready = trainable.load(options, self.settings, weights, state, offline=self.offline)
            summarizer = summarizer_of(load, output, self.record, state, report)
            source = source_of(options, self.settings, self.data, ready.tokenizer, summarizer, opened, on_event)
            self._begin(ready, source, start)
            fitted = _fit(ready, source, options, output, self.resume, on_event, state, self.began)
            probes = source.validation[: saved_adapter.PROBES]
            saved_adapter.keep(
                fitted.trainer, probes, ready, options, output, state, budget=fitted.budget, offline=self.offline
            )
        seconds = fitted.before + time.perf_counter() - self.began
        if state.is_main_process:
            self.record.update(status="finished", steps=fitted.steps, best=fitted.best)
            with files.checked(output, hint=run_dir.ROOM):
                run_dir.write(output, {**self.record, SHORTENED: fitted.shortened, "seconds": seconds})
                curves.curves(output)
        state.wait_for_everyone()
        return TrainResult(output, fitted.steps, fitted.best, seconds)

    def _begin(self, ready: Learner, source: RankingData | SummaryData, start: Callable[[], object]) -> None:
        """Note what the run is made of; raises `SettingsError` where it was begun with something else."""
        facts = _facts(ready, source)
        if self.resume:
            run_dir.check_same(self.output, self.record, facts)
        start()
        types = {"dtype": _name(ready.held), "computed_in": _name(ready.dtype)}
        self.record.update(facts, **types, versions=run_dir.versions())
        if self.state.is_main_process:
            with files.checked(self.output, hint=run_dir.ROOM):
                run_dir.write(self.output, self.record)
                if isinstance(source, RankingData):
                    ranking_data.write(source.lists, self.output / run_dir.LISTS)


def _facts(ready: Learner, source: RankingData | SummaryData) -> dict[str, Any]:
    """What a run is continued with, or not at all."""
    return {
        "base": base_model.identity(ready.located, ready.model),
        "answers": list(ready.objective.answers),
        "prompt_version": PROMPT_VERSION,
        "data": source.facts(),
    }


def summarizer_of(
    load: Callable[..., Recommender], output: Path, record: dict[str, Any], state: PartialState, report: OnProgress
) -> Summarizer:
    """Summaries of the model that `load` opens, which `record` then knows; a run is continued with the same alone."""

    def summarize(histories: Sequence[Sequence[Item]], settings: Settings) -> list[str | None]:
        opened = load(**{name: getattr(settings, name) for name in settings.to_dict()})
        with opened as recommender, distributed.in_turn(state):
            run_dir.check_same(output, record, {"summarizer": recommender.bundle.summarizer.identity})
            record["summarizer"] = recommender.bundle.summarizer.identity
            if adapter_of := recommender.bundle.summarizer.adapter:
                record["summarizer_adapter"] = adapter_of.digest
            heard = _rated(report, len(histories))
            found = recommender.summaries(histories, progress=heard, deterministic=True, nodes=False)
            return [one.text for one in found]

    return summarize


def source_of(
    options: TrainOptions,
    settings: Settings,
    data: DataOptions | PairOptions,
    tokenizer: HfTokenizer,
    summarize: Summarizer,
    opened: contextlib.ExitStack,
    heard: OnEvent | None,
) -> RankingData | SummaryData:
    """What is learned: lists with their summaries, or pairs."""
    if isinstance(data, PairOptions):
        held_out, most = data.validation, options.validation_users
        texts = SummaryData(Path(data.pairs), settings, tokenizer, held_out=held_out, seed=options.seed, most=most)
        if heard:
            heard({"data": texts.report.lines()})
        return texts
    read = opened.enter_context(dataset.load(data))
    if heard:
        heard({"data": read.report.lines()})
    summarizer = summarize if settings.strategy != "none" else None
    return RankingData(
        read,
        settings,
        tokenizer,
        summarizer,
        options.validation_users,
        read=_order(read.numbers("train"), options).read(),
        drop_summaries=options.drop_summaries,
        content_free=options.content_free,
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _order(numbers: Sequence[int], options: TrainOptions) -> Order:
    return Order(numbers, options.epochs, options.batch_rows, options.seed, options.max_steps)


@dataclass(frozen=True)
class _Fitted:
    """What was trained.

    `before`: seconds of the starts that this one continues; `budget`: most tokens of a validation pass.
    """

    trainer: trainer.PackTrainer
    steps: int
    best: dict[str, float]
    shortened: int
    before: float
    budget: int


def _fit(
    ready: Learner,
    source: RankingData | SummaryData,
    options: TrainOptions,
    output: Path,
    resume: bool,
    on_event: OnEvent | None,
    state: PartialState,
    began: float,
) -> _Fitted:
    model, objective = lora.attach(ready.model, options), ready.objective
    learned = options.batch_tokens or BATCH_TOKENS["cpu" if state.device.type == "cpu" else "gpu"]
    budget = validation.budget(learned)
    schedule = Schedule(
        _order(source.train, options),
        source.row,
        batch_tokens=learned,
        world=state.num_processes,
        answers=objective.answers,
        whole_text=options.whole_text,
    )

    def validate(model: Any) -> dict[str, float]:
        return source.metrics(validation.score(model, source.validation, objective, batch_tokens=budget))

    checkpoint, start = trainer.latest_checkpoint(output) if resume else (None, 0)
    if checkpoint and state.is_main_process:
        trainer.relocate(checkpoint)
    state.wait_for_everyone()
    with files.checked(output, hint=run_dir.ROOM):
        log = trainer.Log(output, on_event, start, began)
        fitter = trainer.make(model, schedule, options, ready.dtype, output, objective, validate, log)
        if checkpoint and trainer.lost_patience(output, options.patience):
            fitter.end_at(checkpoint)
        else:
            fitter.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    lines = trainer.read_log(output)
    best = max((line for line in lines if METRIC in line), key=lambda line: line[METRIC])
    metrics = {name: value for name, value in best.items() if name not in ("steps", trainer.SECONDS)}
    shortened = sum(line.get(SHORTENED, 0) for line in lines)
    return _Fitted(fitter, fitter.state.global_step, metrics, shortened, log.before, budget)


def _rated(progress: OnProgress, users: int) -> OnProgress:
    """The same, told that so many users are summarized, and how many a second so far."""

    def report(done: Progress) -> None:
        if done.stage == "summarize":
            done = Progress(f"summarize {users} users, {done.rate or 0.0:.2f} a second", done.fraction)
        progress(done)

    return report
