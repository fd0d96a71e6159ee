"""Who is read when: the same users in the same steps on one device and on several."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from trsr_lite.errors import SettingsError
from trsr_lite.training.packing import PackedRow
from trsr_lite.training.schedule import Order, Schedule

USERS = [100 + number for number in range(11)]


def row(number: int, epoch: int) -> PackedRow:
    """A row that says whose it is and which epoch's."""
    return PackedRow((number,), ((epoch,), (1,)), (1, 0), dropped=int(number == 100))


def schedule(users: list[int] = USERS, **options: Any) -> Schedule:
    order = {name: options.pop(name) for name in ("epochs", "batch_rows", "seed", "max_steps") if name in options}
    return Schedule(Order(users, **{"epochs": 3, "batch_rows": 4, "seed": 0, **order}), row, batch_tokens=6, **options)


def read(item: dict[str, Any]) -> list[int]:
    """The users of an item, from its packs."""
    return [pack.input_ids[0, tree.start].item() for pack in item["packs"] for tree in pack.trees]


def epochs_read(item: dict[str, Any]) -> set[int]:
    return {pack.input_ids[0, tree.start + 1].item() for pack in item["packs"] for tree in pack.trees}


@pytest.mark.parametrize("world", [2, 3, 4])
def test_a_step_reads_the_same_users_on_one_device_as_on_many(world: int) -> None:
    alone, spread = schedule(), schedule(world=world)
    assert len(spread) == world * len(alone) == world * 9
    for step in range(alone.order.steps):
        shares = [spread[step * world + rank] for rank in range(world)]
        together = sorted(user for share in shares if share["weight"] for user in read(share))
        assert together == sorted(read(alone[step]))
        assert {share["rows"] for share in shares} == {alone[step]["rows"]} == {len(together)}
        assert set.union(*map(epochs_read, shares)) == {step // 3}


def test_every_epoch_is_another_permutation_and_its_last_step_may_be_smaller() -> None:
    found = schedule()
    orders = [
        [user for step in range(3 * epoch, 3 * epoch + 3) for user in found.order.of(step)[1]] for epoch in range(3)
    ]
    assert all(sorted(order) == USERS for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [found[step]["rows"] for step in range(9)] == [4, 4, 3] * 3


def test_a_device_without_users_reads_one_that_counts_for_nothing() -> None:
    found = schedule(USERS[:9], world=2)  # steps of 4, 4 and 1
    shares = [found[2 * 2 + rank] for rank in range(2)]
    assert [share["weight"] for share in shares] == [1.0, 0.0]
    assert [share["rows"] for share in shares] == [1, 1]
    assert read(shares[0]) == read(shares[1])


def test_the_order_depends_on_the_seed_alone() -> None:
    def orders(**options: Any) -> list[tuple[int, list[int]]]:
        found = schedule(**options)
        return [found.order.of(step) for step in range(found.order.steps)]

    assert orders(seed=1) == orders(seed=1)
    assert orders(seed=1) != orders(seed=2)
    assert orders(seed=1, world=2) == orders(seed=1)
    late = schedule(seed=1)
    assert [late.order.of(step) for step in reversed(range(9))][::-1] == orders(seed=1)


@pytest.mark.parametrize(("most", "steps"), [(None, 9), (5, 5), (100, 9)])
def test_max_steps_ends_it_sooner_and_never_later(most: int | None, steps: int) -> None:
    assert schedule(max_steps=most).order.steps == len(schedule(max_steps=most)) == steps


@pytest.mark.parametrize(("most", "rows"), [(None, 33), (1, 4), (2, 8), (3, 11), (4, 15), (7, 26), (100, 33)])
def test_what_a_run_reads_is_known_before(most: int | None, rows: int) -> None:
    order = schedule(max_steps=most).order
    steps = [order.of(step) for step in range(order.steps)]
    assert list(order.read()) == [(epoch, user) for epoch, users in steps for user in users]
    assert len(list(order.read())) == rows


def test_a_step_has_a_user_for_every_process() -> None:
    with pytest.raises(SettingsError, match="batch_rows is 1; with 2 processes it must be at least 2"):
        schedule(batch_rows=1, world=2)


def test_rows_that_lost_items_are_counted() -> None:
    found = schedule()
    assert sum(found[step]["shortened"] for step in range(3)) == 1
    alone = schedule([100], batch_rows=2, world=2)
    assert [alone[rank]["shortened"] for rank in range(2)] == [1, 0], "one that is read to keep pace counts once"


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 4), st.integers(0, 5))
def test_no_user_is_left_out_or_read_twice(count: int, batch: int, world: int, seed: int) -> None:
    users = list(range(100, 100 + count))
    found = schedule(users, batch_rows=max(batch, world), world=world, epochs=2, seed=seed)
    for epoch in range(2):
        items = [found[index] for index in range(epoch * len(found) // 2, (epoch + 1) * len(found) // 2)]
        assert sorted(user for item in items if item["weight"] for user in read(item)) == users
        assert all(item["packs"] for item in items)
