"""Timing in turns, machine facts, one table and one JSON file for each benchmark.

Invariant: things that are compared are measured in turns in one run (A B C, A B C, …), and ratios are taken turn by
turn, so that a machine whose speed drifts does not favour one of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from trsr_lite.bench.energy import Meter
from trsr_lite.bench.machine import facts
from trsr_lite.bench.stopwatch import Stopwatch
from trsr_lite.bench.stopwatch import ratio as ratio

RESULTS = Path(__file__).parent / "results"
PARTS = Path(__file__).parents[1] / "build" / "bench"  # of runs that are not what `results` holds


def in_turns(work: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: bool = True) -> dict[str, list[float]]:
    """Seconds of each piece of work in each round; a piece that returns a float has measured itself."""
    return Stopwatch(rounds, Meter()).in_turns(work, warm_up=warm_up)


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
