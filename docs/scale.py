"""The tables of `guides/scale.md`, from constants that benchmarks measure: `python docs/scale.py` writes them anew.

Invariant: a figure stands in one place. What was measured is in MEASURED with the benchmark that gives it; what is
assumed is in ASSUMED; everything in the tables follows from the two.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

PAGE = Path(__file__).parent / "guides" / "scale.md"
BATCH = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "batch.json").read_text(encoding="utf-8"))


def _user(cache: str) -> float:
    """Core seconds for a user of the batch benchmark, one worker a core."""
    seconds = BATCH["seconds"][f"{BATCH['threads']} workers of 1, {cache}"]
    return BATCH["threads"] * statistics.mean(seconds) / BATCH["users"]


MEASURED = {  # SmolLM2-135M on 2 CPU cores
    "summaries": _user("empty") - _user("full"),  # core seconds for the 5 summaries of 23 items
    "ranking": _user("full"),  # core seconds for 12 candidates, 600 tokens in all
    "plan": 1 / 1900,  # core seconds to read and check a user of 35 items: a profile of batch.plan
    "cache": 437,  # bytes for each summary, its user's link included: a store of 10,000 summaries
    "line": 1800,  # bytes of a user's row with 10 recommendations
}
ASSUMED = {
    "gpu": 14,  # one data-centre GPU does the work of so many pairs of cores; `trsr-lite bench` says yours
    "core_hour": 0.04,  # USD
    "gpu_hour": 2.50,  # USD
    "night": 8,  # hours
    "clicks": 1,  # a user and day
    "item": 300,  # bytes of text of an item
}
SUMMARIES, BLOCK, FAN_IN = 5, 5, 4
SIZES = [10**power for power in range(3, 10)]


def users() -> list[str]:
    """Rows by number of users: the first night, each night after it, and what is stored."""
    click = 1 / BLOCK * (1 + FAN_IN / (FAN_IN - 1))  # a block, the merges above it, and the root
    text = MEASURED["summaries"] / SUMMARIES
    first = MEASURED["summaries"] + MEASURED["ranking"] + MEASURED["plan"]
    later = ASSUMED["clicks"] * click * text + MEASURED["ranking"] + MEASURED["plan"]
    rows = [
        "| users | first night, core hours | cost CPU / GPU | each night, core hours | cores / GPUs for a night of "
        f"{ASSUMED['night']} h | cost CPU / GPU | summaries | results |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        hours = [size * seconds / 3600 for seconds in (first, later)]
        costs = [f"{_money(h * ASSUMED['core_hour'])} / {_money(_gpu(h) * ASSUMED['gpu_hour'])}" for h in hours]
        busy = hours[1] / ASSUMED["night"]
        rows.append(
            f"| 10{_power(size)} | {_number(hours[0])} | {costs[0]} | {_number(hours[1])} | "
            f"{_number(max(1, busy))} / {_number(max(1, _gpu(busy)))} | {costs[1]} | "
            f"{_bytes(size * SUMMARIES * MEASURED['cache'])} | {_bytes(size * MEASURED['line'])} |"
        )
    return rows


def _gpu(core_hours: float) -> float:
    return core_hours / 2 / ASSUMED["gpu"]


def items() -> list[str]:
    """Rows by number of items: the catalog's text and file, and what finding candidates takes."""
    rows = ["| items | text | catalog file, at most | what finds candidates |", "|---|---|---|---|"]
    for size in SIZES:
        finder = "FTS5, in the process" if size <= 10**6 else "FTS5, measure first" if size <= 10**7 else "an engine"
        text = size * ASSUMED["item"]
        rows.append(f"| 10{_power(size)} | {_bytes(text)} | {_bytes(2 * text)} | {finder} |")
    return rows


def render(page: str) -> str:
    """The page with both tables as they follow now."""
    for name, rows in (("users", users()), ("items", items())):
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        head, _, rest = page.partition(start)
        page = head + start + "\n".join(rows) + "\n" + end + rest.partition(end)[2]
    return page


def _power(size: int) -> str:
    return str(len(str(size)) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _number(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def _money(value: float) -> str:
    return f"${_number(value)}" if value >= 0.01 else "< $0.01"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{_number(value)} {unit}"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
