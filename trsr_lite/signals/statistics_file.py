"""Statistics as one compact file.

Invariant: the same statistics give the same bytes, and what `load` returns is what was saved: a digest over all of it
is checked, so that a cut or altered file is refused. The format is a NumPy archive without pickled objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from trsr_lite.errors import ModelError
from trsr_lite.signals import archive
from trsr_lite.signals.archive import Arrays
from trsr_lite.signals.counts import Counts
from trsr_lite.signals.learned_table import LearnedTable
from trsr_lite.signals.neighbour_table import NeighbourTable
from trsr_lite.signals.statistics import Bags, Statistics

VERSION = 1
LARGEST = 1 << 32  # bytes of all arrays together; more is no statistics but a broken file
_COUNTS = ("words", "values", "popularity")
_BAGS = ("sample", "token_sample")
_LEARNED = ("tokens", "packed", "scales")
_PLAIN = ("tokens", "row_mean", "direction")
_KINDS = {
    "keys": np.uint64, "values": np.uint64, "starts": np.int64, "bags": np.uint32, "counts": np.uint16,
    "columns": np.int32, "likeness": np.float16, "tokens": np.int64, "row_mean": np.float32, "direction": np.float32,
    "packed": np.uint8, "scales": np.float16,
}  # fmt: skip
"""Last part of an array's name -> its type."""


def save(statistics: Statistics, path: Path) -> None:
    """Write the file whole; raises `OSError` where it cannot be."""
    arrays = _arrays(statistics)
    facts = {"version": VERSION, "documents": statistics.documents, "newest": statistics.newest}
    header = {**facts, "tokenizer": statistics.tokenizer, "digest": ""}
    if statistics.learned is not None:
        header["vocabulary"] = statistics.learned.count
    header["digest"] = _digest(header, arrays)
    archive.write(path, header, {name: _packed(one) for name, one in arrays.items()})


def load(path: Path) -> Statistics:
    """Read the file; raises `ModelError` with one line where it cannot be used."""
    try:
        header, found = archive.read(path, LARGEST)
        version = header["version"]
    except archive.DAMAGES as error:
        raise _damaged(path) from error
    if version != VERSION:
        raise ModelError(f"{path}: statistics of version {version!r} are not known", hint="upgrade trsr-lite")
    try:
        arrays = {name: _unpacked(name, one) for name, one in found.items()}
        if header["digest"] != _digest({**header, "digest": ""}, arrays):
            raise ValueError("another digest")
        return _statistics(header, arrays)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path}: damaged, or no statistics at all", hint="get it again, or make it again")


def _arrays(statistics: Statistics) -> Arrays:
    found: Arrays = {}
    for name in _COUNTS:
        counts: Counts | None = getattr(statistics, name)
        if counts is not None:
            found |= {f"{name}.keys": counts.keys, f"{name}.values": counts.values}
    for name in _BAGS:
        bags: Bags = getattr(statistics, name)
        found |= {f"{name}.starts": bags.starts, f"{name}.bags": bags.keys, f"{name}.counts": bags.counts}
    if (table := statistics.neighbours) is not None:
        found |= {f"neighbours.{one}": getattr(table, one) for one in ("keys", "starts", "columns", "likeness")}
    if (learned := statistics.learned) is not None:
        found |= {f"learned.{one}": getattr(learned, one) for one in _LEARNED}
    found |= {name: value for name in _PLAIN if (value := getattr(statistics, name)) is not None}
    return {name: np.ascontiguousarray(value, _KINDS[name.rpartition(".")[2]]) for name, value in found.items()}


def _statistics(header: Mapping[str, Any], arrays: Arrays) -> Statistics:
    learned = None
    if "learned.tokens" in arrays:
        vectors = {one: arrays[f"learned.{one}"] for one in _LEARNED}
        learned = LearnedTable(header["tokenizer"], header["vocabulary"], **vectors)
    parts = [arrays.get(f"neighbours.{one}") for one in ("keys", "starts", "columns", "likeness")]
    return Statistics(
        documents=header["documents"],
        words=_counts("words", arrays),
        values=_counts("values", arrays),
        tokens=arrays.get("tokens"),
        tokenizer=header["tokenizer"],
        sample=_bags("sample", arrays),
        token_sample=_bags("token_sample", arrays),
        row_mean=arrays.get("row_mean"),
        direction=arrays.get("direction"),
        learned=learned,
        popularity=_counts("popularity", arrays) if "popularity.keys" in arrays else None,
        neighbours=NeighbourTable(*(part for part in parts if part is not None)) if parts[0] is not None else None,
        newest=header["newest"],
    )


def _counts(name: str, arrays: Arrays) -> Counts:
    return Counts(arrays[f"{name}.keys"], arrays[f"{name}.values"])


def _bags(name: str, arrays: Arrays) -> Bags:
    return Bags(*(arrays[f"{name}.{part}"] for part in ("starts", "bags", "counts")))


def _digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    found = hashlib.blake2b(orjson.dumps(dict(header), option=orjson.OPT_SORT_KEYS), digest_size=20)
    for name in sorted(arrays):
        found.update(f"\n{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        found.update(arrays[name].tobytes())
    return f"b2:{found.hexdigest()}"


def _packed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In the smallest type that holds all values: counts are mostly small."""
    if not np.issubdtype(values.dtype, np.integer):
        return values
    largest = int(values.max(initial=0))
    kind = next(kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if largest <= np.iinfo(kind).max)
    return values.astype(kind) if values.min(initial=0) >= 0 else values


def _unpacked(name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(values, _KINDS[name.rpartition(".")[2]])
