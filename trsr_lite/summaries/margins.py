"""Margins on disk, beside the summaries that they rest on.

Invariant: a margin is found again exactly if all that it depends on is the same: weights and adapter, the build of
llama.cpp and the processor, the version of the prompts, the tokens of prefix and candidate, the two answers, and the
way it was computed. A fast margin carries its noise floor in its key. Each row has a seal, as a summary has: a damaged
one is made again. No clock decides which ones go, so one that jumps costs nothing.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from trsr_lite.engine.interface import Margin
from trsr_lite.prompts.templates import PROMPT_VERSION

logger = logging.getLogger(__name__)

ARITHMETIC = 1  # raise when this package computes a margin in another way
CACHE_BYTES = 256_000_000
"""Most bytes of a store that holds margins, where nobody says otherwise: some two million margins."""

VARIABLES = 500  # SQLite allows at least 999 in one statement
SHARE = 8  # one prefix of so many goes at once
_OLDEST = "FROM prefixes ORDER BY used LIMIT ?"

_Write = tuple[str, Sequence[Sequence[Any]]]


def scope(
    model: str, arithmetic: str, prefix: Sequence[int], answers: tuple[int, int], *, noise_floor: float | None
) -> str:
    """The address of all margins behind one prefix; `noise_floor` is None where they are exact.

    `model` and `arithmetic` are the engine's identity and arithmetic.
    """
    content = {
        "arithmetic": [ARITHMETIC, arithmetic],
        "model": model,
        "prompt_version": PROMPT_VERSION,
        "prefix": list(prefix),
        "answers": list(answers),
        "way": "exact" if noise_floor is None else ["fast", noise_floor],
    }
    rest = hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=20).hexdigest()
    return _of(model) + rest


def candidate(tokens: Sequence[int]) -> bytes:
    """The address of one candidate behind a prefix."""
    return hashlib.blake2b(array("i", tokens).tobytes(), digest_size=16).digest()


class StoredMargins:
    """The margins of a store: `run` asks its file, `write` changes it, and margins leave it within `limit` bytes.

    A prefix goes with all its margins, the least recently used first. Summaries count, and stay. A limit of 0 keeps no
    margin at all.
    """

    def __init__(
        self, run: Callable[[str, Sequence[Any]], list[Any]], write: Callable[..., None], limit: int = CACHE_BYTES
    ) -> None:
        self._run, self._write, self.limit = run, write, limit

    def knows(self, model: str) -> bool:
        """Whether there is any margin of this model: else nobody need look for one."""
        if not self.limit:
            return False
        first = _of(model)
        return bool(self._run("SELECT 1 FROM prefixes WHERE key >= ? AND key < ? LIMIT 1", [first, first + "~"]))

    def get(self, scope: str, candidates: Sequence[bytes]) -> dict[bytes, Margin]:
        """The margins that are known, by candidate."""
        if not self.limit:
            return {}
        known = self._run("SELECT id, used, (SELECT max(used) FROM prefixes) FROM prefixes WHERE key = ?", [scope])
        if not known:
            return {}
        (number, used, newest), found = known[0], dict[bytes, Margin]()
        for start in range(0, len(candidates), VARIABLES):
            part = candidates[start : start + VARIABLES]
            marks = ",".join("?" * len(part))
            query = f"SELECT candidate, margin, mass, seal FROM margins WHERE prefix = ? AND candidate IN ({marks})"  # noqa: S608
            for key, margin, mass, seal in self._run(query, [number, *part]):
                if seal == _seal(scope, key, margin, mass):
                    found[key] = Margin(margin, mass)
                else:
                    logger.warning("a stored margin was damaged; it is made again")
        if found and used != newest:
            self._write(_newest(scope))
        return found

    def put(self, scope: str, margins: Mapping[bytes, Margin]) -> None:
        """Keep margins: all or none of them, committed when this returns."""
        if not self.limit or not margins:
            return
        rows = [(key, *found, _seal(scope, key, *found), scope) for key, found in margins.items()]
        insert = "INSERT OR REPLACE INTO margins SELECT id, ?, ?, ?, ? FROM prefixes WHERE key = ?"
        self._write(_newest(scope), (insert, rows))
        self._shrink()

    def _shrink(self) -> None:
        """Let prefixes go until the store is within its limit, or until a locked store takes nothing."""
        before = -1
        while (left := self._run("SELECT count(*) FROM prefixes", [])[0][0]) != before and left:
            if self._bytes() <= self.limit:
                return
            some = [(-(-left // SHARE),)]
            self._write(
                (f"DELETE FROM margins WHERE prefix IN (SELECT id {_OLDEST})", some),  # noqa: S608
                (f"DELETE FROM uses WHERE key IN (SELECT key {_OLDEST})", some),  # noqa: S608
                (f"DELETE FROM prefixes WHERE id IN (SELECT id {_OLDEST})", some),  # noqa: S608
            )
            before = left

    def _bytes(self) -> int:
        """What is in use: SQLite writes again where something was deleted."""
        pages, free, size = (
            self._run(f"PRAGMA {name}", [])[0][0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


def _of(model: str) -> str:
    """How every scope of a model begins."""
    return f"{hashlib.blake2b(model.encode(), digest_size=4).hexdigest()}-"


def _newest(scope: str) -> _Write:
    """Makes a prefix the one that was used last."""
    insert = (
        "INSERT INTO prefixes (key, used) VALUES (?, (SELECT coalesce(max(used), 0) + 1 FROM prefixes)) "
        "ON CONFLICT (key) DO UPDATE SET used = excluded.used"
    )
    return insert, [(scope,)]


def _seal(scope: str, key: Any, margin: Any, mass: Any) -> bytes | None:
    """A hash of what a row says; None where that is of other kinds than were written."""
    if not (isinstance(key, bytes) and isinstance(margin, float) and isinstance(mass, float)):
        return None
    whole = scope.encode() + key + array("d", [margin, mass]).tobytes()
    return hashlib.blake2b(whole, digest_size=16).digest()
