"""Timing in turns, machine facts, one table and one JSON file for each benchmark.

Invariant: things that are compared are measured in turns in one run (A B C, A B C, …), and ratios are taken turn by
turn, so that a machine whose speed drifts does not favour one of them.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from trsr_lite.bench.machine import facts

RESULTS = Path(__file__).parent / "results"
PARTS = Path(__file__).parents[1] / "build" / "bench"  # of runs that are not what `results` holds


def in_turns(work: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each piece of work in each round; a piece that returns a float has measured itself."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(-warm_up, rounds):
        for name, call in work.items():
            start = time.perf_counter()
            own = call()
            spent = own if isinstance(own, float) else time.perf_counter() - start
            if turn >= 0:
                seconds[name].append(spent)
    return seconds


def ratio(above: list[float], below: list[float]) -> float:
    """Median of the ratios, turn by turn."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def report(name: str, rows: list[tuple[str, str, str]], data: Mapping[str, Any], *, whole: bool = True) -> None:
    """Print (what, measured, required) rows and write everything to results/<name>.json.

    A run of a part, or of fewer rounds, is not `whole`: it goes to build/bench, and the figures that pages quote stay.
    """
    table = Table("what", "measured", "required", title=f"{name} ({time.strftime('%Y-%m-%d')})")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
    folder = results(whole=whole)
    content = {"benchmark": name, "machine": facts(), "rows": rows, **data}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def results(*, whole: bool) -> Path:
    """Where a run's results belong."""
    folder = RESULTS if whole else PARTS
    folder.mkdir(parents=True, exist_ok=True)
    return folder
