"""Workers on a Ray cluster: Ray Data hands partitions to a pool of actors, each with an engine of its own.

Invariant: the actors run the same `Worker` as `local` does. Only a partition's place in the users file and its outcome
travel. Users and results go between a worker and the files. An actor that dies is started again, and the partitions it
had are worked again, RETRIES times each.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from trsr_lite import errors
from trsr_lite.batch.plan import Partition
from trsr_lite.batch.worker import Done, Job, Worker
from trsr_lite.errors import SettingsError, TrsrError

RETRIES = 5
AHEAD = 2  # partitions an actor has been given: the next one is there when one is done
WAVE = 10_000  # partitions given to Ray at once: more would only fill its memory
REACHED, ANSWERED = 10, 40  # seconds that a cluster has
SILENT = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.WARNING}


def work(
    job: Job, partitions: Iterator[Partition], *, workers: int, threads: int | None, gpus: float
) -> Generator[Done, None, None]:
    """Work partitions on `workers` actors, yielding each as it is committed, in any order.

    The cluster is the one that `RAY_ADDRESS` names, else one on this machine for the time of the call.
    """
    ray = _ray()
    own = not ray.is_initialized()
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:  # Ray reports deaths on stdout
        if own:
            check_address(os.environ.get("RAY_ADDRESS", ""))
            ray.init(**SILENT)
            stack.callback(ray.shutdown)
        cpus = int(ray.cluster_resources().get("CPU", 1))
        threads = threads or max(1, cpus // workers)
        if own and not os.environ.get("RAY_ADDRESS") and workers * threads > cpus:
            raise SettingsError(
                f"{workers} workers of {threads} threads need {workers * threads} CPUs; this machine has {cpus}",
                hint="lower `--workers` or `--threads`",
            )
        while wave := list(islice(partitions, WAVE)):
            yield from _work(ray, job, wave, workers, threads, gpus)


def _work(ray: Any, job: Job, wave: list[Partition], workers: int, threads: int, gpus: float) -> Iterator[Done]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    results = ray.data.from_items([asdict(partition) for partition in wave], override_num_blocks=len(wave)).map_batches(
        _Actor,
        fn_constructor_args=(job, threads),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(wave)), max_tasks_in_flight_per_actor=AHEAD),
        num_cpus=threads,
        num_gpus=gpus,
        ray_remote_args_fn=_tries,
    )
    try:
        for row in results.iter_rows():
            if row["error"]:
                raise getattr(errors, row["kind"])(row["error"], hint=row["hint"] or None)
            yield Done(row["number"], row["users"], row["failed"], row["seconds"])
    except ray.exceptions.RayError as error:
        raise TrsrError(
            f"Ray gave up: {str(error).splitlines()[0]}",
            hint="a partition may need more memory than a worker has: lower `--partition-users` in a new folder, or "
            "`--workers`; `--resume` goes on",
        ) from error


def _tries() -> dict[str, Any]:
    """Any number of workers may die, but not on the same partition."""
    return {"max_restarts": -1, "max_task_retries": RETRIES}


class _Actor:
    """A worker as Ray Data calls it: a batch of one partition in, a row of what became of it out."""

    def __init__(self, job: Job, threads: int) -> None:
        self._job, self._threads = job, threads
        self._worker: Worker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Errors that mean something travel as values: Ray would wrap them in its own."""
        fields = {name: values[0] for name, values in batch.items()}
        row: dict[str, Any] = dict.fromkeys(("error", "kind", "hint"), "")
        try:
            self._worker = self._worker or Worker(self._job, self._threads)
            skip, digest = tuple(int(number) for number in fields.pop("skip")), str(fields.pop("digest"))
            partition = Partition(**{name: int(value) for name, value in fields.items()}, skip=skip, digest=digest)
            row.update(asdict(self._worker.work(partition)))
        except TrsrError as error:
            row.update({"error": str(error), "kind": type(error).__name__, "hint": error.hint or ""})
            row.update(asdict(Done(int(fields["number"]), 0, 0, 0.0)))
        except MemoryError:
            os._exit(1)  # what is left of this process is of little use: Ray starts another, and gives it the partition
        return {name: [value] for name, value in row.items()}


def check_address(address: str) -> None:
    """Raise `TrsrError` where no cluster answers at an address: Ray itself would wait for minutes, or for ever."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():  # `auto`, `local` or nothing: Ray says at once what it finds
        return
    refused = TrsrError(
        f"RAY_ADDRESS is {address}, and no Ray cluster answers there",
        hint="correct it, or unset it to use this machine",
    )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise refused from error
    try:
        command = [sys.executable, "-c", "import ray; ray.init(log_to_driver=False)"]
        subprocess.run(command, capture_output=True, timeout=ANSWERED, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        raise refused from error


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise SettingsError("Ray is missing", hint="pip install 'trsr-lite[ray]'") from error
    return ray
