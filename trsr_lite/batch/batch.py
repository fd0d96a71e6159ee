"""A batch from its options to its report: plan, or go on with a plan; then work what is not committed yet.

Invariant: whatever stopped a run before, the same options lead to the same folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from trsr_lite.batch import manifest, output, plan, thread_workers, users
from trsr_lite.batch.batch_options import BatchOptions
from trsr_lite.batch.plan import Counts, Partition, Rules
from trsr_lite.batch.worker import Done, Job
from trsr_lite.catalog.catalog import Catalog
from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.io import lock
from trsr_lite.io.remote import RemotePath
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.recommender.user_files import read_candidates
from trsr_lite.records import Item
from trsr_lite.results import OnProgress, Progress

ENGINES = ("local", "ray")
_IN_USE = "wait until it has ended, or stop it and go on with `--resume`; or name another folder"


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes
    ----------
    output: the folder.
    counts: rows, users, bad rows, duplicates and partitions of the users file.
    kept: partitions that an earlier run had committed.
    users: users that this run worked.
    failed: of those, the users that the model could not be asked about.
    seconds: of this run, planning included.
    hint: what to know before trusting the results, or None.
    """

    output: str
    counts: Counts
    kept: int
    users: int
    failed: int
    seconds: float
    hint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "output": self.output,
            **vars(self.counts),
            "kept_partitions": self.kept,
            "worked_users": self.users,
            "failed_users": self.failed,
            "seconds": round(self.seconds, 3),
        }

    def lines(self) -> list[str]:
        """The same for people."""
        counts = self.counts
        found = [f"{counts.users} users in {counts.partitions} files: {self.output}"]
        if self.kept:
            found.append(f"files there already: {self.kept}")
        if counts.bad or counts.duplicates:
            found.append(
                f"{counts.bad} rows cannot be used and {counts.duplicates} name a user again: "
                f"{RemotePath(self.output) / plan.REJECTS}"
            )
        if self.failed:
            found.append(f'{self.failed} users have an "error" instead of recommendations')
        found.append(f"{self.users} users in {self.seconds:.1f} s")
        return found


def run(
    options: BatchOptions,
    open_recommender: Callable[[int | None], Recommender],
    *,
    resume: bool = False,
    engine: str = "local",
    workers: int = 1,
    threads: int | None = None,
    gpus: float = 0.0,
    progress: OnProgress | None = None,
) -> Report:
    """Summarize and rank all users of a file.

    `open_recommender` makes a recommender that may use so many threads (None: all); every worker calls it, on Ray in a
    process of its own. `workers` is how many there are, `threads` and `gpus` (Ray only) are what each of them gets.
    With `resume`, a folder that holds this batch already is completed. A local folder is locked for the time of the
    call: of two runs at once the second raises `SettingsError`. Raises `TrsrError`.
    """
    _check(engine, workers, gpus)
    start = time.perf_counter()
    places: dict[str, Any] = {
        name: _absolute(place) for name in ("users", "output", "catalog") if (place := getattr(options, name))
    }
    options = replace(options, **places)
    folder, source = RemotePath(options.output), users.source(options.users)
    suffix = options.format or source.suffix
    with closing(open_recommender(None)) as driver:
        candidates = _candidates(options.candidates, driver) if options.candidates else None
        rules = Rules(
            driver.settings,
            own_candidates=not (candidates or options.catalog or options.summaries_only),
            sort_history=options.sort_history,
            strict=options.strict,
        )
        catalog = _catalog_digest(options.catalog, options.retrieve) if options.catalog else None
        head = manifest.asked(options, driver, candidates, catalog, suffix)
        job = Job(options, suffix, rules, candidates, catalog, manifest.model(driver), open_recommender)
        hint = driver.bundle.hint
    with lock.held(folder, hint=_IN_USE):
        counts = manifest.check(folder, head, resume=resume)
        folder.remove_temporary()
        if counts is None:
            counts = plan.make(source, folder, rules, options.partition_users)
            manifest.write(folder, head, counts)
        if not counts.users:
            raise DataError(f"{options.users}: has no usable user", hint=f"see {folder / plan.REJECTS}")
        tally = _Tally(folder, suffix, counts.users, progress)
        if engine == "ray":
            from trsr_lite.batch import ray

            work = ray.work(job, tally.left(), workers=workers, threads=threads, gpus=gpus)
        else:
            work = thread_workers.work(job, tally.left(), workers=workers, threads=threads, on_user=tally.user)
        with closing(work):
            for done in work:
                tally.add(done)
    return Report(options.output, counts, tally.kept, tally.users, tally.failed, time.perf_counter() - start, hint)


def _check(engine: str, workers: int, gpus: float) -> None:
    if engine not in ENGINES:
        raise SettingsError(f"engine is {engine!r}; it must be one of {', '.join(ENGINES)}")
    if workers < 1:
        raise SettingsError(f"workers is {workers}; it must be at least 1")
    if gpus and engine != "ray":
        raise SettingsError("`--gpus` needs `--engine ray`", hint="layers go to the GPU with `--gpu-layers`")


class _Tally:
    """What is committed already, and what this run adds."""

    def __init__(self, folder: RemotePath, suffix: str, total: int, progress: OnProgress | None) -> None:
        self._folder, self._suffix, self._total, self._progress = folder, suffix, total, progress
        self.kept = self.users = self.failed = self._ranked = self._there = 0

    def left(self) -> Iterator[Partition]:
        """Partitions that are not committed yet, in order."""
        for partition in plan.read(self._folder):
            if (self._folder / output.name(partition.number, self._suffix)).exists():
                self.kept, self._there = self.kept + 1, self._there + partition.users
            else:
                yield partition

    def user(self) -> None:
        """One more user is ranked."""
        self._ranked += 1
        self._show(self._ranked)

    def add(self, done: Done) -> None:
        """One more partition is committed."""
        self.users, self.failed = self.users + done.users, self.failed + done.failed
        self._show(max(self.users, self._ranked))

    def _show(self, ranked: int) -> None:
        if self._progress:
            self._progress(Progress("batch", (self._there + ranked) / self._total))


def _candidates(file: str, recommender: Recommender) -> tuple[Item, ...]:
    """The candidates of every user. One that has no room in a prompt is no user's fault, and stops the batch."""
    items = tuple(read_candidates(file))
    try:
        recommender.check_candidates(items)
    except DataError as error:
        raise DataError(f"{file}: {error}", hint=error.hint) from None
    return items


def _catalog_digest(path: str, retrieve: Retrieval) -> str:
    """The digest of the catalog; a filter that can find nothing is no user's fault, and stops the batch."""
    with Catalog(path) as catalog:
        catalog.check(retrieve)
        return catalog.digest


def _absolute(address: str) -> str:
    return RemotePath(address).absolute().address
