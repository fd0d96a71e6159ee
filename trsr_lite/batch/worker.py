"""One engine that works partitions, wherever it runs.

Invariant: a partition's file depends on the partition alone, not on the worker, nor on how often the work was begun:
its summaries are generated in the same rounds each time, each round kept whole, and each user is scored alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trsr_lite.batch import manifest, output, plan, users
from trsr_lite.batch.batch_options import BatchOptions
from trsr_lite.batch.plan import Partition, Rules
from trsr_lite.cancellation import Cancellation
from trsr_lite.catalog.catalog import Catalog
from trsr_lite.errors import DataError, ModelError
from trsr_lite.io.remote import RemotePath
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import Item, User

OnUser = Callable[[], None]
"""Called as each user is ranked."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs, in a form that can be sent to another machine.

    Attributes
    ----------
    options: of the batch, with places that do not depend on the working folder.
    suffix: of the output's files.
    rules: what a user is.
    candidates: items that every user is ranked for, or None.
    catalog: the digest of the catalog, or None.
    model: as `manifest.model` gives it for the driver.
    open: makes the worker's own recommender; called with the threads it may use, None for all.
    """

    options: BatchOptions
    suffix: str
    rules: Rules
    candidates: tuple[Item, ...] | None
    catalog: str | None
    model: Mapping[str, Any]
    open: Callable[[int | None], Recommender]


@dataclass(frozen=True)
class Done:
    """A partition that is committed: its users, how many of them failed, and the seconds it took."""

    number: int
    users: int
    failed: int
    seconds: float


class Worker:
    """Works partitions of a job, one at a time; a context manager, because it holds a model."""

    def __init__(self, job: Job, threads: int | None = None) -> None:
        self._job = job
        self._folder = RemotePath(job.options.output)
        self._source = users.source(job.options.users)
        self._catalog = Catalog(job.options.catalog) if job.options.catalog else None
        self._recommender = job.open(threads)
        found = manifest.model(self._recommender)
        if found != dict(job.model):
            self.close()
            raise ModelError(
                f"this worker's model is {found['recommender']}; the batch was begun with {job.model['recommender']}",
                hint="give every machine the same model files",
            )

    def work(self, partition: Partition, *, on_user: OnUser | None = None, cancel: Cancellation | None = None) -> Done:
        """Summarize and rank the users of a partition, and commit its file.

        Raises `DataError` where a user fails and the batch is strict, and what `Recommender` raises.
        """
        start = time.perf_counter()
        self._check_catalog()
        ranked = plan.users(self._source, partition, self._job.rules)
        histories, ids = [user.history for user in ranked], [user.user_id for user in ranked]
        self._recommender.summaries(histories, user_ids=ids, cancel=cancel, deterministic=True)
        lines = []
        for user in ranked:
            lines.append(self._line(user, cancel))
            if on_user:
                on_user()
        self._check_catalog()  # nothing that was ranked from another state of it is kept
        output.write(lines, self._folder, partition.number, self._job.suffix)
        failed = sum(line["error"] is not None for line in lines)
        return Done(partition.number, len(ranked), failed, time.perf_counter() - start)

    def close(self) -> None:
        """Free the model."""
        self._recommender.close()
        if self._catalog:
            self._catalog.close()

    def _check_catalog(self) -> None:
        if self._catalog and self._catalog.digest != self._job.catalog:
            raise DataError(
                f"{self._catalog.path}: the catalog has changed since the batch was begun",
                hint="put the old one back and use `--resume`, or begin in another folder",
            )

    def _line(self, user: User, cancel: Cancellation | None) -> dict[str, Any]:
        options = self._job.options
        try:
            if options.summaries_only:
                return output.line(self._recommender.summarize(user, cancel=cancel))
            return output.line(
                self._recommender.recommend(
                    user,
                    self._job.candidates,
                    k=options.k,
                    catalog=self._catalog,
                    retrieve=options.retrieve,
                    exact=options.exact,
                    cancel=cancel,
                )
            )
        except DataError as error:
            if options.strict:
                raise DataError(f"user {user.user_id!r}: {error}", hint=error.hint) from error
            return output.failed(user.user_id, str(error))
