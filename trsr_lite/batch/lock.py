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

from trsr_lite import disk
from trsr_lite.batch.files import Place
from trsr_lite.errors import SettingsError, TrsrError

LOCK = ".lock"
_HELD = (errno.EAGAIN, errno.EACCES)  # what flock and msvcrt say where another has it
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def held(folder: Place) -> Iterator[None]:
    """Within this block no other run works in the folder, which is created; raises `SettingsError` where one does."""
    if not folder.is_local:
        yield
        return
    folder.listing()  # a file of this name is said as such
    path = Path((folder / LOCK).address)
    with folder.mapped():
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _acquired(path, folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps what is open: there an empty file stays
            path.unlink()
        file.close()


def beside(target: Path, kind: str) -> Path:
    """The hidden folder of one kind of work on what is made at `target`."""
    whole = target.absolute()
    return whole.with_name(f".{whole.name}.{kind}")


@contextlib.contextmanager
def alone(target: Path, kind: str, says: str) -> Iterator[None]:
    """Within this block nobody else does this kind of work on `target`; raises `SettingsError` that `says` so.

    The hidden folder beside it is created, and goes with the block if nothing was left in it.
    """
    folder = beside(target, kind)
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(Place(str(folder))))
        except OSError as error:
            raise TrsrError(f"{folder.parent}: cannot be written: {error.strerror}", hint=disk.ROOM) from error
        except SettingsError:
            hint = "wait until it has ended, or name another folder"
            raise SettingsError(f"{target}: {says}", hint=hint) from None
        try:
            yield
        finally:
            stack.close()
            with contextlib.suppress(OSError):  # there is something left to go on with
                folder.rmdir()


def _acquired(path: Path, folder: Place) -> BinaryIO:
    while True:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(path.open("ab"))
            try:
                _lock(file.fileno())
            except OSError as error:
                if error.errno in _HELD:
                    raise SettingsError(
                        f"{folder}: another run is at work in this folder",
                        hint="wait until it has ended, or stop it and go on with `--resume`; or name another folder",
                    ) from None
                logger.warning("%s: cannot be locked (%s): see to it that no other run works there", folder, error)
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
