"""Two reports side by side.

Invariant: a ratio is new / old, whatever the unit, and says nothing of what differs besides: the notes do.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from trsr_lite.bench.advice import UNSTEADY
from trsr_lite.bench.figures import ONCE, SCHEMA, SECONDS, Figure, Report, figures

SAME = 1.05  # closer figures are called the same
MACHINE = ("processor", "logical_cpus", "system", "gpu_offload")
PROGRAMS = ("trsr_lite", "llama_cpp_python", "python")
CONDITIONS = ("threads", "gpu_layers", "ctx_size", "quick")


def compare(old: Report, new: Report) -> dict[str, Any]:
    """`figures` (name, unit, old, new, ratio, verdict) that both have, of their best rounds, and `notes`."""
    before, after = ({figure.name: figure for figure in figures(report)} for report in (old, new))
    rows = [_row(before[name], after[name]) for name in after if name in before]
    notes = [
        *_differences("another machine", old["machine"], new["machine"], MACHINE),
        *_differences("other programs", old["machine"], new["machine"], PROGRAMS),
        *_differences("measured otherwise", old["conditions"], new["conditions"], CONDITIONS),
        *_models(old, new),
        *_alone("old", before, after),
        *_alone("new", after, before),
    ]
    unsteady = [row["name"] for row in rows if max(before[row["name"]].spread, after[row["name"]].spread) > UNSTEADY]
    if unsteady:
        notes.append(f"rounds of {len(unsteady)} of {len(rows)} figures were unsteady: small differences mean nothing")
    return {"schema": SCHEMA, "figures": rows, "notes": notes}


def _row(old: Figure, new: Figure) -> dict[str, Any]:
    ratio = new.best / old.best if old.best else None
    return {
        "name": new.name,
        "unit": new.unit,
        "old": old.best,
        "new": new.best,
        "ratio": None if ratio is None else round(ratio, 3),
        "verdict": None if ratio is None else verdict(new.unit, ratio),
    }


def verdict(unit: str, ratio: float) -> str:
    """What new / old means in a word: `same`, `faster` or `slower`, and `less` or `more` of bytes and joules."""
    if 1 / SAME <= ratio <= SAME:
        return "same"
    if unit in ONCE:
        return "more" if ratio > 1 else "less"
    return "faster" if (ratio > 1) != (unit == SECONDS) else "slower"


def _differences(label: str, old: Mapping[str, Any], new: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    return [
        f"{label}: {name} was {old.get(name)}, is {new.get(name)}" for name in names if old.get(name) != new.get(name)
    ]


def _alone(which: str, names: Iterable[str], others: Container[str]) -> list[str]:
    alone = [name for name in names if name not in others]
    return [f"only in the {which} one: {'; '.join(alone)}"] if alone else []


def _models(old: Report, new: Report) -> list[str]:
    before, after = ([file["digest"] for file in report["model"]["files"]] for report in (old, new))
    if before == after:
        return []
    return [f"another model: was {old['model'].get('name')}, is {new['model'].get('name')}"]
