"""LoRA adapters as llama.cpp computes them fastest: with their rank padded by zeros.

Invariant: the padded adapter is the same function. llama.cpp's fast matrix product wants an inner dimension that fills
its vectors; on a rank of 8 it falls back to a dot product for each value, which made scoring 1.4 times slower.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

FILLS = {0: (4, 16), 1: (2, 16), 30: (2, 32)}  # ggml type F32, F16, BF16: bytes, and the ranks that fill vectors
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of the metadata's value types
TEXT, ARRAY = 8, 9
ALPHA, ALIGNMENT = b"adapter.lora.alpha", b"general.alignment"
VERSIONS = (2, 3)
HEAD = 1 << 16  # bytes; an adapter has no vocabulary, so all its metadata are there


@dataclass
class _Tensor:
    """A matrix as the file describes it: `shape` innermost first, `offset` into the data."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def rank(self) -> int:
        """Of the LoRA pair that it belongs to: A is (rank, in), B is (out, rank)."""
        return self.shape[1 if self.name.endswith(b".lora_a") else 0]

    def padded(self, content: memoryview, rank: int) -> npt.NDArray[np.uint8]:
        """Its values, zero where `rank` is above its own."""
        size, _ = FILLS[self.kind]
        count = prod(self.shape) * size
        values = np.frombuffer(content[self.offset : self.offset + count], np.uint8)
        values = values.reshape(self.shape[1], self.shape[0] * size)
        more = rank - self.rank
        if self.name.endswith(b".lora_a"):
            return np.pad(values, ((0, more), (0, 0)))
        return np.pad(values, ((0, 0), (0, more * size)))


class _Reader:
    """Reads a GGUF's head, value by value."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return int(value)

    def text(self) -> bytes:
        length = self.number("Q")
        self.at += length
        return self.content[self.at - length : self.at]

    def skip(self, kind: int) -> None:
        if kind == TEXT:
            self.text()
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner != TEXT:
                self.at += SIZES[inner] * count
                return
            for _ in range(count):
                self.text()
        else:
            self.at += SIZES[kind]

    def tensor(self) -> _Tensor:
        name = self.text()
        shape = tuple(self.number("Q") for _ in range(self.number("I")))
        return _Tensor(name, shape, self.number("I"), self.number("Q"))


def is_adapter(path: Path) -> bool:
    """Whether a GGUF file says near its beginning that it is an adapter."""
    with path.open("rb") as file:
        return ALPHA in file.read(HEAD)


def widened(content: bytes) -> bytes | None:
    """The adapter of a GGUF file with its rank padded; None where it fills vectors already, or is of another kind.

    Raises `struct.error`, `KeyError` or `ValueError` for what is not a GGUF.
    """
    read = _Reader(content)
    read.at = 4  # after the magic
    if read.number("I") not in VERSIONS:
        return None
    count, values = read.number("Q"), read.number("Q")
    alpha, alignment = None, 32
    start = read.at
    for _ in range(values):
        key, kind = read.text(), read.number("I")
        if key == ALPHA:
            alpha = read.at
        elif key == ALIGNMENT:
            (alignment,) = struct.unpack_from("<I", content, read.at)
        read.skip(kind)
    head = bytearray(content[:start] + content[start : read.at])
    tensors = [read.tensor() for _ in range(count)]
    rank = _wanted(tensors)
    if alpha is None or rank is None or alignment == 0:
        return None
    (old,) = struct.unpack_from("<f", content, alpha)
    struct.pack_into("<f", head, alpha, old * rank / tensors[0].rank)  # the scale is alpha / rank
    data = memoryview(content)[-(-read.at // alignment) * alignment :]
    body = bytearray()
    for tensor in tensors:
        values_of = tensor.padded(data, rank)
        size, _ = FILLS[tensor.kind]
        head += struct.pack("<Q", len(tensor.name)) + tensor.name
        shape = (values_of.shape[1] // size, values_of.shape[0])
        head += struct.pack("<IQQIQ", 2, *shape, tensor.kind, len(body))
        body += values_of.tobytes()
        body += bytes(-len(body) % alignment)
    return bytes(head + bytes(-len(head) % alignment) + body)


def _wanted(tensors: list[_Tensor]) -> int | None:
    """The next rank that fills vectors, where all tensors are plain LoRA pairs of one rank that does not."""
    plain = all(
        len(one.shape) == 2
        and one.kind in FILLS
        and one.name.endswith((b".lora_a", b".lora_b"))
        and not one.name.startswith(b"token_embd")  # looked up, not multiplied
        for one in tensors
    )
    if not tensors or not plain or len({one.rank for one in tensors}) != 1:
        return None
    rank, fills = tensors[0].rank, max(FILLS[one.kind][1] for one in tensors)
    return None if rank % fills == 0 else -(-rank // fills) * fills
