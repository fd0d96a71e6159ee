"""Where outputs are written, and what the file system refuses, as one line, whichever library was at work.

Invariant: a file that somebody has is never overwritten unless `force` says so: each output asks `check_free`, and
what is on its way has a name that nobody else gives a file.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trsr_lite.errors import ModelError, SettingsError, TrsrError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last: a limit of the process or of the file system
PART = ".trsr-part"  # what is written ends so until it is whole
ROOM = "make room, then run the same command again"
ELSEWHERE = "name another place"
_TORCH_WRITER = "inline_container"  # the file of torch that every failed `torch.save` names


def advice(error: OSError, room: str = ROOM, otherwise: str = ELSEWHERE) -> str:
    """The hint for what was refused: `room` where that is what is lacking."""
    return room if error.errno in FULL else otherwise


@contextmanager
def checked(place: Path, *, step: str | None = None, hint: str = ROOM, otherwise: str = ELSEWHERE) -> Iterator[None]:
    """Turns what is refused within this block into a `TrsrError` that names the file, or `place`, and the step.

    `hint` is for a disk that is full, `otherwise` for all else that the system refuses.
    """
    lead = f"step {step}: " if step else ""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a library's own error, which no room mends
            raise
        line = f"{lead}{error.filename or place}: {error.strerror}"
        raise TrsrError(line, hint=advice(error, hint, otherwise)) from error
    except _foreign() as error:
        if isinstance(error, RuntimeError) and _TORCH_WRITER not in str(error):
            raise
        raise TrsrError(f"{lead}{place}: cannot be written: {error}", hint=hint) from error


def check_free(path: Path, *, force: bool, hint: str = "replace it with `--force`, or name another") -> None:
    """Raise `SettingsError` where an output would overwrite a file, unless `force` is given.

    A device or a pipe loses nothing. Raises `ModelError` where nobody can tell what is there.
    """
    with granted(path, "looked at", hint="name another"):
        if path.is_dir():
            raise SettingsError(f"{path}: is a folder, not a file", hint="name a file")
        if not force and (path.is_file() or path.is_symlink()):
            raise SettingsError(f"{path}: already exists", hint=hint)


def replace(path: Path, content: bytes) -> None:
    """Write a file whole: under its name is what was there before until the new content is complete."""
    try:
        beside(path).write_bytes(content)
        beside(path).replace(path)
    except OSError:
        with suppress(OSError):
            beside(path).unlink()
        raise


def beside(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(f".{path.name}{PART}")


@contextmanager
def granted(place: str | Path, done: str = "read", *, hint: str | None = None) -> Iterator[None]:
    """Turns what is refused within this block into a `ModelError` that names the file, or `place`."""
    try:
        yield
    except OSError as error:
        line = f"{error.filename or place}: cannot be {done}: {error.strerror or error}"
        raise ModelError(line, hint=hint) from error


def _foreign() -> tuple[type[Exception], ...]:
    """What libraries raise where a file cannot be written: theirs is no `OSError`, and torch's names no cause."""
    try:
        from safetensors import SafetensorError  # of the training extra, which not every step needs
    except ImportError:
        return (RuntimeError,)
    return SafetensorError, RuntimeError
