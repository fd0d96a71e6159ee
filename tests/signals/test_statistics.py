"""Statistics do not depend on order, can be continued, and come back from their file as they were or not at all."""

import random
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.signals import worlds
from trsr_lite import Item
from trsr_lite.errors import DataError, ModelError
from trsr_lite.signals import neighbour_table, statistics_file
from trsr_lite.signals.counts import MOST, Counts, id_keys
from trsr_lite.signals.item_text import LONGEST_TEXT, text_of, values_of, words_of
from trsr_lite.signals.popularity import Popularity
from trsr_lite.signals.statistics import Statistics
from trsr_lite.signals.statistics_builder import StatisticsBuilder, added

KNOWN = worlds.items()


def saved(statistics: Statistics, folder: Path, name: str = "s.npz") -> bytes:
    statistics_file.save(statistics, folder / name)
    return (folder / name).read_bytes()


def test_the_order_of_items_and_users_changes_nothing(tmp_path: Path) -> None:
    order = list(range(len(KNOWN)))
    random.Random(4).shuffle(order)
    users = [[one.id for one in KNOWN[start : start + 9]] for start in range(0, 60, 5)]
    contents = []
    for items, sequences in ((KNOWN, users), ([KNOWN[place] for place in order], users[::-1])):
        builder = StatisticsBuilder(worlds.WordTokenizer(), worlds.Table(), sample=30)
        builder.add(items)
        builder.add_users(sequences)
        contents.append(saved(builder.build(), tmp_path))
    assert contents[0] == contents[1]


def test_a_file_gives_back_what_was_saved_and_ranks_alike(tmp_path: Path) -> None:
    made = worlds.statistics()
    content = saved(made, tmp_path)
    found = statistics_file.load(tmp_path / "s.npz")
    assert saved(found, tmp_path, "again.npz") == content
    assert found.documents == made.documents == 80 and found.newest == 79 * 86_400.0
    numbers = [worlds.ranker(one).rank(KNOWN[:5], KNOWN[5:30]).scores.tolist() for one in (made, found)]
    assert numbers[0] == numbers[1]


def test_statistics_of_nothing_come_back_too(tmp_path: Path) -> None:
    saved(Statistics(), tmp_path)
    found = statistics_file.load(tmp_path / "s.npz")
    assert found.documents == 0 and found.tokens is None and found.popularity is None and found.newest is None


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_changed_byte_or_a_cut_is_refused_in_one_line(place: float, tmp_path: Path) -> None:
    content = saved(worlds.statistics(), tmp_path)
    cut = int(len(content) * place)
    for broken in (content[:cut], content[:cut] + bytes([content[cut] ^ 255]) + content[cut + 1 :]):
        (tmp_path / "s.npz").write_bytes(broken)
        try:
            found = statistics_file.load(tmp_path / "s.npz")
        except ModelError as error:
            assert str(error) == f"{tmp_path / 's.npz'}: damaged, or no statistics at all" and error.hint
        else:  # a byte that carries nothing, such as a flag of the archive
            assert saved(found, tmp_path, "again.npz") == content


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no statistics", b"\x93NUMPY" + bytes(100)])
def test_another_file_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(ModelError, match="damaged, or no statistics"):
        statistics_file.load(tmp_path / "s.npz")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"s\.npz: cannot be read"):
        statistics_file.load(tmp_path / "s.npz")


def rewritten(path: Path, **changes: object) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = {**orjson.loads(arrays.pop("header").tobytes()), **changes}
    np.savez_compressed(path, header=np.frombuffer(orjson.dumps(header), np.uint8), **arrays)


def test_a_later_version_and_altered_facts_are_refused(tmp_path: Path) -> None:
    saved(worlds.statistics(), tmp_path)
    rewritten(tmp_path / "s.npz", documents=81)
    with pytest.raises(ModelError, match="damaged"):
        statistics_file.load(tmp_path / "s.npz")
    rewritten(tmp_path / "s.npz", version=2)
    with pytest.raises(ModelError, match="version 2") as raised:
        statistics_file.load(tmp_path / "s.npz")
    assert raised.value.hint == "upgrade trsr-lite"


def test_a_rewritten_file_that_changes_nothing_is_read(tmp_path: Path) -> None:
    saved(worlds.statistics(), tmp_path)
    rewritten(tmp_path / "s.npz")
    assert statistics_file.load(tmp_path / "s.npz").documents == 80


