"""Kept prefixes: a call evaluates from the first token that differs, and no margin ever depends on what was kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.engine.test_llama import ANSWERS, ONE, Decoded, Whole, decoded, several, some_tokens, values, whole
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.prefixes import WORTH, Prefixes

__all__ = ["decoded", "whole"]  # fixtures
SUFFIXES = several((20, 7, 31))


@pytest.fixture
def engine(tiny: Path) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(tiny, identity="tiny", options=ONE)
    yield engine
    engine.close()


def state(size: int) -> np.ndarray:
    return np.zeros(size, np.uint8)


# The memory alone


def test_the_prefix_that_shares_most_is_found() -> None:
    kept = Prefixes()
    kept.keep(range(40), state(8), flash=True, limit=100)
    kept.keep([*range(30), 99, 98], state(8), flash=True, limit=100)
    found = kept.nearest([*range(35), 7], flash=True, most=100)
    assert found is not None
    assert (found[0].tokens, found[1]) == (tuple(range(40)), 35)
    assert kept.nearest(range(40), flash=False, most=100) is None, "without flash attention other bits come out"
    assert kept.nearest(range(WORTH - 1), flash=True, most=100) is None
    assert kept.nearest(range(40), flash=True, most=31) is None, "a context too small for what was kept"


def test_the_least_recently_used_go_first_and_the_limit_holds() -> None:
    kept = Prefixes()
    for first in (100, 200, 300):
        kept.keep(range(first, first + 20), state(40), flash=True, limit=120)
    kept.nearest(range(100, 120), flash=True, most=99)
    kept.keep(range(400, 420), state(40), flash=True, limit=120)
    there = [bool(kept.nearest(range(first, first + 20), flash=True, most=99)) for first in (100, 200, 300, 400)]
    assert there == [True, False, True, True]
    assert kept.bytes == 120
    kept.keep(range(500, 520), state(121), flash=True, limit=120)
    assert kept.nearest(range(500, 520), flash=True, most=99) is None
    kept.shrink(0)
    assert (len(kept), kept.bytes) == (0, 0)


def test_what_begins_a_longer_prefix_is_not_kept_beside_it() -> None:
    kept = Prefixes()
    kept.keep(range(20), state(40), flash=True, limit=1000)
    kept.keep(range(30), state(60), flash=True, limit=1000)
    assert (len(kept), kept.bytes) == (1, 60)


# In an engine


@pytest.mark.parametrize("exact", [False, True])
def test_the_same_prefix_again_is_not_evaluated(engine: LlamaEngine, decoded: Decoded, exact: bool) -> None:
    prefix = some_tokens(300)
    first = engine.margins(prefix, SUFFIXES, ANSWERS, exact=exact)
    decoded.clear()
    assert engine.margins(prefix, SUFFIXES, ANSWERS, exact=exact) == first
    assert decoded.tokens == [token for suffix in SUFFIXES for token in suffix]


def test_another_readers_prefix_between_costs_nothing(engine: LlamaEngine, decoded: Decoded) -> None:
    prefixes = [some_tokens(300, seed) for seed in range(3)]
    first = [engine.margins(prefix, SUFFIXES, ANSWERS) for prefix in prefixes]
    engine.generate(several((30, 40)), max_tokens=5, stop="")
    engine.release()
    decoded.clear()
    assert [engine.margins(prefix, SUFFIXES, ANSWERS) for prefix in prefixes] == first
    assert len(decoded.tokens) == 3 * sum(map(len, SUFFIXES))


def test_an_appended_item_costs_its_own_tokens(engine: LlamaEngine, decoded: Decoded) -> None:
    prefix, item = some_tokens(300), some_tokens(25, 5)
    engine.margins(prefix, SUFFIXES, ANSWERS)
    decoded.clear()
    engine.margins([*prefix, *item], SUFFIXES, ANSWERS)
    assert decoded[0][0] == item


LENGTHS = (1, 2, 17, 300, 511, 512, 513, 514, 700)


@pytest.mark.parametrize("shared", LENGTHS)
@pytest.mark.parametrize("length", LENGTHS)
def test_exact_margins_stay_those_of_whole_prompts_wherever_a_kept_prefix_ends(
    engine: LlamaEngine, whole: Whole, shared: int, length: int
) -> None:
    before, now = [*some_tokens(shared), *some_tokens(length, 8)], [*some_tokens(shared), *some_tokens(length, 9)]
    engine.margins(before, SUFFIXES, ANSWERS, exact=True)
    assert values(engine.margins(now, SUFFIXES, ANSWERS, exact=True)) == [whole.margin(now + one) for one in SUFFIXES]


def test_a_shorter_prefix_takes_only_what_it_shares(engine: LlamaEngine, whole: Whole) -> None:
    engine.margins(some_tokens(700), SUFFIXES, ANSWERS, exact=True)
    shorter = some_tokens(700)[:400]
    found = engine.margins(shorter, SUFFIXES, ANSWERS, exact=True)
    assert values(found) == [whole.margin(shorter + suffix) for suffix in SUFFIXES]


def test_what_all_candidates_begin_with_is_evaluated_once(engine: LlamaEngine, whole: Whole, decoded: Decoded) -> None:
    prefix, frame = some_tokens(300), some_tokens(9, 4)
    suffixes = [[*frame, *suffix] for suffix in SUFFIXES]
    found = engine.margins(prefix, suffixes, ANSWERS, exact=True)
    assert engine.evaluated == len(decoded.tokens) == 300 + 9 + sum(map(len, SUFFIXES))
    decoded.clear()
    assert values(found) == [whole.margin(prefix + suffix) for suffix in suffixes]


def test_a_memory_limit_bounds_what_is_kept(engine: LlamaEngine, decoded: Decoded) -> None:
    prefix = some_tokens(300)
    engine.room = engine._bytes(1024, flash=True)  # a context and nothing beside it
    engine.margins(prefix, SUFFIXES, ANSWERS)
    engine.room = engine._bytes(512, flash=True)
    decoded.clear()
    engine.margins(prefix, SUFFIXES, ANSWERS)
    assert len(decoded.tokens) == 300 + sum(map(len, SUFFIXES))


def test_under_a_memory_limit_a_released_engine_keeps_nothing(engine: LlamaEngine, decoded: Decoded) -> None:
    prefix = some_tokens(300)
    engine.room = engine._bytes(4096, flash=True)
    engine.margins(prefix, SUFFIXES, ANSWERS)
    decoded.clear()
    engine.margins(prefix, SUFFIXES, ANSWERS)
    assert len(decoded.tokens) == sum(map(len, SUFFIXES))
    engine.release()
    decoded.clear()
    engine.margins(prefix, SUFFIXES, ANSWERS)
    assert len(decoded.tokens) == 300 + sum(map(len, SUFFIXES))


def test_an_engine_that_measures_keeps_nothing(tiny: Path, decoded: Decoded) -> None:
    engine = LlamaEngine(tiny, identity="tiny", options=ONE, keep=0)
    for _ in range(2):
        decoded.clear()
        engine.margins(some_tokens(300), SUFFIXES, ANSWERS)
        assert len(decoded.tokens) == 300 + sum(map(len, SUFFIXES))
    engine.close()


def test_a_state_that_was_cut_short_is_not_put_back(engine: LlamaEngine, whole: Whole, decoded: Decoded) -> None:
    prefix = some_tokens(300)
    engine.margins(prefix, SUFFIXES, ANSWERS, exact=True)
    (key, kept), *_ = engine._prefixes._kept.items()
    engine._prefixes._kept[key] = type(kept)(kept.tokens, kept.state[:-100])
    decoded.clear()
    found = engine.margins(prefix, SUFFIXES, ANSWERS, exact=True)
    assert len(decoded.tokens) == 300 + sum(map(len, SUFFIXES))
    decoded.clear()
    assert values(found) == [whole.margin(prefix + suffix) for suffix in SUFFIXES]
