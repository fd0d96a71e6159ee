"""Rows and packs: where each token lies, what is learned at it, and that nothing is cut or read twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from trsr_lite import DataError, FakeEngine, Item, Settings
from trsr_lite.prompts import templates
from trsr_lite.training.packing import Pack, PackedRow, build, fill, pack
from trsr_lite.training.tree_attention import Tree

YES, NO = 901, 902
USER = PackedRow((10, 11, 12), ((20, 21), (30,), (40, 41, 42)), (0, 1, 0))
OTHER = PackedRow((50,), ((60, 61),), (1,))
TEXT = PackedRow((70, 71), ((80, 81, 82),))


def test_a_pack_lays_prefix_and_candidates_one_after_another() -> None:
    found = pack([USER, OTHER])
    assert found.input_ids.tolist() == [[10, 11, 12, 20, 21, 30, 40, 41, 42, 50, 60, 61]]
    assert found.position_ids.tolist() == [[0, 1, 2, 3, 4, 3, 3, 4, 5, 0, 1, 2]]
    assert found.trees == (Tree(0, 3, (2, 1, 3)), Tree(9, 1, (2,)))
    assert found.ends.tolist() == [4, 5, 8, 11]
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.candidates == (3, 1)
    assert (found.rows, found.tokens) == (2, 12)
    assert len(found.text_at) == len(found.text_ids) == len(found.text_weights) == 0


def test_shares_are_of_any_numbers_however_large() -> None:
    worth = PackedRow((1,), ((2,),) * 3, (1, 1, 0), relevance=(1.5e308, 1.5e308, 0.0))
    assert worth.shares == (0.5, 0.5, 0.0)
    assert PackedRow((1,), ((2,),) * 4, (0,) * 4).shares == (0.25,) * 4


def test_a_text_is_supervised_from_the_last_token_of_its_prompt() -> None:
    found = pack([TEXT, TEXT])
    assert found.text_at.tolist() == [1, 2, 3, 6, 7, 8]
    assert found.text_ids.tolist() == [80, 81, 82] * 2
    assert found.text_weights.tolist() == pytest.approx([1 / 3] * 6)
    assert found.ends.tolist() == found.labels.tolist() == []
    assert found.candidates == ()


def test_a_pack_moves_to_a_device_whole() -> None:
    found = pack([USER]).to(torch.device("meta"))
    tensors = [value for value in vars(found).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 8
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert found.trees == pack([USER]).trees


Learned = dict[tuple[tuple[int, ...], int], float]


def learned(found: Pack) -> list[Learned]:
    """For each row, what each supervised position sees, the token it shall say, and how much that counts."""
    ids = found.input_ids[0].tolist()
    rows: list[Learned] = [defaultdict(float) for _ in found.trees]
    for at, token, weight in zip(*(part.tolist() for part in supervised(found)), strict=True):
        index, tree = next(
            (index, tree)
            for index, tree in enumerate(found.trees)
            if tree.start <= at < tree.start + tree.prefix + sum(tree.suffixes)
        )
        context = ids[tree.start : min(at + 1, tree.start + tree.prefix)]
        first = tree.start + tree.prefix
        for length in tree.suffixes:
            if first <= at < first + length:
                context = [*context, *ids[first : at + 1]]
            first += length
        rows[index][tuple(context), token] += weight
    return rows


def supervised(found: Pack) -> tuple[torch.Tensor, ...]:
    return found.text_at, found.text_ids, found.text_weights


def singly(row: PackedRow) -> Learned:
    """The same from whole prompts with their answers, each token once."""
    prompts = [
        [*row.prefix, *suffix, YES if label else NO] for suffix, label in zip(row.suffixes, row.labels, strict=True)
    ]
    counts = Counter((tuple(prompt[:at]), prompt[at]) for prompt in prompts for at in range(1, len(prompt)))
    return {case: count / counts.total() for case, count in counts.items()}


rows_of = st.builds(
    lambda prefix, ends: PackedRow(
        tuple(prefix), tuple(tuple(end) for end, _ in ends), tuple(label for _, label in ends)
    ),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 1)), min_size=1, max_size=5),
)


@given(st.lists(rows_of, min_size=1, max_size=4))
def test_whole_text_learns_what_the_single_prompts_say(rows: list[PackedRow]) -> None:
    found = pack(rows, (YES, NO), whole_text=True)
    for row, one in zip(rows, learned(found), strict=True):
        assert one == pytest.approx(singly(row))
        assert sum(one.values()) == pytest.approx(1)


@given(st.lists(rows_of, min_size=1, max_size=4))
def test_every_end_of_a_pack_is_the_last_token_of_a_whole_prompt(rows: list[PackedRow]) -> None:
    found = pack(rows)
    ids, positions = found.input_ids[0].tolist(), found.position_ids[0].tolist()
    ends = iter(found.ends.tolist())
    for row, tree in zip(rows, found.trees, strict=True):
        assert ids[tree.start : tree.start + tree.prefix] == list(row.prefix)
        assert tree.suffixes == tuple(map(len, row.suffixes))
        for suffix in row.suffixes:
            end = next(ends)
            assert ids[end - len(suffix) + 1 : end + 1] == list(suffix)
            assert positions[end] == len(row.prefix) + len(suffix) - 1
    assert next(ends, None) is None
    assert found.tokens == sum(map(len, rows))


# Filling packs

lengths = st.lists(st.integers(1, 60), max_size=30)


def of_length(length: int) -> PackedRow:
    return PackedRow((1,) * length, ())


@given(lengths, st.integers(1, 100))
def test_packs_hold_every_row_once_and_no_more_than_the_budget(sizes: Sequence[int], budget: int) -> None:
    bins = list(fill([of_length(size) for size in sizes], budget))
    assert sorted(index for members in bins for index in members) == list(range(len(sizes)))
    assert all(sum(sizes[index] for index in members) <= budget or len(members) == 1 for members in bins)
    assert all(members == sorted(members) and members for members in bins)


@given(lengths, st.integers(1, 100))
def test_no_two_packs_would_fit_into_one(sizes: Sequence[int], budget: int) -> None:
    used = sorted(sum(sizes[index] for index in members) for members in fill([of_length(n) for n in sizes], budget))
    assert len(used) < 2 or used[0] + used[1] > budget


# Rows

CHOSEN = [Item(f"h{number}", {"title": f"History {number}"}) for number in range(13)]
CANDIDATES = [Item(name, {"title": f"Candidate {name}"}) for name in "abc"]


def text_of(tokens: Sequence[int]) -> str:
    return FakeEngine().decode(tokens)


def test_a_row_is_the_scoring_prompt_of_its_user() -> None:
    settings, tokenizer = Settings(domain="news", recent_items=6), FakeEngine()
    row = build(CHOSEN, "The reader likes tulips.", CANDIDATES, (0, 1, 0), settings, tokenizer)
    asked = templates.scoring("The reader likes tulips.", CHOSEN[-6:], CANDIDATES, settings, tokenizer)
    assert text_of(row.prefix) == "".join(segment.text for segment in asked.prefix)
    assert [text_of(suffix) for suffix in row.suffixes] == [
        "".join(segment.text for segment in suffix) for suffix in asked.suffixes
    ]
    assert (row.labels, row.dropped) == ((0, 1, 0), 0)
    assert len(row) == len(row.prefix) + sum(map(len, row.suffixes))


def test_a_row_too_long_drops_old_items_and_never_the_answer_cue() -> None:
    settings = Settings(prompt_tokens=260, recent_items=12, block_size=2, summary_tokens=8, fan_in=2)
    row = build(CHOSEN, None, CANDIDATES, (1, 0, 0), settings, FakeEngine())
    assert row.dropped > 0
    assert "History 12" in text_of(row.prefix)
    for suffix, item in zip(row.suffixes, CANDIDATES, strict=True):
        assert item.attributes["title"] in text_of(suffix)
        assert text_of(suffix).endswith("### Answer (yes or no)\n")
        assert len(row.prefix) + len(suffix) + 1 <= settings.prompt_tokens


def test_a_candidate_whose_title_does_not_fit_is_an_error() -> None:
    long = Item("long", {"title": "word " * 100})
    with pytest.raises(DataError, match="candidate 'long'"):
        build(CHOSEN, None, [long], (1,), Settings(prompt_tokens=300, summary_tokens=8, fan_in=2), FakeEngine())
