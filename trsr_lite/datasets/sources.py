"""The files of a data set: found, decoded line by line, and hashed as they are read.

Invariant: a digest is that of the very bytes that were read, and a fault names the file and the line. What the lines
mean is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from trsr_lite.errors import DataError


class Source:
    """One text file; `digest` is that of its content once `lines` has come to the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._hash = hashlib.blake2b(digest_size=20)

    @property
    def digest(self) -> str:
        """`b2:` and 40 hexadecimal digits."""
        return f"b2:{self._hash.hexdigest()}"

    def lines(self) -> Iterator[tuple[int, str]]:
        """(number from 1, text with its line end); only a line feed ends a line."""
        try:
            with self.path.open("rb") as file:
                for number, raw in enumerate(file, 1):
                    self._hash.update(raw)
                    yield number, _decoded(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, self.path, number)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from error


def find(folder: str | Path, names: tuple[str, ...], layout: str) -> list[Source]:
    """The named files of a folder, none of them empty; `layout` says in hints what is expected."""
    hint = f"expected {layout}"
    try:
        if not Path(folder).is_dir():
            what = "is a file, not a folder" if Path(folder).is_file() else "there is no such folder"
            raise DataError(f"{folder}: {what}", hint=hint)
        for path in (Path(folder) / name for name in names):
            if not path.is_file():
                raise DataError(f"{path}: there is no such file", hint=hint)
            if path.stat().st_size == 0:
                raise DataError(f"{path}: is empty", hint=hint)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{folder}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return [Source(Path(folder) / name) for name in names]


def _decoded(raw: bytes, path: Path, number: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: byte {error.start + 1} of the line is not UTF-8", hint="save the file as UTF-8"
        ) from None
