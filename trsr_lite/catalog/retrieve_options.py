"""What is asked of a catalog: how many items, which ones, and how different from each other.

Invariant: nothing is imported that `--help` does not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trsr_lite.options import check, option

if TYPE_CHECKING:
    from trsr_lite.records import Item


@dataclass(frozen=True)
class Retrieval:
    """Which items of a catalog are candidates.

    Attributes
    ----------
    count: items at most.
    filters: attribute -> texts of which the item must have one: as a whole, or as one entry of a list such as
        "a, b"; case does not matter. Every attribute named must fit.
    newer_than: seconds since the epoch (UTC); older items are left out, and so are those without a time.
    diversity: 0 to 1: how much an item loses by being like those before it (maximal marginal relevance).
    fold: whether of near-duplicates only the best is kept.
    """

    count: int = option("Most items of the catalog to rank.", default=50, at_least=1, flag="retrieve", metavar="N")
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    newer_than: float | None = None
    diversity: float = option(
        "How much to avoid items that are alike; 1 is the most.", default=0.0, at_least=0, at_most=1, metavar="0…1"
    )
    fold: bool = True

    def __post_init__(self) -> None:
        check(self)

    def admits(self, item: Item) -> bool:
        """Whether the item passes the filters."""
        if self.newer_than is not None and (item.time is None or item.time <= self.newer_than):
            return False
        return all(_has(item.attributes.get(name, ""), texts) for name, texts in self.filters.items())


def _has(text: str, wanted: Sequence[str]) -> bool:
    parts = getattr(text, "entries", None) or text.split(",")  # an entry of a list may have a comma of its own
    entries = {text.strip().casefold(), *(entry.strip().casefold() for entry in parts)}
    return any(one.strip().casefold() in entries for one in wanted)
