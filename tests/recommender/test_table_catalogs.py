"""A catalog that is made of a table at its first use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trsr_lite import Catalog, DataError
from trsr_lite.cli.session import time_left
from trsr_lite.recommender import table_catalogs
from trsr_lite.recommender.table_catalogs import catalog_of

SHOP = 'Product Name;Category\nBaking stone;Kitchen\n"Hose; green";Garden\n'


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(SHOP)
    return path


def _has(path: Path, *names: str) -> bool:
    """Whether the catalog has these items and no other; their titles are their ids."""
    with Catalog(path) as catalog:
        return len(catalog) == len(names) and all(catalog.get(name) for name in names)


def test_a_table_without_ids_is_a_catalog(shop: Path, tmp_path: Path) -> None:
    made = catalog_of(shop, cache_dir=tmp_path / "cache")
    assert _has(made, "baking stone", "hose; green")
    assert not list((tmp_path / "cache" / "catalogs").glob(".items-*"))


def test_a_catalog_is_made_once_for_each_state_and_columns(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    make = table_catalogs._make
    monkeypatch.setattr(table_catalogs, "_make", lambda *given: (made.append(given[1]), make(*given)))
    first = catalog_of(shop, cache_dir=tmp_path)
    assert catalog_of(shop, cache_dir=tmp_path) == first
    assert len(made) == 1
    by_kind = catalog_of(shop, cache_dir=tmp_path, columns={"title": "Category"})
    assert _has(by_kind, "kitchen", "garden")
    shop.write_text(SHOP + "Scraper;Kitchen\n")
    os.utime(shop, ns=(1, 1))
    later = catalog_of(shop, cache_dir=tmp_path)
    assert _has(later, "baking stone", "hose; green", "scraper")
    assert list((tmp_path / "catalogs").iterdir()) == [later]


def test_a_catalog_is_taken_as_it_is_and_a_missing_file_is_left_to_it(shop: Path, tmp_path: Path) -> None:
    made = catalog_of(shop, cache_dir=tmp_path)
    assert catalog_of(made, cache_dir=tmp_path) == made
    assert catalog_of(tmp_path / "none.csv", cache_dir=tmp_path) == tmp_path / "none.csv"


def test_a_table_of_nothing_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "shop.csv"
    empty.write_text("title\n")
    with pytest.raises(DataError, match="nothing in it can be used"):
        catalog_of(empty, cache_dir=tmp_path)
    assert list((tmp_path / "catalogs").iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "fraction", "said"),
    [
        (1, 0.5, ""),
        (10, 0.01, ""),
        (10, 0.5, ", about 10 s left"),
        (10, 0.9, ""),
        (600, 0.5, ", about 10 min left"),
    ],
)
def test_a_bar_says_how_long_it_lasts_once_that_can_be_told(seconds: float, fraction: float, said: str) -> None:
    assert time_left(seconds, fraction) == said
