"""The temporary database: what goes in comes out, numbered, and its faults are errors that say what to do."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.datasets import corpus as module
from trsr_lite.datasets.corpus import Case, Corpus, scratch
from trsr_lite.errors import Closed, DataError
from trsr_lite.records import Item

ROWS = st.lists(st.integers(0, 2**31 - 1), max_size=40)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every database that is opened from now on."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    return opened


def item(number: int, title: str = "") -> Item:
    return Item(f"n{number}", {"title": title or f"Article {number}"})


def test_items_get_rows_in_order_and_come_back_in_any() -> None:
    with Corpus() as corpus:
        assert corpus.add_items(item(number) for number in range(1200)) == 0
        assert corpus.item_count == 1200
        assert corpus.row("n7") == 7
        assert corpus.items([1100, 3, 3]) == [item(1100), item(3), item(3)]
        assert list(corpus.all_items()) == [item(number) for number in range(1200)]


def test_rows_of_more_ids_than_one_query_takes_are_found() -> None:
    with Corpus() as corpus:
        corpus.add_items(item(number) for number in range(1200))
        ids = [f"n{number}" for number in reversed(range(1300))]
        assert corpus.rows(ids) == [number if number < 1200 else None for number in reversed(range(1300))]
        assert corpus.rows([]) == []


def test_of_a_repeated_id_the_first_stays_and_rows_stay_dense() -> None:
    with Corpus() as corpus:
        assert corpus.add_items([item(1, "first"), item(1, "second"), item(2)]) == 1
        assert (corpus.item_count, corpus.row("n2")) == (2, 1)
        assert corpus.items([0])[0].title == "first"


def test_the_order_of_attributes_and_every_alphabet_are_kept() -> None:
    made = Item("日本", {"zebra": "אבג", "apple": "👩‍👩‍👧", "title": "e\u0301"})
    with Corpus() as corpus:
        corpus.add_item(made)
        (found,) = corpus.items([0])
    assert list(found.attributes.items()) == list(made.attributes.items())
    assert found.id == "日本"


@given(history=ROWS, positives=ROWS, negatives=ROWS)
def test_a_case_comes_back_as_it_was(history: list[int], positives: list[int], negatives: list[int]) -> None:
    with Corpus() as corpus:
        corpus.add_case("other", [], [])
        corpus.add_case("u", history, positives, negatives, 9)
        assert corpus.case(1) == Case("u", tuple(history), tuple(positives), tuple(negatives), 9, 1)


def test_a_user_may_have_several_cases_which_come_together_on_request() -> None:
    with Corpus() as corpus:
        for number, user_id in enumerate("abab"):
            corpus.add_case(user_id, [number], [number + 10])
        assert (corpus.user_count, corpus.case_count) == (2, 4)
        assert list(corpus.user_ids()) == ["a", "b"]
        assert [number for number, _ in corpus.cases()] == [0, 1, 2, 3]
        assert [(number, case.user_id) for number, case in corpus.cases(by_user=True)] == [
            (0, "a"), (2, "a"), (1, "b"), (3, "b"),
        ]  # fmt: skip


def test_only_a_longer_sequence_takes_the_place_of_a_users_earlier_one() -> None:
    with Corpus() as corpus:
        for line, rows in enumerate([[1, 2], [3], [4, 5], [6, 7, 8], [9, 9], [9, 9, 9]], 1):
            corpus.add_sequence("u", rows, line)
        assert corpus.case_count == 1
        case = corpus.case(0)
        assert (case.sequence, case.line) == ((6, 7, 8), 4)


def test_a_closed_corpus_says_so_and_may_be_closed_again() -> None:
    corpus = Corpus()
    corpus.add_item(item(1))
    corpus.close()
    corpus.close()
    with pytest.raises(Closed):
        corpus.items([0])


def test_threads_may_share_it() -> None:
    with Corpus() as corpus:
        corpus.add_items(item(number) for number in range(500))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda row: corpus.items([row])[0].id, range(500)))
    assert found == [f"n{number}" for number in range(500)]


def test_a_full_disk_is_an_error_that_says_what_to_do(connections: list[sqlite3.Connection]) -> None:
    with Corpus() as corpus:
        connections[0].execute("PRAGMA max_page_count = 12")
        with pytest.raises(DataError, match="temporary database cannot be used: database or disk is full") as caught:
            corpus.add_items(item(number, "long " * 500) for number in range(200))
    assert caught.value.hint is not None and "SQLITE_TMPDIR" in caught.value.hint


def test_a_disk_that_fills_while_sorting_is_the_same_error() -> None:
    with pytest.raises(DataError, match="temporary database"), scratch("CREATE TABLE one (text TEXT)") as database:
        database.execute("PRAGMA max_page_count = 3")
        database.executemany("INSERT INTO one VALUES (?)", [("long " * 500,)] * 200)


def test_memory_is_bounded_by_the_page_cache(connections: list[sqlite3.Connection]) -> None:
    with Corpus():
        (database,) = connections
        assert database.execute("PRAGMA cache_size").fetchone() == (-module.CACHE_KIB,)
        assert database.execute("PRAGMA database_list").fetchone()[2] == ""
