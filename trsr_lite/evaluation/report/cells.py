"""Cells of a report's tables: a figure with its interval, a difference, and how easily chance would make it.

Invariant: what is not known, such as an interval of too few users, is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NONE = "–"


def figure(found: Mapping[str, Any], digits: str = ".3f") -> str:
    """A value, and below it its interval."""
    text, between = f"{found['value']:{digits}}", interval(found)
    return f"{text}<br><small>{between}</small>" if between else text


def interval(found: Mapping[str, Any]) -> str:
    """The interval, or nothing where there is none."""
    return "" if found.get("low") is None else f"{found['low']:.3f}–{found['high']:.3f}"


def difference(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """A difference, its interval in words, and p."""
    value, low, high = (
        "" if found[key] is None else f"{found[key]:+.3f}".replace("-", "−") for key in ("value", "low", "high")
    )
    p = f"{found['p']:.3f}" if found["p"] >= 0.001 else "&lt; 0.001"
    return value, f"{low} to {high}" if low else "too few users", p
