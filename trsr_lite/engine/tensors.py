"""Rows of one matrix of a GGUF file, in float32, without the engine: a model's token embeddings are read this way.

Invariant: the file stays mapped, and only the wanted rows are decoded. An unknown type is refused, never guessed.
Blocks as in ggml's `ggml-common.h` and `ggml-quants.c`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trsr_lite.engine import gguf
from trsr_lite.engine.model import check_gguf
from trsr_lite.errors import ModelError
from trsr_lite.io.files import granted

EMBEDDINGS = "token_embd.weight"
Blocks = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]


class Rows:
    """A matrix of a GGUF file: `count` rows of `width` values each; `kind` is its tensor type."""

    def __init__(self, path: Path, name: str = EMBEDDINGS) -> None:
        check_gguf(path)
        with granted(path), path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            tensor, start = _find(content, name.encode())
        except (struct.error, KeyError, ValueError, OverflowError, MemoryError) as error:
            raise ModelError(f"{path}: not a GGUF that can be read: {error}") from error
        if tensor is None or len(tensor.shape) != 2:
            raise ModelError(f"{path}: has no matrix `{name}`", hint="give a model, not an adapter")
        if tensor.kind not in _TYPES:
            raise ModelError(
                f"{path}: `{name}` has the tensor type {tensor.kind}, which is not read here",
                hint=f"quantize it as one of {', '.join(name for name, *_ in _TYPES.values())}",
            )
        self.kind, size, values, self._decode = _TYPES[tensor.kind]
        self.width, self.count = tensor.shape
        row = self.width // values * size
        if self.width % values or not 0 <= tensor.offset <= len(content) - start - row * self.count:
            raise ModelError(f"{path}: `{name}` goes beyond the end of the file", hint="the file was cut: get it again")
        raw = np.frombuffer(content, np.uint8, row * self.count, start + tensor.offset)
        self._blocks = raw.reshape(self.count, row // size, size)

    def rows(self, numbers: Sequence[int] | npt.NDArray[np.int64]) -> Values:
        """(numbers, width) of these rows; raises `IndexError` for one that is not there."""
        blocks = self._blocks[np.asarray(numbers, np.int64)]
        return self._decode(blocks.reshape(-1, blocks.shape[-1])).reshape(len(blocks), self.width)


def _find(content: mmap.mmap, name: bytes) -> tuple[gguf.Tensor | None, int]:
    head = gguf.head(content)
    return next((tensor for tensor in head.tensors if tensor.name == name), None), head.start


def _f32(blocks: Blocks) -> Values:
    return blocks.view("<f4").astype(np.float32)


def _f16(blocks: Blocks) -> Values:
    return blocks.view("<f2").astype(np.float32)


def _bf16(blocks: Blocks) -> Values:
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q8_0(blocks: Blocks) -> Values:
    return _half(blocks, 0) * blocks[:, 2:].view(np.int8)


def _q4_0(blocks: Blocks) -> Values:
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]) - 8)


def _q4_1(blocks: Blocks) -> Values:
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]) + _half(blocks, 2)


def _q5_0(blocks: Blocks) -> Values:
    return _half(blocks, 0) * (_nibbles(blocks[:, 6:]) + 16 * _bits(blocks[:, 2:6]) - 16)


def _q5_1(blocks: Blocks) -> Values:
    return _half(blocks, 0) * (_nibbles(blocks[:, 8:]) + 16 * _bits(blocks[:, 4:8])) + _half(blocks, 2)


def _q6_k(blocks: Blocks) -> Values:
    """256 values: four low bits, two high ones, and a scale for each 16."""
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([0, 4], np.uint8)[:, None] & 15
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    values = (low.reshape(-1, 8, 32) | high.reshape(-1, 8, 32) << 4).astype(np.float32).reshape(-1, 16, 16) - 32
    scales = _half(blocks, 208) * blocks[:, 192:208].view(np.int8)
    return (scales[:, :, None] * values).reshape(len(blocks), 256)


def _q4_k(blocks: Blocks) -> Values:
    """256 values in eight groups, each with a scale and a minimum of six bits."""
    scales, least = _scales(blocks)
    return (scales * _pairs(blocks[:, 16:144]) - least).reshape(len(blocks), 256)


def _q5_k(blocks: Blocks) -> Values:
    scales, least = _scales(blocks)
    high = blocks[:, 16:48].reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8)[:, None] & 1
    return (scales * (_pairs(blocks[:, 48:176]) + 16 * high) - least).reshape(len(blocks), 256)


def _half(blocks: Blocks, start: int) -> Values:
    """(blocks, 1) the float16 at a place of each block."""
    return np.ascontiguousarray(blocks[:, start : start + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Blocks) -> Values:
    """(blocks, 32): all low halves of 16 bytes, then all high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)


def _pairs(packed: Blocks) -> Values:
    """(blocks, 8, 32): low halves of 32 bytes, their high ones, and so on."""
    return (packed.reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8)[:, None] & 15).reshape(-1, 8, 32).astype("f4")


def _bits(packed: Blocks) -> Values:
    """(blocks, 32) the bits of four bytes, lowest first."""
    return np.unpackbits(packed, axis=1, bitorder="little").astype(np.float32)


def _scales(blocks: Blocks) -> tuple[Values, Values]:
    """(blocks, 8, 1) scales and minima of a K-quant of four or five bits: the last four of each have split bits."""
    packed = blocks[:, 4:16]
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, third & 15 | first >> 2 & 48], axis=1)
    least = np.concatenate([second & 63, third >> 4 | second >> 2 & 48], axis=1)
    return (_half(blocks, 0) * scales)[:, :, None], (_half(blocks, 2) * least)[:, :, None]


_TYPES: dict[int, tuple[str, int, int, Callable[[Blocks], Values]]] = {
    0: ("F32", 4, 1, _f32),
    1: ("F16", 2, 1, _f16),
    2: ("Q4_0", 18, 32, _q4_0),
    3: ("Q4_1", 20, 32, _q4_1),
    6: ("Q5_0", 22, 32, _q5_0),
    7: ("Q5_1", 24, 32, _q5_1),
    8: ("Q8_0", 34, 32, _q8_0),
    12: ("Q4_K", 144, 256, _q4_k),
    13: ("Q5_K", 176, 256, _q5_k),
    14: ("Q6_K", 210, 256, _q6_k),
    30: ("BF16", 2, 1, _bf16),
}
"""ggml's number of a type -> its name, bytes and values of a block, and how a block is decoded."""
