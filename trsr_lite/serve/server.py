"""The server of one client on a pair of streams: a thread reads requests, one writes answers, the caller's watches.

Invariant: the reading thread never waits for a model, so `cancel` and `status` are answered at once. The queue's thread
never waits for the client. All ends in one place: `run` returns once the last answer is written, or the client or the
parent has gone. Work that does not end in time after `shutdown` is left behind.
"""

from __future__ import annotations

import errno
import importlib.metadata
import logging
import math
import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from trsr_lite import __version__
from trsr_lite.errors import Cancelled, TrsrError
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.recommender.queue import PRIORITIES
from trsr_lite.results import RESULT_SCHEMA, Progress
from trsr_lite.serve import message
from trsr_lite.serve.job import JOBS, JOBS_BYTES, Job
from trsr_lite.serve.message import LINE_BYTES, Id, Lines, Refused, Request
from trsr_lite.serve.methods import METHODS, PROTOCOL, parse
from trsr_lite.serve.outbox import Outbox
from trsr_lite.serve.recommenders import OPEN, Recommenders
from trsr_lite.serve.service import Progressed, Service

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.1  # between two notifications of one request, and before its first
WATCH_SECONDS = 0.5
LAST_SECONDS = 5.0  # for the running request to end once it is told to


class Server:
    """Serves one client: `read` returns bytes as they come and nothing at the end, `write` is as of `Outbox`."""

    def __init__(
        self,
        recommenders: Recommenders,
        read: Callable[[], bytes],
        write: Callable[[memoryview], int | None],
        *,
        progress_seconds: float = PROGRESS_SECONDS,
    ) -> None:
        self._read, self._progress_seconds = read, progress_seconds
        self._service, self._outbox = Service(recommenders), Outbox(write)
        self._last: Id | None = None  # the request to shut down, which is answered last
        self._until = math.inf  # when the running request is not waited for any longer

    def run(self, alive: Callable[[], bool] = lambda: True) -> None:
        """Serve until the input ends, `shutdown` is asked for, or the client or what is `alive` goes away.

        At the end of the input, what was asked before is still answered. Raises `TrsrError` where nothing can be
        written although somebody reads.
        """
        reader, writer = (
            threading.Thread(target=target, name=f"trsr-lite {target.__name__.strip('_')}", daemon=True)
            for target in (self._take_in, self._write_out)
        )
        for thread in (reader, writer):
            thread.start()
        left_behind = False
        try:
            while writer.is_alive() and alive() and not (left_behind or self._is_over(reader)):
                left_behind = self._left_behind()
            if writer.is_alive() and alive():  # so every request is answered
                self._answer(self._last, None)
                self._outbox.close()
            while writer.is_alive() and alive():
                writer.join(WATCH_SECONDS)
        finally:
            self._service.close(min(LAST_SECONDS, max(0.0, self._until - time.monotonic())))
        error = self._outbox.broken
        if error is not None and not is_gone(error):
            raise TrsrError(f"stdout cannot be written: {error.strerror}") from error

    # Reading

    def _take_in(self) -> None:
        lines = Lines()
        try:
            while data := self._read():
                for line in lines.feed(data):
                    if not self._serve(line, lines.beginning):
                        return
            for line in lines.end():
                self._serve(line)
        except OSError as error:
            logger.warning("stdin cannot be read: %s", error.strerror)

    def _serve(self, line: bytes | None, beginning: bytes = b"") -> bool:
        """Answer a line, or let it wait; False once nothing more shall be read."""
        self._outbox.room()
        request: Request | None = None
        try:
            request = message.read(line, beginning)
            return request is None or self._start(request)
        except Refused as refused:
            if request is None and refused.to is not None and self._service.knows(refused.to):
                refused.data["used"], refused.to = refused.to, None  # that request has its own answer
            if request is None or request.id is not None:
                self._outbox.put(message.failure(refused.to, refused.code, str(refused), refused.data))
        except TrsrError as error:
            self._fail(request, message.code(error), str(error), hint=error.hint)
        except Exception as error:  # noqa: BLE001 - a bug is reported, and the next request is served
            self._fail_as_bug(request, error)
        return True

    def _start(self, request: Request) -> bool:
        if request.id is not None and self._service.knows(request.id):
            text = "the id of a request that is not answered yet was used again"
            raise Refused(message.INVALID_REQUEST, text, used=request.id)
        kind = METHODS.get(request.method)
        if kind is None:
            raise Refused(
                message.METHOD_NOT_FOUND,
                f"there is no method {request.method!r}",
                to=request.id,
                hint=f"there are {', '.join(METHODS)}",
            )
        params = parse(kind, request.params)
        if request.method == "shutdown":
            self._last, self._until = request.id, time.monotonic() + LAST_SECONDS
            self._service.stop("shutdown")
            return False
        if request.method == "initialize":
            self._answer(request.id, _capabilities())
        elif request.method == "status":
            self._answer(request.id, self._service.status())
        elif request.method == "cancel":
            cancelled = self._service.stop("cancelled", lambda job: job.id == params.id)
            self._answer(request.id, {"cancelled": cancelled})
        else:
            self._service.submit(
                request.method,
                params,
                self._finish,
                progressed=self._reporter() if request.id is not None else lambda _job, _progress: None,
                told=self._tell,
                id=request.id,
                size=request.size,
            )
        return True

    # Working

    def _finish(self, job: Job, result: Any, error: BaseException | None) -> None:
        try:
            if error:
                raise error
            self._answer(job.id, result)
        except Cancelled:
            self._fail_as_cancelled(job, job.stopped or "ended")
        except TrsrError as failed:
            self._fail(job, message.code(failed), str(failed), hint=failed.hint)
        except Exception as bug:  # noqa: BLE001 - a bug is reported, and the next request is served
            self._fail_as_bug(job, bug)

    def _tell(self, job: Job, result: Any) -> None:
        """What is known before the answer; whoever waits for no answer is not told."""
        if job.id is not None:
            self._outbox.put(message.notification("partial", {"id": job.id, "result": result}))

    def _reporter(self) -> Progressed:
        """Tells the client how far one request is, not too often."""
        last = math.nan  # until it runs

        def report(job: Job, progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            last = now if math.isnan(last) else last
            if job.id is not None and now - last >= self._progress_seconds:
                last = now
                self._outbox.progress(job.id, message.notification("progress", {"id": job.id, **progress._asdict()}))

        return report

    # Ending

    def _write_out(self) -> None:
        self._outbox.write_all()
        self._service.stop("ended")  # nobody reads any more

    def _is_over(self, reader: threading.Thread) -> bool:
        """Waits a moment; whether no request will come and all have ended."""
        reader.join(WATCH_SECONDS)
        return not reader.is_alive() and self._service.queue.join(WATCH_SECONDS)

    def _left_behind(self) -> bool:
        """Whether the running request has had its time; it is answered now, whatever its work still does.

        Fetching a model knows of no cancellation.
        """
        job = self._service.abandon() if time.monotonic() >= self._until else None
        if job:
            self._fail_as_cancelled(job, job.stopped or "shutdown")
        return job is not None

    # Answering

    def _answer(self, to: Id | None, result: Any) -> None:
        if to is not None:
            self._outbox.put(message.answer(to, result), ends=to)

    def _fail(self, about: Request | Job | None, code: int, text: str, **data: Any) -> None:
        """A failed request; a notification is never answered, and its error may hold a user's texts."""
        if about is not None and about.id is None:
            method = about.name if isinstance(about, Job) else about.method
            logger.info("a %s without an id failed with code %d", method, code)
            return
        to = about.id if about else None
        self._outbox.put(message.failure(to, code, text, data), ends=to)

    def _fail_as_cancelled(self, job: Job, reason: str) -> None:
        self._fail(job, Cancelled.exit_code, "stopped on request", reason=reason)

    def _fail_as_bug(self, about: Request | Job | None, error: Exception) -> None:
        """A bug's message may hold a user's texts too, so only its kind and its place are told."""
        place = "".join(traceback.format_tb(error.__traceback__)).rstrip()
        logger.error("a bug: %s\n%s", type(error).__name__, place)
        self._fail(about, message.INTERNAL_ERROR, f"a bug: {type(error).__name__}", hint="its place is on stderr")


def is_gone(error: OSError) -> bool:
    """Whether the client does not read any more, which is no failure; Windows says so with `EINVAL` too."""
    return isinstance(error, ConnectionError) or (os.name == "nt" and error.errno == errno.EINVAL)


def _capabilities() -> dict[str, Any]:
    return {
        "protocol": PROTOCOL,
        "server": {"name": "trsr-lite", "version": __version__},
        "versions": {
            "llama_cpp_python": importlib.metadata.version("llama-cpp-python"),
            "prompt_version": PROMPT_VERSION,
            "result_schema": RESULT_SCHEMA,
        },
        "capabilities": {
            "methods": list(METHODS),
            "notifications": ["progress", "partial"],
            "priorities": list(PRIORITIES),
            "batch": False,
        },
        "limits": {
            "line_bytes": LINE_BYTES,
            "waiting_requests": JOBS,
            "waiting_bytes": JOBS_BYTES,
            "open_models": OPEN,
        },
    }
