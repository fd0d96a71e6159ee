"""Names of authors as they are spoken.

Invariant: `Last, First` is turned round; a name that may be an organisation, or two people, stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable


def spoken(name: str) -> str:
    """`Vale, Ines` as `Ines Vale`."""
    last, comma, first = name.strip().partition(", ")
    return f"{first} {last}" if comma and "," not in first and ";" not in name else name.strip()


def listed(names: Iterable[str]) -> str:
    """Several names, with commas between them."""
    return ", ".join(found for name in names if (found := spoken(name)))
