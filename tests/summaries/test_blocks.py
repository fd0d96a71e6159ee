"""Cutting a history: borders never move, and nothing falls between blocks and recent items."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite import Item, Settings, SettingsError
from trsr_lite.settings import check_cut
from trsr_lite.summaries.blocks import cut, split
from trsr_lite.summaries.plan import plan

SIZES = st.integers(1, 7).flatmap(lambda size: st.tuples(st.just(size), st.integers(size - 1, size + 6)))


@given(length=st.integers(0, 60), sizes=SIZES)
def test_appending_an_item_changes_no_complete_block(length: int, sizes: tuple[int, int]) -> None:
    block_size, recent_items = sizes
    before = split(range(length), block_size=block_size, recent_items=recent_items)
    after = split(range(length + 1), block_size=block_size, recent_items=recent_items)
    assert after.complete[: len(before.complete)] == before.complete
    assert len(after.complete) - len(before.complete) == ((length + 1) % block_size == 0)


@given(length=st.integers(0, 60), sizes=SIZES)
def test_every_item_is_in_a_block_or_recent_and_in_order(length: int, sizes: tuple[int, int]) -> None:
    block_size, recent_items = sizes
    found = split(range(length), block_size=block_size, recent_items=recent_items)
    in_blocks = [item for block in found.complete for item in block]
    assert all(len(block) == block_size for block in found.complete)
    assert in_blocks == list(range(len(in_blocks)))
    assert list(found.recent) == list(range(length))[max(0, length - recent_items) :]
    assert {*in_blocks, *found.recent} == set(range(length))


@pytest.mark.parametrize(("block_size", "recent_items"), [(5, 3), (2, 0), (6, 0)])
def test_too_few_recent_items_are_refused(block_size: int, recent_items: int) -> None:
    with pytest.raises(SettingsError, match=rf"recent_items is {recent_items}.*at least {block_size - 1}"):
        check_cut(block_size, recent_items)


def test_a_block_of_no_items_is_refused() -> None:
    with pytest.raises(SettingsError, match="block_size is 0"):
        check_cut(0, 5)


def test_a_ragged_cut_summarizes_what_is_left_over_too() -> None:
    found = split("abcdefg", block_size=3, recent_items=2, ragged=True)
    assert found.complete == (("a", "b", "c"), ("d", "e", "f"), ("g",))
    assert found.recent == ("f", "g")
    assert split("abcdef", block_size=3, recent_items=2, ragged=True) == split("abcdef", block_size=3, recent_items=2)


def test_what_was_disliked_or_skipped_is_in_no_block_and_is_kept_apart() -> None:
    said = {2: "dislike", 6: "skip"}
    history = [Item(str(number), {"title": "t"}, feedback=said.get(number)) for number in range(12)]
    found = cut(history, Settings())
    assert [[item.id for item in block] for block in found.complete] == [
        ["0", "1", "3", "4", "5"],
        ["7", "8", "9", "10", "11"],
    ]
    assert [item.id for item in found.recent] == ["7", "8", "9", "10", "11"]
    assert [(item.id, item.feedback) for item in found.against] == [("2", "dislike"), ("6", "skip")]


def test_a_history_without_feedback_is_cut_and_keyed_as_before() -> None:
    history = [Item(str(number), {"title": f"t{number}"}) for number in range(12)]
    liking = [replace(item, feedback="like") for item in history]
    before = split(history, block_size=5, recent_items=5)
    assert cut(history, Settings()) == before
    keys = [[node.key for node in plan(one, Settings(), "b2:x").nodes] for one in (history, liking)]
    assert keys[0] == keys[1]
    assert cut(liking, Settings()).against == ()


def test_a_dislike_behind_complete_blocks_changes_no_key() -> None:
    history = [Item(str(number), {"title": f"t{number}"}) for number in range(12)]
    more = [*history, Item("x", {"title": "x"}, feedback="dislike")]
    keys = [[node.key for node in plan(one, Settings(), "b2:x").nodes] for one in (history, more)]
    assert keys[0] == keys[1]
