"""What parsed JSON must look like before anybody uses it: kinds of values, written as an example of them.

    mismatch(data, {"name": str, "sizes": [int], "type": Maybe(str)})

Invariant: what has no mismatch can be indexed and computed with as its shape says; whole numbers fit 64 bits, and
numbers are finite. Names that a shape does not have are left alone: newer versions write more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST = 1 << 63
SHOWN = 60  # characters of a value in a message
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object"}


@dataclass(frozen=True)
class Maybe:
    """What may also be missing, and null unless that is excluded."""

    shape: Any
    null: bool = True


@dataclass(frozen=True)
class Whole:
    """A whole number of at least so much, and below a limit."""

    least: int = 0
    limit: int = LARGEST


def mismatch(value: Any, shape: Any, name: str = "it") -> str | None:
    """The first thing that is not as its shape says, in words; None where all is."""
    if isinstance(shape, Maybe):
        return None if value is None and shape.null else mismatch(value, shape.shape, name)
    if isinstance(shape, Mapping):
        return _object(value, shape, name)
    if isinstance(shape, list):
        return _list(value, shape[0], name)
    if isinstance(shape, Whole):
        fits = type(value) is int and shape.least <= value < shape.limit
        return None if fits else f"{name} is {_shown(value)}, which cannot be"
    if shape is float:
        fits = type(value) in (int, float) and _is_finite(value)
    else:
        fits = type(value) is shape and (shape is not int or abs(value) < LARGEST)
    return None if fits else f"{name} is {_shown(value)}, which is not {_WORDS[shape]}"


def _object(value: Any, shape: Mapping[str, Any], name: str) -> str | None:
    if not isinstance(value, dict):
        return f"{name} is {_shown(value)}, which is not an object"
    for key, inner in shape.items():
        if key not in value:
            if isinstance(inner, Maybe):
                continue
            return f"{key} is missing"
        if fault := mismatch(value[key], inner, key):
            return fault
    return None


def _list(value: Any, inner: Any, name: str) -> str | None:
    if not isinstance(value, list):
        return f"{name} is {_shown(value)}, which is not a list"
    return next((fault for one in value if (fault := mismatch(one, inner, f"an entry of {name}"))), None)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _shown(value: Any) -> str:
    """A value for a message, whatever it holds."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        return repr(value)[:SHOWN]
    except ValueError:  # a number of too many digits
        return "a number of very many digits"
