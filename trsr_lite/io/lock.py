"""One run at a time in a folder of results.

Invariant: the lock belongs to an open file of one process, so that it ends with that process, however it ends: a folder
is never left locked. It is advisory, of the operating system, and for folders of this machine: at a remote address
nothing is locked, and it is up to the caller that only one run works there.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.io import files
from trsr_lite.io.remote import RemotePath

LOCK = ".lock"
WAIT = "wait until it has ended, or name another folder"
_HELD = (errno.EAGAIN, errno.EACCES)  # what flock and msvcrt say where another has it
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
        file = _acquired(path)
    if file is None:
        raise SettingsError(f"{name or folder}: {says}", hint=hint)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps what is open: there an empty file stays
            path.unlink()
        file.close()


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


def _acquired(path: Path) -> BinaryIO | None:
    """The file, locked; None where another has it."""
    while True:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(path.open("ab"))
            try:
                _lock(file.fileno())
            except OSError as error:
                if error.errno in _HELD:
                    return None
                logger.warning("%s: cannot be locked (%s): see to it that no other run works there", path.parent, error)
            if _is(path, file):
                opened.pop_all()
                return file
        # the run that had it took the file away in between, so that the name is another file's, or nobody's


def _is(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _lock(number: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
