"""Options that say which items of a catalog are candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.cli.flags import fields, flag, given, together
from trsr_lite.errors import SettingsError

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog

_NEED_CATALOG = {  # parameter: flag
    "count": "retrieve",
    "filters": "filter",
    "newer_than": "newer-than",
    "diversity": "diversity",
    "keep_duplicates": "keep-duplicates",
}

_HEADING = "Catalog"

flags = together(
    flag(
        "--catalog",
        metavar="FILE",
        help="Take candidates from this catalog, or from a table or export, of which one is made and kept.",
        heading=_HEADING,
    ),
    fields(Retrieval, "count", heading=_HEADING),
    flag(
        "--filter",
        "filters",
        multiple=True,
        metavar="NAME=TEXT",
        help="Only items whose attribute NAME has this text. Repeat a NAME to allow several texts.",
        heading=_HEADING,
    ),
    flag("--newer-than", metavar="TIME", help="Only items with a later `time`, such as 2026-01-02.", heading=_HEADING),
    fields(Retrieval, "diversity", heading=_HEADING),
    flag("--keep-duplicates", is_flag=True, default=None, help="Keep near-duplicates too.", heading=_HEADING),
)
"""`--catalog` and what narrows it."""


@contextmanager
def opened(chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments `catalog` and `retrieve` of `Recommender.recommend`; none where no catalog is given."""
    if chosen["catalog"] is None:
        if unused := [name for name in _NEED_CATALOG if chosen[name] not in (None, ())]:
            raise SettingsError(
                f"`--{_NEED_CATALOG[unused[0]]}` needs `--catalog`",
                hint="make one: `trsr-lite catalog build items.jsonl`",
            )
        yield {}
        return
    if chosen.get("candidate_file") or chosen.get("candidates"):
        raise SettingsError("give `--candidates` or `--catalog`, not both")
    from trsr_lite.catalog.catalog import Catalog

    wanted = _wanted(chosen)
    from trsr_lite.cli import session
    from trsr_lite.recommender.table_catalogs import catalog_of

    with session.reporting(log=True) as progress:
        path = catalog_of(
            chosen["catalog"], cache_dir=chosen.get("cache_dir"), columns=_columns(chosen), progress=progress
        )
    with Catalog(path) as found:
        arguments: dict[str, Catalog | Retrieval] = {"catalog": found, "retrieve": wanted}
        yield arguments


def _columns(chosen: dict[str, Any]) -> dict[str, str] | None:
    """Columns of the catalog: those that are named, unless they are of the user's table."""
    from trsr_lite.recommender import user_files

    columns: dict[str, str] | None = chosen.get("columns")
    return None if columns is None or user_files.is_table(chosen["user_file"]) else columns


def _wanted(chosen: dict[str, Any]) -> Retrieval:
    from trsr_lite.io.fields import parse_time

    newer, known = chosen["newer_than"], {"count": chosen["count"], "diversity": chosen["diversity"]}
    if newer == "":
        raise SettingsError("`--newer-than` is empty", hint="give it a time, such as 2026-01-02")
    return Retrieval(
        filters=_filters(chosen["filters"]),
        newer_than=None if newer is None else parse_time(newer, "--newer-than"),
        fold=not chosen["keep_duplicates"],
        **given(known),
    )


def _filters(texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in texts:
        name, equals, text = one.partition("=")
        if not name.strip() or not equals or not text.strip():
            raise SettingsError(f"--filter {one!r} is not NAME=TEXT", hint="such as `--filter category=Garden`")
        found.setdefault(name.strip(), []).append(text)
    return found
