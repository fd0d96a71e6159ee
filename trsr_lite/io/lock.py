"""One run at a time in a folder of results.

Invariant: the lock ends with its process, however that ends, and no forked child gives it back: a folder is never left
locked. It is advisory, of the operating system, and for folders of this machine: at a remote address nothing is locked,
and it is up to the caller that only one run works there.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.io import files
from trsr_lite.io.remote import RemotePath

LOCK = ".lock"
WAIT = "wait until it has ended, or name another folder"
BRIEFLY = 0.1  # seconds: one who ends in this moment takes the file away, and its successor tries again
LONG, POLL = 10.0, 0.02  # seconds
_UNABLE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # what a file system without locks says
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def held(
    folder: RemotePath, says: str = "another run is at work there", *, hint: str = WAIT, name: Path | None = None
) -> Iterator[None]:
    """Within this block nobody else holds the folder, which is created; raises `SettingsError` that `says` so.

    `name` is what messages call the folder, where that is another.
    """
    if not folder.is_local:
        yield
        return
    folder.listing()  # a file of this name is said as such
    path = Path((folder / LOCK).address)
    with folder.mapped(files.ROOM):
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = _taken(path, BRIEFLY)
    if taken is None:
        raise SettingsError(f"{name or folder}: {says}", hint=hint)
    with _removed(path, taken):
        yield


def beside(target: Path, kind: str) -> Path:
    """The hidden folder of one kind of work on what is made at `target`, or at what that is a link to."""
    whole = Path(os.path.realpath(target))
    return whole.parent / f".{whole.name}.{kind}"


@contextlib.contextmanager
def alone(target: Path, kind: str, says: str) -> Iterator[None]:
    """Within this block nobody else does this kind of work on `target`; raises `SettingsError` that `says` so.

    For work that replaces `target`, so that what is held cannot lie in it. The hidden folder `beside` it is created,
    and goes with the block if nothing was left in it.
    """
    folder = beside(target, kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        line = f"{target}: nothing can be written beside it: {error.strerror}"
        raise TrsrError(line, hint=files.advice(error)) from error
    try:
        with held(RemotePath(str(folder)), says, name=target):
            yield
    finally:
        with contextlib.suppress(OSError):  # another has it, or there is something left to go on with
            folder.rmdir()


@contextlib.contextmanager
def waiting(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Within this block nobody else holds `path`, a file that is there for so long; `on_wait` is called before waiting.

    Raises `OSError` where it cannot be created.
    """
    taken = _taken(path, 0)
    if taken is None:
        on_wait()
    while taken is None:
        taken = _taken(path, LONG)
    with _removed(path, taken):
        yield


class Lock:
    """One lock at `path`, a file that stays and that only this user may open. Nobody waits for it here."""

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        self._lock = FileLock(path, mode=0o600, thread_local=False)

    def take(self) -> bool:
        """Whether it is this object's now, or was; raises `OSError` where nothing can be locked."""
        from filelock import Timeout

        try:
            if not self._lock.is_locked:
                self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except NotImplementedError as error:
            raise OSError(errno.ENOTSUP, str(error)) from error
        return True

    def give_back(self) -> None:
        """It is free again; raises `OSError`."""
        if self._lock.is_locked:
            self._lock.release()


@contextlib.contextmanager
def _removed(path: Path, taken: AbstractContextManager[Any]) -> Iterator[None]:
    """Holds what was taken, and takes its file away at the end, while it is still held: a third may be waiting for it.

    filelock sees when a file that it has just locked is nobody's any more, and tries again.
    """
    owner = os.getpid()
    with taken:
        try:
            yield
        finally:
            if os.getpid() == owner:  # not in a forked child that leaves this block too
                with contextlib.suppress(OSError):  # Windows keeps what is open: there filelock removes it afterwards
                    path.unlink()


def _taken(path: Path, seconds: float) -> AbstractContextManager[Any] | None:
    """What gives the lock back, a file of this path locked; None where another has it. Raises `OSError`."""
    from filelock import FileLock, Timeout  # not before there is something to lock: it takes 30 ms

    lock = FileLock(path, thread_local=False)  # a generator may be closed by another thread than began it
    try:
        return lock.acquire(timeout=seconds, poll_interval=POLL)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        logger.warning("%s: cannot be locked (%s): see to it that no other run works there", path.parent, error)
        return contextlib.nullcontext()
