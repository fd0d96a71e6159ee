"""A file of an export: its beginning, for those who ask what it is, and its text or bytes as a stream.

Invariant: no file is held in memory, whatever its size. Text comes decoded, in the encoding that the file says or
shows: a byte-order mark, zeros between letters, UTF-8; what is none of these is read as Windows-1252, and that is said.
"""

from __future__ import annotations

import codecs
import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from trsr_lite.errors import DataError
from trsr_lite.io import encodings
from trsr_lite.io.notes import Notes

STDIN = "-"
HEAD = 1 << 16  # bytes that are looked at to tell what a file is
CHUNK = 1 << 20
SEPARATORS = ",;\t|"
FALL_BACK = "cp1252"


class Source:
    """One file; `read` is how many of its bytes have been read, of `size`."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.name = "stdin" if self.path == STDIN else self.path
        self._file = _opened(self.path, self.name)
        self.size = max(1, self._file.seek(0, io.SEEK_END))
        self._file.seek(0)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def fraction(self) -> float:
        """How much has been read, 0 to 1."""
        return 1.0 if self._file.closed else min(1.0, self._file.tell() / self.size)

    @cached_property
    def encoding(self) -> str:
        """What the text is written in."""
        beginning = self._beginning()
        if name := encodings.of(beginning):
            return name
        for name, zeros in (("utf-16-le", beginning[1:400:2]), ("utf-16-be", beginning[:400:2])):
            if zeros.count(0) > len(zeros) // 2:
                return name
        return "utf-8" if self._is_utf8() else FALL_BACK

    @cached_property
    def head(self) -> str:
        """The beginning of the text."""
        return self._beginning().decode(self.encoding, "replace").lstrip("\ufeff")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names in the first line, as a table has them; one name where it is no table."""
        return tuple(_cells(self.head.partition("\n")[0], self.separator))

    @cached_property
    def separator(self) -> str:
        """What divides most columns in the first line."""
        first = self.head.partition("\n")[0]
        return max(SEPARATORS, key=lambda one: len(_cells(first, one)))

    def text(self, notes: Notes | None = None) -> IO[str]:
        """The text from its beginning, with line ends as they are."""
        self._file.seek(0)
        if notes is not None and self.encoding == FALL_BACK:
            notes.say("no UTF-8: read as Windows-1252", self.name)
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        return io.TextIOWrapper(io.BufferedReader(_Kept(self._file), CHUNK), encoding, "replace", newline="")

    def binary(self) -> IO[bytes]:
        """The bytes from their beginning, for parsers that know about encodings."""
        self._file.seek(0)
        return self._file

    def utf8(self) -> IO[bytes]:
        """The text as UTF-8 bytes, for parsers that know no other."""
        binary = self.binary()
        return encodings.reader(binary) if self.encoding != FALL_BACK else binary

    def _beginning(self) -> bytes:
        self._file.seek(0)
        return self._file.read(HEAD)

    def _is_utf8(self) -> bool:
        decoder = codecs.getincrementaldecoder("utf-8")()
        self._file.seek(0)
        try:
            while chunk := self._file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True


@contextmanager
def opened(path: str | Path) -> Iterator[Source]:
    """The file, closed at the end; what the system refuses while it is read is a `DataError`."""
    with Source(path) as source:
        try:
            yield source
        except OSError as error:
            raise DataError(f"{source.name}: cannot be read: {error.strerror or error}") from error


def _opened(path: str, name: str) -> IO[bytes]:
    if path == STDIN:
        if sys.stdin is None:
            raise DataError("stdin: is closed")
        kept: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read twice: once to tell what it is
        shutil.copyfileobj(sys.stdin.buffer, kept)
        return kept
    try:
        return Path(path).open("rb")
    except IsADirectoryError:
        raise DataError(f"{name}: is a folder, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line.strip("\r")], delimiter=separator), [])]
    except csv.Error:
        return []


class _Kept(io.RawIOBase):
    """A file that stays open when the wrapper around it is thrown away."""

    def __init__(self, file: IO[bytes]) -> None:
        self._inner = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._inner.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
