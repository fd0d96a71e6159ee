"""Reading Amazon-M2: products and sessions of one locale or all, with lists as numpy prints them."""

import csv
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.datasets import amazon_m2
from trsr_lite.datasets.corpus import Corpus
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.dataset import load
from trsr_lite.datasets.report import Report
from trsr_lite.datasets.sources import find
from trsr_lite.errors import DataError

HEADER = ["id", "locale", "title", "price", "brand", "color", "size", "model", "material", "author", "desc"]
SESSIONS = ["prev_items", "next_item", "locale"]


def product(name: str, locale: str = "UK", **fields: str) -> list[str]:
    values = {"id": name, "locale": locale, "title": f"Title {name} {locale}", **fields}
    return [values.get(column, "") for column in HEADER]


PRODUCTS = [product(name) for name in "ABCD"]


def table(*rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def read(
    folder: Path, *sessions: Any, products: Any = PRODUCTS, locale: str | None = "UK", strict: bool = False
) -> tuple[Corpus, Report]:
    products = products if isinstance(products, bytes) else table(HEADER, *products)
    (folder / "products_train.csv").write_bytes(products)
    (folder / "sessions_train.csv").write_bytes(
        table(SESSIONS) + b"".join(one if isinstance(one, bytes) else table(one) for one in sessions)
    )
    corpus, report = Corpus(), Report(str(folder), strict=strict)
    options = DataOptions("amazon-m2", str(folder), locale=locale)
    amazon_m2.read(find(folder, amazon_m2.FILES, amazon_m2.LAYOUT), options, corpus, report)
    return corpus, report


def ids(corpus: Corpus, number: int = 0) -> list[str]:
    return [item.id for item in corpus.items(corpus.case(number).sequence)]


def gaps(report: Report) -> dict[tuple[str, str], tuple[int, list[str]]]:
    return {key: (gap.count, gap.places) for key, gap in {**report.dropped, **report.left_out}.items()}


def test_a_product_has_all_ten_attributes_title_first_and_locale_last(tmp_path: Path) -> None:
    row = product("A", **{name: f"the {name}" for name in HEADER[2:]})
    corpus, _ = read(tmp_path, ["['A']", "A", "UK"], products=[row])
    assert list(corpus.items([0])[0].attributes) == [*HEADER[2:], "locale"]


def test_an_empty_attribute_is_left_away(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, ["['A']", "B", "UK"], products=[product("A", brand="Acme", color=" "), product("B")])
    assert corpus.items([0])[0].attributes == {"title": "Title A UK", "brand": "Acme", "locale": "UK"}


def test_a_session_is_a_user_with_the_next_item_last(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, ["['A' 'B']", "C", "UK"], ["['B']", "A", "UK"])
    assert (ids(corpus, 0), ids(corpus, 1)) == (["A", "B", "C"], ["B", "A"])
    assert list(corpus.user_ids()) == ["session-2", "session-3"]
    assert report.counts == {"item": 4, "session": 2}


@pytest.mark.parametrize(
    "text", ["['A' 'B']", "['A' 'B'\n 'C']", "['A', 'B', 'C']", "[\"A\" 'B']", " ['A'\r\n 'B']\n", "['A''B']"]
)
def test_a_list_may_be_printed_in_several_ways(tmp_path: Path, text: str) -> None:
    corpus, report = read(tmp_path, [text, "D", "UK"])
    assert ids(corpus) == [*("ABC" if "C" in text else "AB"), "D"]
    assert not gaps(report)


@given(st.lists(st.from_regex(r"[A-Z0-9']{1,10}", fullmatch=True), min_size=1, max_size=60))
def test_what_numpy_prints_is_read_back(names: list[str]) -> None:
    printed = str(np.array(names, dtype=object))
    assert amazon_m2.ids_of(printed) == names


@pytest.mark.parametrize(
    "written",
    [
        "['A' 'B']", "['A'\n 'B']", "['A', 'B']", '["A", "B"]', "array(['A', 'B'], dtype=object)", "A B", "[A B]",
        "A,B", "A;B", "('A', 'B')", "np.array(['A', 'B'], dtype='<U1')", "['A' ... 'B']",
    ],
)  # fmt: skip
def test_prev_items_is_read_however_it_was_written(tmp_path: Path, written: str) -> None:
    corpus, report = read(tmp_path, [written, "C", "UK"])
    assert [ids(corpus, number) for number in range(corpus.case_count)] == [["A", "B", "C"]]
    assert [reason for _, reason in report.left_out] == [f"{amazon_m2.CUT_OFF}"] * ("..." in written)


def test_a_price_that_stands_for_none_is_absent(tmp_path: Path) -> None:
    products = [product("A", price="40000000.07"), product("B", price="nan"), product("C", price="5.99")]
    corpus, _ = read(tmp_path, ["['A']", "B", "UK"], products=products)
    assert [item.attributes.get("price") for item in corpus.items([0, 1, 2])] == [None, None, "5.99"]


def test_a_session_over_several_lines_is_known_by_its_first(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, ["['A'\n 'B'\n 'C']", "D", "UK"], ["['A']", "B", "UK"])
    assert list(corpus.user_ids()) == ["session-2", "session-5"]
    assert [case.line for _, case in corpus.cases()] == [2, 5]


def test_text_in_quotes_may_hold_line_ends_commas_and_quotes(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, ["['A']", "A", "UK"], products=[product("A", desc='one,\n"two"')])
    assert corpus.items([0])[0].attributes["desc"] == 'one,\n"two"'


# Locales

MIXED = [product("A", "UK"), product("B", "UK"), product("A", "DE"), product("B", "DE"), product("C", "JP")]


def test_one_locale_is_read_and_the_rest_is_left_out_even_in_a_strict_run(tmp_path: Path) -> None:
    sessions = (["['A']", "B", "DE"], ["['B']", "A", "UK"])
    corpus, report = read(tmp_path, *sessions, products=MIXED, locale="DE", strict=True)
    assert [item.attributes["title"] for item in corpus.all_items()] == ["Title A DE", "Title B DE"]
    assert ids(corpus) == ["A", "B"]
    assert {key: count for key, (count, _) in gaps(report).items()} == {
        ("item", "another locale"): 3, ("session", "another locale"): 1,
    }  # fmt: skip


def test_without_a_locale_an_id_belongs_to_its_own(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, ["['A']", "B", "DE"], ["['A']", "B", "UK"], products=MIXED, locale=None)
    assert (ids(corpus, 0), ids(corpus, 1)) == (["DE:A", "DE:B"], ["UK:A", "UK:B"])
    assert not gaps(report)


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_others_beside_a_target_are_of_its_locale(tmp_path: Path, negatives: str) -> None:
    """Else the language alone would tell which one is the user's."""
    products = [product(f"P{number}", "UK" if number % 3 else "DE") for number in range(90)]
    sessions = []
    for user in range(60):
        locale = "UK" if user % 2 else "DE"
        own = [row[0] for row in products if row[1] == locale]
        chosen = random.Random(user).sample(own, 4)
        sessions.append([str(chosen[:3]), chosen[3], locale])
    read(tmp_path, *sessions, products=products)
    options = DataOptions("amazon-m2", str(tmp_path), negatives=negatives, test_negatives=12)
    with load(options) as dataset:
        examples = [one for part in ("train", "validation", "test") for one in dataset.examples(part)]
    assert len(examples) == 60
    assert {len(one.candidates) for one in examples} == {8, 13}
    for one in examples:
        assert len({item.attributes["locale"] for item in (*one.history, *one.candidates)}) == 1
    assert len({item.attributes["locale"] for one in examples for item in one.candidates}) == 2


def test_a_locale_that_has_too_few_products_is_an_error(tmp_path: Path) -> None:
    products = [product(f"P{number}", "UK" if number > 8 else "DE") for number in range(60)]
    sessions = [["['P1' 'P2' 'P3']", "P4", "DE"] for _ in range(20)]
    read(tmp_path, *sessions, products=products)
    options = DataOptions("amazon-m2", str(tmp_path), test_negatives=10)
    with load(options) as dataset, pytest.raises(DataError, match="only 5 items can be drawn"):
        list(dataset.examples("test"))


def test_a_locale_that_no_product_has_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"products_train\.csv: no product has the locale 'FR'") as caught:
        read(tmp_path, ["['A']", "B", "UK"], products=MIXED, locale="FR")
    assert caught.value.hint == "the file has DE, JP, UK"


