"""What a bundle carries for ranking by more than its model: statistics of items, and the weights of a fusion.

Invariant: the entry in the manifest has a version of its own. The files that it names lie in the bundle and have the
hashes that it says. A bundle without an entry ranks by the model alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.engine.tensors import Rows
from trsr_lite.errors import ModelError
from trsr_lite.io.files import granted
from trsr_lite.io.shape import Whole, mismatch
from trsr_lite.signals import statistics_file
from trsr_lite.signals.fusion import Fusion
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.token_table import TokenTable

VERSION = 1


@dataclass(frozen=True)
class StatisticsFile:
    """Where the statistics are, their content hash (`b2:…`), and their size in bytes."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True)
class BundleSignals:
    """Statistics, and the fusion that was fitted with them."""

    statistics: StatisticsFile
    fusion: Fusion

    @property
    def identity(self) -> str:
        """Content hash of all that scores depend on beside the model."""
        content = {"statistics": self.statistics.digest, "fusion": self.fusion.to_json()}
        return f"b2:{hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=20).hexdigest()}"

    def to_dict(self) -> dict[str, Any]:
        """The entry in the manifest."""
        file = self.statistics
        return {
            "version": VERSION,
            "statistics": {"file": file.path.name, "digest": file.digest, "size": file.size},
            "fusion": self.fusion.to_json(),
        }

    def ranker(self, model: Path, tokenizer: Tokenizer, names: Sequence[str] | None = None) -> SignalRanker:
        """A ranker by the signals of these `names`, all by default; token vectors are made of `model`'s embeddings.

        Raises `ModelError` where a file is damaged, or the statistics belong to another tokenizer.
        """
        found = statistics_file.load(self.statistics.path)
        table = TokenTable(Rows(model), found.row_mean) if found.row_mean is not None else None
        return SignalRanker(found, self.fusion, tokenizer=tokenizer, table=table, names=names)


def make(statistics: Path, fusion: Fusion, digest: Callable[[Path], str]) -> BundleSignals:
    """Of a statistics file that lies, or will lie, in the bundle."""
    return BundleSignals(StatisticsFile(statistics, digest(statistics), statistics.stat().st_size), fusion)


def read(folder: Path, entry: Any, digest: Callable[[Path], str]) -> BundleSignals:
    """The signals of a manifest's entry; raises `ModelError`, `KeyError` or `TypeError` for one of a wrong shape."""
    if not isinstance(entry, Mapping):
        raise TypeError(f"signals {entry!r}")
    if entry["version"] != VERSION:
        raise ModelError(
            f"{folder}: signals of version {entry['version']!r} are newer than this trsr-lite knows ({VERSION})",
            hint="upgrade trsr-lite",
        )
    file = entry["statistics"]
    if fault := mismatch(file, {"file": str, "digest": str, "size": Whole()}, "statistics"):
        raise TypeError(fault)
    name = file["file"]
    if Path(name).name != name or name in ("", ".", ".."):
        raise ModelError(f"{folder}: statistics {name!r} are not inside the bundle")
    path = folder / name
    with granted(path):
        if not path.is_file():
            raise ModelError(f"{path}: missing from its bundle")
        if (size := path.stat().st_size) != file["size"]:
            raise ModelError(f"{path}: {size} bytes, but its manifest says {file['size']}", hint="get the bundle again")
        if (found := digest(path)) != file["digest"]:
            raise ModelError(
                f"{path}: its content hash is {found}, but its manifest says {file['digest']}",
                hint="the file was changed or is damaged: get the bundle again",
            )
    return BundleSignals(StatisticsFile(path, found, size), Fusion.from_json(entry["fusion"]))
