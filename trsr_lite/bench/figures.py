"""The report of a benchmark as a flat list of named figures, and reading one from a file.

Invariant: whatever `read` returns has every part that advice and comparison look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from trsr_lite.errors import DataError, SettingsError

SCHEMA = 1
TOKENS, SUMMARIES, SECONDS, BYTES, JOULES = "tokens/s", "summaries/s", "s", "B", "J"  # units
ONCE = (BYTES, JOULES)  # units of what has no rounds
STATES = ("cold", "warm", "appended")  # of `recommend`: nothing loaded or kept; everything; one more item

Report = Mapping[str, Any]


class Figure(NamedTuple):
    """What was measured, its unit, and its best and median round."""

    name: str
    unit: str
    best: float
    median: float

    @property
    def spread(self) -> float:
        """How many times better the best round was than the median one."""
        low, high = sorted((self.best, self.median))
        return high / low if low > 0 else 1.0


def figures(report: Report) -> Iterator[Figure]:
    """Every figure of a report, in the order in which people read them."""

    def figure(name: str, unit: str, row: Mapping[str, Any]) -> Figure:
        return Figure(name, unit, float(row["best"]), float(row["median"]))

    for row in report["load_seconds"]:
        yield figure(f"load {' and '.join(row['roles'])}", SECONDS, row)
    for row in report["prefill"]:
        yield figure(f"prefill, {count(row['batch'], 'token')}, {count(row['threads'], 'thread')}", TOKENS, row)
    for row in report["decode"]:
        yield figure(f"decode, {count(row['sequences'], 'text')}", TOKENS, row)
    yield figure("scoring", TOKENS, report["scoring"])
    yield figure("raw prefill of as many", TOKENS, report["scoring"]["raw"])
    for row in report["summaries"]:
        yield figure(f"summaries, {count(row['users'], 'user')}", SUMMARIES, row)
    for state in STATES:
        yield figure(f"recommend, {state}", SECONDS, report["recommend"][state])
    for name, unit, value in (
        ("peak memory", BYTES, report["memory_bytes"]),
        ("KV cache of a token", BYTES, report["kv_bytes_per_token"]),
        ("energy of it all", JOULES, (report["energy_joules"] or {}).get("total")),
    ):
        if value is not None:
            yield Figure(name, unit, float(value), float(value))


def count(number: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def read(path: Path) -> Report:
    """A report that `trsr-lite bench --json` has printed; raises `DataError`, or `SettingsError` for another schema."""
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", hint=SAVE) from error
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON: {error}", hint=SAVE) from error
    if not isinstance(data, Mapping) or "schema" not in data or "prefill" not in data:
        raise DataError(f"{path}: not a result of `trsr-lite bench --json`", hint=SAVE)
    if data["schema"] != SCHEMA:
        raise SettingsError(
            f"{path}: it has schema {data['schema']!r}; this trsr-lite compares schema {SCHEMA} only",
            hint="measure again with one version of trsr-lite",
        )
    try:
        list(figures(data))
        {**data["machine"], **data["conditions"]}
        [file["digest"] for file in data["model"]["files"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: incomplete or of the wrong shape: {error!r}", hint=SAVE) from error
    return data


SAVE = "make one with `trsr-lite bench --json > FILE`"