# What cannot be used


@pytest.mark.parametrize(
    ("row", "key", "place"),
    [
        (product("E", title=" "), ("item", "no title"), "products_train.csv:6"),
        (product(""), ("item", "no id"), "products_train.csv:6"),
        (
            product("A", title="again"),
            ("item", "the id came before with another text; the last counts"),
            "products_train.csv:6",
        ),
        (["E", "UK", "title"], ("row", "not 11 columns"), "products_train.csv:6 has 3"),
        (b"E,UK,K\xf6ln,,,,,,,,\n", ("row", "not UTF-8"), "products_train.csv:6"),
        (b'E,UK,"5" screen",,,,,,,,\n', ("row", "not CSV"), "products_train.csv:6 "),
        (b"E,UK,one\rtwo,,,,,,,,\n", ("row", "not CSV"), "products_train.csv:6 "),
        (product("E", desc="long " * 30_000), ("row", "not CSV"), "products_train.csv:6 "),
    ],
)
def test_a_product_that_cannot_be_used_is_counted_by_line(
    tmp_path: Path, row: Any, key: tuple[str, str], place: str
) -> None:
    bad = row if isinstance(row, bytes) else table(row)
    products = table(HEADER, *PRODUCTS) + bad + table(product("F"))
    corpus, report = read(tmp_path, ["['A']", "F", "UK"], products=products)
    ((found, (count, (where,))),) = gaps(report).items()
    assert (found, count, where[: len(place)]) == (key, 1, place)
    assert corpus.items([0])[0].title == ("again" if "last counts" in key[1] else "Title A UK")
    assert ids(corpus) == ["A", "F"]
    with pytest.raises(DataError, match=r"products_train\.csv:6: "):
        read(tmp_path, ["['A']", "F", "UK"], products=products, strict=True)


