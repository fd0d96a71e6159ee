"""The head of a GGUF file: its metadata, and where its tensors lie.

Invariant: nothing is believed that the file's length does not allow, and no text is kept that nobody asked for; what is
no GGUF raises `struct.error`, `KeyError` or `ValueError`, which the caller maps. What a value means is not known.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Container
from dataclasses import dataclass, field

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = b"general.alignment"
UINT32, FLOAT32, INT32, TEXT, ARRAY = 4, 6, 5, 8, 9
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", INT32: "i", FLOAT32: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
FORMS = {kind: struct.Struct(f"<{code}") for kind, code in _CODES.items()}  # of the metadata's plain types
_NUMBERS = {form: struct.Struct(f"<{form}") for form in ("I", "Q")}
DEFAULT_ALIGNMENT = 32
Plain = int | float | bool | bytes


@dataclass(frozen=True)
class Tensor:
    """A tensor as the file describes it: `shape` innermost first, `offset` into the data."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class Value:
    """A value of the metadata: its type, and what it is.

    Attributes
    ----------
    kind: number of the type; of an array that of its elements.
    count: elements of an array; None for a plain value.
    plain: a plain value; texts are bytes.
    texts: elements of an array of texts, where they were asked for.
    """

    kind: int
    count: int | None = None
    plain: Plain | None = None
    texts: tuple[bytes, ...] | None = None


@dataclass(frozen=True)
class Head:
    """Everything before the data, which begin at `start`."""

    values: dict[bytes, Value] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    start: int = 0

    @property
    def alignment(self) -> int:
        """What offsets are multiples of; 0 where it is no such number."""
        given = self.values.get(ALIGNMENT)
        if given is None:
            return DEFAULT_ALIGNMENT
        return given.plain if given.kind == UINT32 and isinstance(given.plain, int) else 0


class Reader:
    """Reads a GGUF's head, value by value; `at` is the place of the next one."""

    def __init__(self, content: bytes | mmap.mmap) -> None:
        self.content, self.at = content, 0

    def number(self, form: str) -> int:
        """An unsigned number of 4 (`I`) or 8 (`Q`) bytes."""
        unpack = _NUMBERS[form]
        (value,) = unpack.unpack_from(self.content, self.at)
        self.at += unpack.size
        return int(value)

    def text(self) -> bytes:
        """A text after its length."""
        start = self.at + 8
        self._pass(self.number("Q"))
        return self.content[start : self.at]

    def value(self, *, keep: bool = False) -> Value:
        """A value of the metadata, after its type; the texts of an array only where they are to be kept."""
        kind = self.number("I")
        if kind == TEXT:
            return Value(kind, plain=self.text())
        if kind == ARRAY:
            return self._array(keep)
        start = self.at
        self._pass(_form(kind).size)
        return Value(kind, plain=FORMS[kind].unpack_from(self.content, start)[0])

    def tensor(self) -> Tensor:
        """The description of one tensor."""
        name = self.text()
        shape = tuple(self.number("Q") for _ in range(self.number("I")))
        return Tensor(name, shape, self.number("I"), self.number("Q"))

    def _array(self, keep: bool) -> Value:
        kind, count = self.number("I"), self.number("Q")
        if kind == ARRAY:
            raise ValueError("an array in an array")
        if kind != TEXT:
            self._pass(_form(kind).size * count)
            return Value(kind, count)
        if keep:
            return Value(kind, count, texts=tuple(self.text() for _ in range(count)))
        for _ in range(count):
            self._pass(self.number("Q"))
        return Value(kind, count)

    def _pass(self, size: int) -> None:
        if size > len(self.content) - self.at:
            raise ValueError("a value goes beyond the end of the file")
        self.at += size


def head(content: bytes | mmap.mmap, keep: Container[bytes] = ()) -> Head:
    """The head of a file; arrays of texts are kept under these keys only."""
    read = Reader(content)
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("it is not a GGUF file")
    read.at = len(MAGIC)
    if (version := read.number("I")) not in VERSIONS:
        raise ValueError(f"version {version} of GGUF")
    count, of_values = read.number("Q"), read.number("Q")
    values: dict[bytes, Value] = {}
    for _ in range(of_values):
        if (key := read.text()) in values:
            raise ValueError(f"`{key.decode(errors='replace')}` stands there twice")
        values[key] = read.value(keep=key in keep)
    described = tuple(read.tensor() for _ in range(count))
    alignment = Head(values).alignment
    if alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"an alignment of {alignment}")
    return Head(values, described, -(-read.at // alignment) * alignment)


def _form(kind: int) -> struct.Struct:
    if kind not in FORMS:
        raise ValueError(f"a value of type {kind}")
    return FORMS[kind]
