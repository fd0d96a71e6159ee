"""Bytes of a text file to UTF-8, as far as the file says what it is.

Invariant: what begins with a byte-order mark is read as that says. Of all else nothing is guessed: what is no UTF-8 is
said to be none, with what it may be and what to do.
"""

from __future__ import annotations

import codecs
import io
from typing import IO, Any, cast

MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
CHUNK = 1 << 16
SAVE = "save it as UTF-8"


def of(beginning: bytes) -> str | None:
    """The encoding that a byte-order mark names."""
    return next((name for mark, name in MARKS if beginning.startswith(mark)), None)


def plain(raw: bytes) -> bytes:
    """UTF-8 without a mark; what is no text in its own encoding has U+FFFD in its place."""
    name = of(raw)
    if name is None or name == "utf-8-sig":
        return raw.removeprefix(codecs.BOM_UTF8)
    return raw.decode(name, "replace").encode()


def reader(file: IO[bytes]) -> IO[bytes]:
    """The file as UTF-8 without a mark, read from its beginning; memory does not grow with it."""
    buffered = file if hasattr(file, "peek") else io.BufferedReader(cast("io.RawIOBase", file))
    name = of(cast("io.BufferedReader", buffered).peek(4)[:4])
    if name is None:
        return buffered
    if name == "utf-8-sig":
        buffered.read(len(codecs.BOM_UTF8))
        return buffered
    return io.BufferedReader(_Recoded(buffered, name))


def hint(raw: bytes) -> str | None:
    """What to do about bytes that are no UTF-8; None for what is."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start:,} is no UTF-8: {guess(raw)}"
    return None


def guess(raw: bytes) -> str:
    """What a text that is no UTF-8 may be, and what to do."""
    if raw[1:40:2].count(0) > len(raw[1:40:2]) // 2 or raw[:40:2].count(0) > len(raw[:40:2]) // 2:
        return f"it looks like UTF-16: {SAVE}"
    return f"it may be Windows-1252 or Latin-1: {SAVE}, such as with `iconv -f WINDOWS-1252 -t UTF-8`"


class _Recoded(io.RawIOBase):
    """Text of another encoding as UTF-8 bytes."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file, self._decoder, self._held = file, codecs.getincrementaldecoder(encoding)("replace"), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            chunk = self._file.read(CHUNK)
            self._held = self._decoder.decode(chunk, final=not chunk).encode()
            if not chunk:
                break
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


def is_text(text: str) -> bool:
    """Whether it is Unicode: bytes that are not UTF-8 become lone surrogates in a file's line and in an argument."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