@pytest.mark.parametrize(
    ("row", "key", "place", "sequence"),
    [
        (["['A' 'B'", "C", "UK"], ("session", "prev_items is not a list of ids"), "sessions_train.csv:2", None),
        (["{'A': 1}", "C", "UK"], ("session", "prev_items is not a list of ids"), "sessions_train.csv:2", None),
        (["", "C", "UK"], ("session", "prev_items is not a list of ids"), "sessions_train.csv:2", None),
        (["['A' 'Z' 'B']", "C", "UK"], ("session item", "not in products_train.csv"), "sessions_train.csv:2 Z", "ABC"),
        (["['A']"], ("row", "not 3 columns"), "sessions_train.csv:2 has 1", None),
        (b"['A'],\xf6,UK\n", ("row", "not UTF-8"), "sessions_train.csv:2", None),
    ],
)
def test_a_session_that_cannot_be_used_is_counted_by_line(
    tmp_path: Path, row: Any, key: tuple[str, str], place: str, sequence: str | None
) -> None:
    corpus, report = read(tmp_path, row)
    assert gaps(report) == {key: (1, [place])}
    assert [ids(corpus, number) for number in range(corpus.case_count)] == ([list(sequence)] if sequence else [])
    with pytest.raises(DataError, match=r"sessions_train\.csv:2: "):
        read(tmp_path, row, strict=True)


def test_a_session_whose_next_item_is_unknown_has_no_target(tmp_path: Path) -> None:
    corpus, report = read(tmp_path, ["['A' 'B']", "Z", "UK"])
    assert corpus.case_count == 0
    assert ("session", "next_item is not known") in report.left_out


def test_a_long_text_that_is_no_list_is_seen_at_once(tmp_path: Path) -> None:
    corpus, _ = read(tmp_path, ["[" + "'A' " * 20000 + "  " * 20000 + "x", "C", "UK"])
    assert corpus.case_count == 0


def test_an_open_quote_takes_the_lines_behind_it_along_and_each_is_counted(tmp_path: Path) -> None:
    broken = table(HEADER, *PRODUCTS) + b'E,UK,"never closed,,,,,,,,\n' + table(*(product(name) for name in "FGHI"))
    corpus, report = read(tmp_path, ["['A']", "B", "UK"], products=broken)
    assert (corpus.item_count, gaps(report)["row", "not CSV"][0]) == (4, 5)


def test_a_first_line_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"products_train\.csv:1: not CSV"):
        read(tmp_path, products=b'id,"lo"cale,title\n')


@pytest.mark.parametrize("column", ["id", "locale", "title"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(DataError, match=rf"products_train\.csv:1: no column '{column}'"):
        read(tmp_path, products=table([name for name in HEADER if name != column]))


def test_a_column_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a column comes twice"):
        read(tmp_path, products=table([*HEADER, "title"]))
