"""What people read of a benchmark and of a comparison.

Invariant: as in `tables`, names are shown as text; a number has its unit beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trsr_lite.bench.figures import BYTES, ONCE, STATES, count, figures
from trsr_lite.cli import tables
from trsr_lite.prompts.templates import fold

NO_ENERGY = "not exposed here"


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """The machine, the figures, and the advice."""
    tables.print_facts("Measured", _facts(report), console)
    _print_prefill(report["prefill"], console)
    table = Table("what", title="Everything else", title_justify="left")
    for head in ("best", "median", "unit"):
        table.add_column(head, justify="left" if head == "unit" else "right", no_wrap=True)
    for name, unit, best, median in figures(report):
        if not name.startswith("prefill, "):
            divisor, said = _scale(best, unit)
            rounds = "" if unit in ONCE else _number(median / divisor)
            table.add_row(Text(fold(name)), _number(best / divisor), rounds, said)
    console.print(table)
    for line in report["advice"]:
        console.print(Text(f"• {fold(line['text'])}"))


def print_comparison(compared: Mapping[str, Any], console: Console) -> None:
    """Figures of both side by side, and what else differs."""
    table = Table("what", title="Compared", title_justify="left")
    for head in ("old", "new", "unit", "new / old", ""):
        table.add_column(head, justify="left" if head in ("unit", "") else "right", no_wrap=True)
    for row in compared["figures"]:
        divisor, said = _scale(row["new"], row["unit"])
        values = [_number(row[key] / divisor) for key in ("old", "new")]
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(Text(fold(row["name"])), *values, said, ratio, row["verdict"] or "")
    console.print(table)
    for note in compared["notes"]:
        console.print(Text(f"note: {fold(note)}"))


def _facts(report: Mapping[str, Any]) -> list[tuple[str, Any]]:
    machine, model, conditions = report["machine"], report["model"], report["conditions"]
    files = [f"{file['file']} ({file['bytes'] / 2**20:.0f} MiB)" for file in model["files"]]
    busy = conditions["busy_elsewhere"]
    return [
        ("processor", f"{machine['processor']}, {count(machine['threads'], 'core')} for this process"),
        ("programs", f"trsr-lite {machine['trsr_lite']}, llama-cpp-python {machine['llama_cpp_python']}"),
        ("model", f"{model['name']}: {', '.join(files)}"),
        ("took", f"{conditions['seconds']:.0f} s, {count(conditions['rounds'], 'round')}"),
        ("other programs", "unknown" if busy is None else f"{busy:.0%} of all processors"),
        ("energy", _energy(report["energy_joules"])),
    ]


def _energy(energy: Mapping[str, Any] | None) -> str:
    if energy is None:
        return NO_ENERGY
    each = [(state, energy["recommend"][state]) for state in STATES]
    parts = [f"{state} {value:.3g} J" for state, value in each if value is not None]
    return f"recommend: {', '.join(parts)}" if parts else NO_ENERGY


def _print_prefill(rows: list[dict[str, Any]], console: Console) -> None:
    """A row for each batch, a column for each number of threads; the best rounds."""
    threads = sorted({row["threads"] for row in rows})
    table = Table("prefill, tokens/s", title="Prompts of one batch", title_justify="left")
    for number in threads:
        table.add_column(count(number, "thread"), justify="right", no_wrap=True)
    for batch in sorted({row["batch"] for row in rows}):
        best = {row["threads"]: row["best"] for row in rows if row["batch"] == batch}
        cells = [_number(best[number]) if number in best else "" for number in threads]
        table.add_row(count(batch, "token"), *cells)
    console.print(table)


def _scale(value: float, unit: str) -> tuple[float, str]:
    """What a person reads instead of bytes: a divisor and a unit."""
    if unit != BYTES:
        return 1, unit
    return (1 << 20, "MiB") if value >= 1 << 20 else (1 << 10, "KiB")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
