"""Workers in this process: each a thread with an engine of its own.

Invariant: partitions are begun in order; memory is that of one partition for each worker.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing

from trsr_lite.batch.plan import Partition
from trsr_lite.batch.worker import Done, Job, OnUser, Worker
from trsr_lite.cancellation import Cancellation
from trsr_lite.engine.threads import default_threads


def work(
    job: Job, partitions: Iterator[Partition], *, workers: int, threads: int | None, on_user: OnUser | None = None
) -> Generator[Done, None, None]:
    """Work partitions, yielding each as it is committed; `threads` are those of one worker.

    Where one worker fails, the others are stopped and its error is raised.
    """
    if workers == 1:
        with closing(Worker(job, threads)) as worker:
            for partition in partitions:
                yield worker.work(partition, on_user=on_user)
        return
    yield from _Pool(job, partitions, workers, threads or max(1, default_threads() // workers), on_user).run()


class _Pool:
    """Threads that take partitions until there are none."""

    def __init__(
        self, job: Job, partitions: Iterator[Partition], workers: int, threads: int, on_user: OnUser | None
    ) -> None:
        self._job, self._partitions, self._threads, self._on_user = job, partitions, threads, on_user
        self._lock = threading.Lock()
        self._done: queue.Queue[Done | BaseException | None] = queue.Queue()
        self._stop = Cancellation()
        self._running = [threading.Thread(target=self._run, name=f"worker {number}") for number in range(workers)]

    def run(self) -> Iterator[Done]:
        """Start all, and pass on what they finish."""
        for thread in self._running:
            thread.start()
        try:
            left = len(self._running)
            while left:
                done = self._done.get()
                if isinstance(done, BaseException):
                    raise done
                if done is None:
                    left -= 1
                else:
                    yield done
        finally:
            self._stop.cancel()
            for thread in self._running:
                thread.join()

    def _run(self) -> None:
        try:
            with closing(Worker(self._job, self._threads)) as worker:
                while (partition := self._next()) is not None:
                    self._done.put(worker.work(partition, on_user=self._ranked, cancel=self._stop))
            self._done.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are read
            self._done.put(error)

    def _next(self) -> Partition | None:
        with self._lock:
            return None if self._stop.cancelled else next(self._partitions, None)

    def _ranked(self) -> None:
        if self._on_user:
            with self._lock:
                self._on_user()
