"""Options that say which items of a catalog are candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trsr_lite.errors import SettingsError

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.catalog.retrieval import Retrieval

F = TypeVar("F", bound=Callable[..., Any])

_NEED_CATALOG = ("retrieve", "filters", "newer_than", "diversity", "keep_duplicates")

catalog = click.option("--catalog", metavar="FILE", help="Rank what fits of a catalog: see `trsr-lite catalog build`.")
retrieve = click.option(
    "--retrieve", type=click.IntRange(min=1), metavar="N", help="Items of it that are ranked [default: 50]"
)


def options(function: F) -> F:
    """`--catalog` and what narrows it."""
    for decorator in reversed(_OPTIONS):
        function = decorator(function)
    return function


_OPTIONS = (
    catalog,
    retrieve,
    click.option(
        "--filter",
        "filters",
        multiple=True,
        metavar="NAME=TEXT",
        help="Only items whose attribute has this text; a name twice: either text; two names: both.",
    ),
    click.option("--newer-than", metavar="TIME", help="Only items with a later `time`, such as 2026-01-02."),
    click.option(
        "--diversity", type=click.FloatRange(0, 1), metavar="0…1", help="How much to avoid items alike [default: 0]"
    ),
    click.option("--keep-duplicates", is_flag=True, default=None, help="Keep near-duplicates too."),
)


@contextmanager
def opened(chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments `catalog` and `retrieve` of `Recommender.recommend`; none where no catalog is given."""
    if chosen["catalog"] is None:
        if given := [name for name in _NEED_CATALOG if chosen[name] not in (None, ())]:
            option = {"filters": "filter"}.get(given[0], given[0].replace("_", "-"))
            raise SettingsError(
                f"`--{option}` needs `--catalog`", hint="make one: `trsr-lite catalog build items.jsonl`"
            )
        yield {}
        return
    if chosen.get("candidate_file"):
        raise SettingsError("give `--candidates` or `--catalog`, not both")
    from trsr_lite.catalog.catalog import Catalog

    wanted = _wanted(chosen)
    with Catalog(chosen["catalog"]) as found:
        arguments: dict[str, Catalog | Retrieval] = {"catalog": found, "retrieve": wanted}
        yield arguments


def _wanted(chosen: dict[str, Any]) -> Retrieval:
    from trsr_lite.catalog.retrieval import Retrieval
    from trsr_lite.records import parse_time

    newer = chosen["newer_than"]
    if newer == "":
        raise SettingsError("`--newer-than` is empty", hint="give it a time, such as 2026-01-02")
    return Retrieval(
        count=chosen["retrieve"] or Retrieval.count,
        filters=_filters(chosen["filters"]),
        newer_than=None if newer is None else parse_time(newer, "--newer-than"),
        diversity=chosen["diversity"] or 0.0,
        fold=not chosen["keep_duplicates"],
    )


def _filters(given: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not name.strip() or not equals or not text.strip():
            raise SettingsError(f"--filter {one!r} is not NAME=TEXT", hint="such as `--filter category=Garden`")
        found.setdefault(name.strip(), []).append(text)
    return found
