"""Vectors of tokens that were learned from texts, beside the package: what an item is about, in few numbers.

Idea: the vectors solve a least-squares problem: the mean over a text's tokens is what a sentence encoder says of that
text. The idea is model2vec's, on another tokenizer; `examples/default_model/meanings.py` made them. They belong to a
tokenizer, not to a model: any base with that tokenizer can use them. Invariant: what `load` returns is what was saved,
checked by a digest. A row is four-bit whole numbers times one float16, so the same file gives the same bits anywhere.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from trsr_lite.errors import ModelError
from trsr_lite.signals import archive

SHIPPED = Path(__file__).parents[1] / "default" / "meanings.npz"  # for the tokenizer of SmolLM2
VERSION = 1
LARGEST = 1 << 26  # bytes of all arrays together
STEPS = 7  # a value is −7 to 7 steps of its row
RATIOS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # how much of a row's greatest value its seven steps may cover

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LearnedTable:
    """Four-bit vectors of the tokens that were learned; all others have a vector of zeros.

    Attributes
    ----------
    tokenizer: digest of the tokenizer whose tokens these are (`statistics.tokenizer_digest`).
    count: tokens of that tokenizer.
    tokens: (rows,) ascending, the tokens that have a vector.
    packed: (rows, dimensions / 2) two values a byte, the first in the low half, each plus 8.
    scales: (rows,) what a step of the row is worth.
    """

    tokenizer: str
    count: int
    tokens: Numbers
    packed: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]

    def __post_init__(self) -> None:
        rows = len(self.tokens)
        fits = self.packed.ndim == 2 and self.packed.shape[0] == rows and self.scales.shape == (rows,)
        ordered = rows > 0 and bool((np.diff(self.tokens) > 0).all()) and 0 <= self.tokens[0] <= self.tokens[-1]
        if not fits or not ordered or self.tokens[-1] >= self.count or not np.isfinite(self.scales).all():
            raise ValueError("the parts of the table do not fit together")

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return 2 * int(self.packed.shape[1])

    @classmethod
    def of(cls, vectors: Values, tokens: Numbers, tokenizer: str) -> LearnedTable:
        """Round (vocabulary, dimensions) vectors and keep those of `tokens`; the number of dimensions is even."""
        rows = vectors[tokens].astype(np.float64)
        greatest = np.abs(rows).max(axis=1, keepdims=True)
        best, scales = np.zeros(rows.shape, np.int8), np.zeros(len(rows), np.float16)
        least = np.full(len(rows), np.inf)
        for ratio in RATIOS:
            step = (greatest * ratio / STEPS).astype(np.float16)
            exact = step.astype(np.float64)
            whole = np.clip(np.rint(rows / np.where(exact > 0, exact, 1.0)), -STEPS, STEPS)
            error = np.square(rows - whole * exact).sum(axis=1)
            better = error < least
            best[better], scales[better], least[better] = whole[better], step[better, 0], error[better]
        halves = (best + 8).astype(np.uint8)
        packed = np.asarray(halves[:, ::2] | halves[:, 1::2] << 4, np.uint8)
        return cls(tokenizer, len(vectors), tokens.astype(np.int64), packed, scales)

    def directions(self, tokens: Numbers) -> Values:
        """(tokens, dimensions), zeros for a token without a vector."""
        places = np.minimum(np.searchsorted(self.tokens, tokens), len(self.tokens) - 1)
        packed, known = self.packed[places], self.tokens[places] == tokens
        values = np.empty((len(tokens), self.dimensions), np.float32)
        values[:, ::2], values[:, 1::2] = packed & 15, packed >> 4
        return (values - 8) * np.where(known, self.scales[places], np.float16(0)).astype(np.float32)[:, None]


def save(table: LearnedTable, path: Path) -> None:
    """Write the file whole: a NumPy archive with a header and a digest; the same table gives the same bytes."""
    arrays: dict[str, Any] = {"tokens": table.tokens.astype(np.uint32), "packed": table.packed, "scales": table.scales}
    header = {"version": VERSION, "tokenizer": table.tokenizer, "count": table.count}
    header["digest"] = _digest(header, arrays)
    archive.write(path, header, arrays)


def load(path: Path) -> LearnedTable:
    """Read the file; raises `ModelError` with one line where it cannot be used."""
    try:
        header, found = archive.read(path, LARGEST)
        if header["version"] != VERSION:
            raise ModelError(f"{path}: token vectors of another version are not known", hint="upgrade trsr-lite")
        if header.pop("digest") != _digest(header, found):
            raise ValueError("another digest")
        tokens = found["tokens"].astype(np.int64)
        return LearnedTable(header["tokenizer"], header["count"], tokens, found["packed"], found["scales"])
    except archive.DAMAGES as error:
        raise ModelError(f"{path}: damaged, or no token vectors at all", hint="install the package again") from error


@functools.cache
def _shipped() -> LearnedTable:
    return load(SHIPPED)


def shipped(tokenizer: str) -> LearnedTable | None:
    """The table that comes with the package; None for a tokenizer of another digest than it was learned for."""
    return _shipped() if _shipped().tokenizer == tokenizer else None


def _digest(header: dict[str, Any], arrays: dict[str, Any]) -> str:
    found = hashlib.blake2b(orjson.dumps(header, option=orjson.OPT_SORT_KEYS), digest_size=20)
    for name in sorted(arrays):
        found.update(f"\n{name} {arrays[name].dtype.str} {arrays[name].shape}\n".encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return f"b2:{found.hexdigest()}"
