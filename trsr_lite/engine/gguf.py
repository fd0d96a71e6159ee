"""The head of a GGUF file: its metadata, and where its tensors lie.

Invariant: nothing is believed that the file's length does not allow; what is no GGUF raises `struct.error`, `KeyError`
or `ValueError`, which the caller maps. What a tensor is for is not known.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass

VERSIONS = (2, 3)
ALIGNMENT = b"general.alignment"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of the metadata's value types
TEXT, ARRAY = 8, 9
NESTED = 8  # arrays within arrays; nothing that exists has more than one
_FORMS = {form: struct.Struct(f"<{form}") for form in ("I", "Q")}


@dataclass(frozen=True)
class Tensor:
    """A tensor as the file describes it: `shape` innermost first, `offset` into the data."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int


class Reader:
    """Reads a GGUF's head, value by value; `at` is the place of the next one."""

    def __init__(self, content: bytes | mmap.mmap) -> None:
        self.content, self.at = content, 0

    def number(self, form: str) -> int:
        """An unsigned number of 4 (`I`) or 8 (`Q`) bytes."""
        unpack = _FORMS[form]
        (value,) = unpack.unpack_from(self.content, self.at)
        self.at += unpack.size
        return int(value)

    def text(self) -> bytes:
        """A text after its length."""
        start = self.at + 8
        self._pass_text()
        return self.content[start : self.at]

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value of the metadata."""
        if kind == TEXT:
            self._pass_text()
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner in SIZES:
                self._go(SIZES[inner] * count)
                return
            if depth == NESTED:
                raise ValueError("arrays are nested too deeply")
            for _ in range(count):
                self.skip(inner, depth + 1)
        else:
            self._go(SIZES[kind])

    def tensor(self) -> Tensor:
        """The description of one tensor."""
        name = self.text()
        shape = tuple(self.number("Q") for _ in range(self.number("I")))
        return Tensor(name, shape, self.number("I"), self.number("Q"))

    def _pass_text(self) -> None:
        self._go(self.number("Q"))

    def _go(self, size: int) -> None:
        if size > len(self.content) - self.at:
            raise ValueError("a value goes beyond the end of the file")
        self.at += size


def tensors(content: bytes | mmap.mmap) -> tuple[list[Tensor], int]:
    """The tensors of a file, and where their data begin."""
    read = Reader(content)
    read.at = 4  # after the magic
    if (version := read.number("I")) not in VERSIONS:
        raise ValueError(f"version {version} of GGUF")
    count, values = read.number("Q"), read.number("Q")
    alignment = 32
    for _ in range(values):
        key, kind = read.text(), read.number("I")
        if key == ALIGNMENT:
            (alignment,) = struct.unpack_from("<I", content, read.at)
        read.skip(kind)
    if alignment == 0:
        raise ValueError("an alignment of 0")
    found = [read.tensor() for _ in range(count)]
    return found, -(-read.at // alignment) * alignment
