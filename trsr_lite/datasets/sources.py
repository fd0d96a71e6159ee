"""The files of a data set: found, decoded line by line, and hashed as they are read.

Invariant: a digest is that of the very bytes that were read. A line that is no text does not end the reading. What the
lines mean is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from trsr_lite.errors import DataError
from trsr_lite.io import encodings

NOT_TEXT = "not UTF-8"


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
        """(number from 1, text with its line end); only a line feed ends a line.

        Bytes that are not UTF-8 become what `encodings.is_text` denies, so that only their row is lost. Raises
        `DataError` where the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                name = encodings.of(file.read(4))
                if name not in (None, "utf-8-sig"):  # the digest is that of the bytes, so they are not recoded
                    raise DataError(f"{self.path}: is {str(name).upper()} text, not UTF-8", hint=encodings.SAVE)
                file.seek(0)
                for number, raw in enumerate(file, 1):
                    self._hash.update(raw)
                    whole = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                    yield number, whole.decode("utf-8", "surrogateescape")
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
