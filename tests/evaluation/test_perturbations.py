"""Changed lists: what is changed is what was said, nothing else is, and no order of lists matters."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation import perturbations
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.perturbations import Change
from trsr_lite.evaluation.studies import STUDIES
from trsr_lite.records import Item

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima"]


def item(name: str) -> Item:
    rng = random.Random(name)
    return Item(name, {"title": " ".join(rng.sample(WORDS, 6)), "topic": rng.choice(WORDS), "brand": "acme"})


def made(users: int = 8, history: int = 10) -> EvalLists:
    """Users with items of their own, and one candidate that the next user has read."""
    examples = {}
    for user in range(users):
        past = tuple(item(f"u{user}-{place}") for place in range(history))
        others = (item(f"u{(user + 1) % users}-0"), item(f"x{user}"))
        examples[user + 3] = Example(f"u{user}", past, others, (0, 1))
    known = {one.id: one for each in examples.values() for one in (*each.history, *each.candidates)}
    return EvalLists(examples, list(known.values()), None, {"made": "by hand"})


EVERY: dict[str, Change] = {
    f"{name}: {variant.name}": variant.change
    for name, study in STUDIES.items()
    for variant in study.variants
    if variant.change
}


def ids(example: Example) -> list[str]:
    return [item.id for item in example.history]


@pytest.mark.parametrize("change", EVERY.values(), ids=EVERY)
def test_the_order_of_lists_changes_no_list(change: Change) -> None:
    lists = made()
    turned = replace(lists, examples=dict(reversed(lists.examples.items())))
    assert change(turned, 1).examples == change(lists, 1).examples


@pytest.mark.parametrize("change", EVERY.values(), ids=EVERY)
def test_candidates_labels_and_what_was_given_stay(change: Change) -> None:
    lists = made()
    found = change(lists, 1)
    assert lists == made()
    assert list(found.examples) == list(lists.examples)
    for number, example in found.examples.items():
        before = lists.examples[number]
        assert (example.user_id, example.labels) == (before.user_id, before.labels)
        assert [one.id for one in example.candidates] == [one.id for one in before.candidates]
        assert example.history
        assert all(one.title for one in (*example.history, *example.candidates))
    assert [one.id for one in found.items] == [one.id for one in lists.items]


@pytest.mark.parametrize("change", EVERY.values(), ids=EVERY)
def test_an_item_has_one_text_wherever_it_stands(change: Change) -> None:
    found = change(made(), 1)
    texts = {one.id: one.attributes for one in found.items}
    for example in found.examples.values():
        for one in (*example.history, *example.candidates):
            assert one.attributes == texts[one.id]


def test_the_seed_decides() -> None:
    for change in (
        perturbations.shuffled,
        partial(perturbations.typos, share=0.5),
        partial(perturbations.dropped, share=0.5),
    ):
        assert change(made(), 1).examples == change(made(), 1).examples != change(made(), 2).examples


def test_the_newest_items_are_the_last_ones() -> None:
    found = perturbations.newest(made(), 0, items=3)
    assert ids(found.examples[3]) == ["u0-7", "u0-8", "u0-9"]
    assert ids(perturbations.newest(made(), 0, items=50).examples[3]) == ids(made().examples[3])


def test_a_longer_history_ends_in_the_users_own_and_begins_with_that_of_others() -> None:
    lists = made()
    for number, example in lists.examples.items():
        long = ids(perturbations.lengthened(lists, 0, items=25).examples[number])
        assert len(long) == 25
        assert long[-10:] == ids(example)
        assert not set(long[:15]) & {f"{example.user_id}-{place}" for place in range(10)}
        assert not set(long) & {one.id for one in example.candidates}
        longer = ids(perturbations.lengthened(lists, 0, items=40).examples[number])
        assert longer[-25:] == long
        assert ids(perturbations.lengthened(lists, 0, items=4).examples[number]) == ids(example)[-4:]


def test_histories_are_never_longer_than_all_of_them_together() -> None:
    assert len(perturbations.lengthened(made(3), 0, items=500).examples[3].history) == 29  # without the candidate
    assert len(perturbations.lengthened(made(1), 0, items=500).examples[3].history) == 10


def test_users_without_an_id_are_others_to_each_other() -> None:
    lists = made()
    nobody = replace(lists, examples={n: replace(one, user_id="") for n, one in lists.examples.items()})
    assert len(perturbations.lengthened(nobody, 0, items=25).examples[3].history) == 25


@pytest.mark.parametrize(
    "change", [partial(perturbations.foreign, share=0.5), partial(perturbations.lengthened, items=25)]
)
def test_a_list_reads_few_histories_of_others(change: Change) -> None:
    """Else the work would grow with the square of the lists."""
    read = 0

    class History(tuple[Item, ...]):
        def __iter__(self) -> Iterator[Item]:
            nonlocal read
            read += 1
            return super().__iter__()

    lists = made(60)
    watched = {number: replace(one, history=History(one.history)) for number, one in lists.examples.items()}
    change(replace(lists, examples=watched), 0)
    assert 60 < read < 60 * 12


def test_others_come_each_once_in_any_order() -> None:
    orders = [list(perturbations.mixed_numbers(5, np.random.default_rng(seed))) for seed in range(3000)]
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2, 3, 4)}
    counts = Counter(map(tuple, orders))
    assert len(counts) == 120
    assert max(counts.values()) < 60  # 25 expected


def test_a_share_of_the_items_is_dropped_in_their_order_and_one_stays() -> None:
    lists = made()
    few, many = (perturbations.dropped(lists, 0, share=share) for share in (0.3, 0.5))
    for number, example in lists.examples.items():
        kept, fewer = ids(few.examples[number]), ids(many.examples[number])
        assert (len(kept), len(fewer)) == (7, 5)
        assert kept == [name for name in ids(example) if name in kept]
        assert set(fewer) < set(kept)
    assert len(perturbations.dropped(made(history=1), 0, share=0.5).examples[3].history) == 1
    assert len({tuple(int(name.split("-")[1]) for name in ids(one)) for one in few.examples.values()}) > 1


def test_a_shuffled_history_has_the_same_items() -> None:
    lists = made()
    found = perturbations.shuffled(lists, 0)
    assert all(sorted(ids(found.examples[number])) == sorted(ids(one)) for number, one in lists.examples.items())
    assert sum(ids(found.examples[number]) != ids(one) for number, one in lists.examples.items()) > 5


def test_foreign_items_stand_among_the_users_own_in_order() -> None:
    lists = made()
    found = perturbations.foreign(lists, 0, share=0.5)
    for number, example in lists.examples.items():
        mixed, own = ids(found.examples[number]), ids(example)
        assert len(mixed) == 15
        assert [name for name in mixed if name in own] == own
        assert not set(mixed) & {one.id for one in example.candidates}
    places = [
        place for one in found.examples.values() for place, n in enumerate(ids(one)) if n[:3] != f"{one.user_id}-"
    ]
    assert min(places) < 5 < 9 < max(places)


def test_attributes_go_missing_and_titles_do_not() -> None:
    half, all_ = (perturbations.without_attributes(made(30), 0, share=share) for share in (0.5, 1.0))
    counts = [len(one.attributes) for one in half.items]
    assert 1.8 < sum(counts) / len(counts) < 2.2
    assert all(one.attributes["title"] == item(one.id).title for one in half.items)
    assert all(list(one.attributes) == ["title"] for one in all_.items)
    untitled = EvalLists({}, [Item("a", {"topic": "golf", "brand": "acme"})], None, {})
    assert perturbations.without_attributes(untitled, 0, share=1.0).items[0].attributes == {"topic": "golf"}


def test_a_share_of_the_words_is_misspelt_by_one_letter() -> None:
    lists = made(30)
    before = {one.id: one for one in lists.items}

    def wrong(share: float) -> set[tuple[str, int]]:
        found = set()
        for one in perturbations.typos(lists, 0, share=share).items:
            words = one.title.split()
            assert len(words) == 6
            for place, (word, right) in enumerate(zip(words, before[one.id].title.split(), strict=True)):
                assert abs(len(word) - len(right)) <= 1
                if word != right:
                    found.add((one.id, place))
        return found

    total = 6 * len(lists.items)
    few, many = wrong(0.1), wrong(0.3)
    assert 0.06 < len(few) / total < 0.12
    assert 0.2 < len(many) / total < 0.32
    assert few < many
