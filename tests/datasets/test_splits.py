"""Users are divided by their ids alone, at exact counts, and an empty part is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trsr_lite.datasets.splits import split
from trsr_lite.errors import DataError

USERS = [f"user-{number}" for number in range(200)]


def parts(users: list[str], validation: float = 0.1, test: float = 0.1, seed: int = 0) -> dict[str, set[str]]:
    found = split(users, validation=validation, test=test, seed=seed)
    return {name: {users[index] for index in numbers} for name, numbers in vars(found).items()}


@given(
    users=st.lists(st.text(max_size=5), unique=True, min_size=30, max_size=80),
    fractions=st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4)),
    seed=st.integers(0, 2**64),
)
def test_every_user_is_in_exactly_one_part_at_exact_counts(
    users: list[str], fractions: tuple[float, float], seed: int
) -> None:
    found = split(users, validation=fractions[0], test=fractions[1], seed=seed)
    assert sorted([*found.train, *found.validation, *found.test]) == list(range(len(users)))
    assert len(found.validation) == round(len(users) * fractions[0])
    assert len(found.test) == round(len(users) * fractions[1])
    assert all(list(numbers) == sorted(numbers) for numbers in vars(found).values())


@given(st.permutations(USERS))
def test_the_order_of_the_users_decides_nothing(users: list[str]) -> None:
    assert parts(users) == parts(USERS)


def test_another_seed_makes_other_parts() -> None:
    assert parts(USERS, seed=1) != parts(USERS)
    assert parts(USERS, seed=1) == parts(USERS, seed=1)


def test_a_new_user_moves_few() -> None:
    before, after = parts(USERS), parts([*USERS, "new"])
    moved = {user for name, users in before.items() for user in users if user not in after[name]}
    assert len(moved) <= 2


def test_a_part_that_is_not_wanted_is_empty() -> None:
    found = parts(USERS, validation=0)
    assert (len(found["validation"]), len(found["test"]), len(found["train"])) == (0, 20, 180)


def test_all_users_may_be_held_out_on_purpose() -> None:
    assert len(parts(USERS, validation=0, test=1)["test"]) == 200
    assert [len(found) for found in parts(USERS[:3], validation=0.5, test=0.5).values()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("count", "validation", "test", "message"),
    [
        (4, 0.1, 0.5, "no validation users: 4 users, fraction 0.1"),
        (4, 0.5, 0.1, "no test users: 4 users, fraction 0.1"),
        (0, 0.1, 0.1, "no validation users: 0 users"),
        (0, 0, 0, "no training users: 0 users"),
        (2, 0.4, 0.4, "no training users: 2 users, 2 held out"),
        (1, 0, 0.9, "no training users: 1 users, 1 held out"),
    ],
)
def test_a_part_that_is_wanted_but_empty_is_an_error(count: int, validation: float, test: float, message: str) -> None:
    with pytest.raises(DataError) as caught:
        split(USERS[:count], validation=validation, test=test, seed=0)
    assert str(caught.value).startswith(message)
    assert caught.value.hint
