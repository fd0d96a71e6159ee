"""The candidates of a call: given with it, or found in a catalog.

Invariant: what is to be ranked is never an empty list, and no list holds an id twice. Given candidates keep their
order, and one without visible text is a fault of the list. Found ones are best first, and one without visible text is
left out. So is a found one that no prompt has room for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trsr_lite.errors import DataError, SettingsError
from trsr_lite.prompts import templates
from trsr_lite.records import Item, User, candidates_from_list, unique
from trsr_lite.settings import Settings

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.catalog.retrieve_options import Retrieval


def given(candidates: Iterable[Any] | None, user: User) -> list[Item]:
    """Those given, as items or as parsed JSON; the user's own where that is None."""
    return listed(user.candidates if candidates is None else candidates)


def listed(candidates: Iterable[Any]) -> list[Item]:
    """Items, or parsed JSON of them, as items of which no two share an id."""
    items = list(candidates)  # once: they may be a generator's
    if all(isinstance(item, Item) for item in items):
        return unique(items, "candidates")
    return candidates_from_list(items)


def to_rank(
    candidates: Iterable[Any] | None, user: User, catalog: Catalog | None, retrieve: Retrieval | int | None
) -> list[Item]:
    """Those given, at least one; or none where a catalog is to find them as `retrieve` says."""
    items = [] if candidates is None and catalog is not None else given(candidates, user)
    if items and catalog is not None:
        raise SettingsError("candidates come from a list or from a catalog, not from both")
    if not items and catalog is None:
        raise DataError(
            "there are no candidates to rank", hint='give them beside the user or as "candidates" of the user'
        )
    if catalog is not None:
        catalog.check(retrieve)
    return items


def found(
    catalog: Catalog, user: User, summary: str | None, retrieve: Retrieval | int | None, settings: Settings
) -> list[Item]:
    """What a catalog has for a user: one row without a visible attribute must not cost the whole answer."""
    items = [item for item in catalog.retrieve(user.history, summary, retrieve) if _is_visible(item, settings)]
    if not items:
        raise DataError(
            f"{catalog.path}: no item passes the filters and shares a word with the history or the summary",
            hint="loosen the filters, or look at the catalog with `trsr-lite catalog info`",
        )
    return items


def _is_visible(item: Item, settings: Settings) -> bool:
    try:
        return bool(templates.shown(item, settings))
    except DataError:
        return False