def test_what_is_added_counts_as_if_it_had_come_before() -> None:
    whole = worlds.statistics(users=False)
    first = worlds.statistics(KNOWN[:50], users=False)
    grown = added(first, KNOWN[50:], worlds.WordTokenizer())
    assert grown.documents == whole.documents and grown.newest == whole.newest
    assert grown.words.to_dict() == whole.words.to_dict()
    assert grown.tokens is not None and whole.tokens is not None and grown.tokens.tolist() == whole.tokens.tolist()
    assert first.documents == 50 and first.tokens is not None and first.tokens.sum() < whole.tokens.sum()


def test_adding_with_another_tokenizer_or_none_is_refused() -> None:
    with pytest.raises(ModelError, match="another tokenizer"):
        added(worlds.statistics(), KNOWN, None)


def test_adding_without_tokens_needs_no_tokenizer() -> None:
    assert added(worlds.statistics(KNOWN[:10], tokens=False), KNOWN[10:12]).documents == 12


def test_rare_words_are_left_out_first() -> None:
    builder = StatisticsBuilder(words=5)
    builder.add(KNOWN)
    counts = builder.build().words.to_dict()
    assert len(counts) == 5 and max(counts.values()) == 80  # "the", "of", "it"


def test_an_item_is_counted_once_however_often_it_says_a_word() -> None:
    builder = StatisticsBuilder()
    builder.add([Item("a", {"title": "goal goal goal"})])
    assert list(builder.build().words.to_dict().values()) == [1]


@pytest.mark.parametrize("count", [0, 1, 2**63, MOST])
def test_counters_of_any_size_rank_and_come_back(count: int, tmp_path: Path) -> None:
    keys = id_keys(["a", "b"]).tolist()
    statistics = Statistics(popularity=Counts.of({keys[0]: count, keys[1]: 5}))
    saved(statistics, tmp_path)
    items = [Item("a", {"title": "x"}), Item("b", {"title": "y"})]
    numbers = Popularity(statistics_file.load(tmp_path / "s.npz")).numbers([], items)
    assert numbers[0] == np.float32(np.log1p(float(count))) and numbers[1] == np.float32(np.log1p(5.0))


@pytest.mark.parametrize("count", [-1, MOST + 1])
def test_counters_that_cannot_be_are_refused(count: int) -> None:
    with pytest.raises(DataError, match=f"a count is {count}"):
        Counts.of({1: count})


def test_neighbours_are_cosines_of_their_users() -> None:
    table = neighbour_table.count([["a", "b"], ["a", "b", "c"], ["a"], ["b", "a", "a"]])
    a, b, c = table.places(id_keys(["a", "b", "c"])).tolist()
    near = dict(zip(table.columns[table.starts[a] : table.starts[a + 1]].tolist(), range(9), strict=False))
    values = table.likeness[table.starts[a] : table.starts[a + 1]]
    assert set(near) == {b, c} and near[b] == 0  # the nearest first
    assert values.tolist() == [np.float16(3 / 12**0.5), np.float16(1 / 2)]
    assert table.places(id_keys(["z"])).tolist() == [-1]


def test_an_item_keeps_its_nearest_neighbours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_table, "MOST", 2)
    table = neighbour_table.count([["a", "b"], ["a", "b"], ["a", "c"], ["a", "d"], ["d"], ["d"]])
    (place,) = table.places(id_keys(["a"])).tolist()
    kept = table.columns[table.starts[place] : table.starts[place + 1]].tolist()
    assert sorted(kept) == sorted(table.places(id_keys(["b", "c"])).tolist())
    assert len(table.columns) == 5  # two of a, one each of b, c and d


def test_words_know_no_case_and_values_no_titles_or_prose() -> None:
    one = Item("a", {"title": "The Cup", "brand": "Acme", "price": "12.50", "text": "word " * 30})
    assert words_of(Item("b", {"title": "THE cup"})) == words_of(one)[:2]
    assert values_of(one) == values_of(Item("c", {"title": "else", "brand": "ACME"}))
    assert values_of(one) != values_of(Item("c", {"title": "else", "maker": "Acme"}))


def test_a_book_in_the_place_of_a_text_is_read_up_to_a_point() -> None:
    assert len(text_of(Item("a", {"title": "goal", "text": "x" * 10**6}))) == LONGEST_TEXT
