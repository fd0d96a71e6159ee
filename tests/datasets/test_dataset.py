"""From files to lists: users kept, divided and given candidates, without a word from one part in another."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from trsr_lite.datasets.data_options import NEGATIVES, DataOptions, paper
from trsr_lite.datasets.dataset import Dataset, Example, load
from trsr_lite.datasets.report import Report
from trsr_lite.errors import Closed, DataError, SettingsError

SHARED = Path(__file__).parents[3] / "shared" / "data"
PARTS = ("train", "validation", "test")
ITEMS = 60
Sequences = dict[str, list[int]]


def walks(users: int = 40, length: int = 8) -> Sequences:
    """Users who read `length` different items, not all users the same."""
    return {f"u{user}": [(user * 7 + step * 11) % ITEMS for step in range(length)] for user in range(users)}


def write(folder: Path, sequences: Sequences, items: int = ITEMS) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"id": f"n{number}", "title": f"Title {number}"}) for number in range(items)]
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    lines = [json.dumps({"user_id": user, "item_id": f"n{item}"}) for user, row in sequences.items() for item in row]
    (folder / "interactions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def opened(folder: Path, sequences: Sequences | None = None, **options: Any) -> Dataset:
    write(folder, walks() if sequences is None else sequences)
    return load(DataOptions(**{"dataset": "jsonl", "data": str(folder), "test_negatives": 10, **options}))


def write_mind(folder: Path, behaviors: Iterable[str]) -> Path:
    news = (f"N{number}\tc\ts\tTitle {number}\t\t\t[]\t[]\n" for number in range(ITEMS))
    (folder / "news.tsv").write_text("".join(news))
    (folder / "behaviors.tsv").write_text("".join(f"1\t{row}\n" for row in behaviors))
    return folder


def ids(items: Iterable[Any]) -> list[str]:
    return [item.id for item in items]


def target(example: Example) -> str:
    (found,) = (item.id for item, label in zip(example.candidates, example.labels, strict=True) if label)
    return found


def everything(dataset: Dataset, part: str, epochs: int = 2) -> list[Example]:
    return [example for epoch in range(epochs) for example in dataset.examples(part, epoch=epoch)]


# Examples


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
@pytest.mark.parametrize("part", PARTS)
def test_an_example_is_a_history_its_next_item_and_others(tmp_path: Path, negatives: str, part: str) -> None:
    sequences = walks()
    with opened(tmp_path, negatives=negatives) as dataset:
        for example in dataset.examples(part):
            sequence = [f"n{item}" for item in sequences[example.user_id]]
            assert ids(example.history) == sequence[:-1]
            assert target(example) == sequence[-1]
            shown = ids(example.candidates)
            assert len(shown) == len(set(shown)) == len(example.labels) == 1 + (7 if part == "train" else 10)
            assert set(shown) & set(sequence) == {sequence[-1]}


def test_the_users_item_may_stand_anywhere(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        places = {example.labels.index(1) for example in everything(dataset, "train", epochs=10)}
    assert places == set(range(8))


def test_the_parts_are_disjoint_users_at_their_fractions(tmp_path: Path) -> None:
    with opened(tmp_path, validation=0.2, test=0.3) as dataset:
        users = {part: {example.user_id for example in dataset.examples(part)} for part in PARTS}
        assert dataset.users == {part: len(found) for part, found in users.items()}
    assert {part: len(found) for part, found in users.items()} == {"train": 20, "validation": 8, "test": 12}
    assert len(set.union(*users.values())) == 40


def test_another_epoch_draws_other_candidates_for_training_only(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        for part in PARTS:
            first, second = list(dataset.examples(part)), list(dataset.examples(part, epoch=1))
            assert (first == second) == (part != "train")
            assert [target(one) for one in first] == [target(one) for one in second]


def test_an_example_is_the_same_whenever_it_is_asked_for(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset, opened(tmp_path) as again:
        forwards = [dataset.example(number, epoch=3) for number in range(40)]
        backwards = [again.example(number, epoch=3) for number in reversed(range(40))]
    assert forwards == backwards[::-1]


def test_the_hash_seed_of_python_decides_nothing(
    tmp_path: Path, python: Callable[..., "subprocess.CompletedProcess[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, walks())
    code = (
        "import sys\nfrom trsr_lite.datasets.dataset import load\n"
        "from trsr_lite.datasets.data_options import DataOptions\n"
        "with load(DataOptions('jsonl', sys.argv[1], negatives='popularity')) as found:\n"
        "    print([[item.id for item in one.candidates] for one in found.examples('train', epoch=1)])"
    )
    printed = set()
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        printed.add(python("-c", code, tmp_path).stdout)
    assert len(printed) == 1


def test_another_seed_chooses_other_users_and_candidates(tmp_path: Path) -> None:
    with opened(tmp_path, seed=0) as one, opened(tmp_path, seed=1) as other:
        first, second = ({example.user_id: example for example in each.examples("train")} for each in (one, other))
    assert set(first) != set(second)
    assert all(first[user].candidates != second[user].candidates for user in set(first) & set(second))


def test_the_newest_positions_become_targets_of_training_users_only(tmp_path: Path) -> None:
    sequences = walks()
    with opened(tmp_path, targets=3) as dataset:
        for part in PARTS:
            cases: dict[str, list[tuple[int, str]]] = {}
            for example in dataset.examples(part):
                cases.setdefault(example.user_id, []).append((len(example.history), target(example)))
            for user, found in cases.items():
                expected = [(end, f"n{sequences[user][end]}") for end in ((7, 6, 5) if part == "train" else (7,))]
                assert found == expected
        assert dataset.users["train"] == 32 and len(dataset.numbers("train")) == 96


def test_what_a_user_reads_later_is_no_negative(tmp_path: Path) -> None:
    sequences = walks()
    with opened(tmp_path, targets=5, train_negatives=40) as dataset:
        for example in dataset.examples("train"):
            own = {f"n{item}" for item in sequences[example.user_id]}
            assert set(ids(example.candidates)) & own == {target(example)}


def test_every_target_has_the_shortest_sequence(tmp_path: Path) -> None:
    with opened(tmp_path, walks(length=5), targets=9, min_items=4) as dataset:
        assert {len(example.history) for example in dataset.examples("train")} == {4, 3}


def test_a_position_that_was_read_before_is_no_target(tmp_path: Path) -> None:
    sequences = {f"u{user}": [1, 2, 3, 1, user + 10] for user in range(20)}
    with opened(tmp_path, sequences, targets=2) as dataset:
        assert {len(example.history) for example in dataset.examples("train")} == {4}
        assert dataset.report.left_out["target", "the item is already in the history before it"].count == 16


def test_histories_come_without_candidates(tmp_path: Path) -> None:
    with opened(tmp_path, targets=2) as dataset:
        numbers = list(dataset.numbers("train"))
        assert list(dataset.histories(numbers)) == [dataset.example(number).history for number in numbers]


def test_a_closed_data_set_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        pass
    dataset.close()
    with pytest.raises(Closed):
        dataset.example(0)


# Leakage


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
@pytest.mark.parametrize("targets", [1, 3])
def test_what_held_out_users_read_changes_no_training_example_and_no_count(
    tmp_path: Path, negatives: str, targets: int
) -> None:
    options: dict[str, Any] = {"negatives": negatives, "targets": targets, "validation": 0.2, "test": 0.2}
    with opened(tmp_path / "before", **options) as before:
        held_out = {example.user_id for part in PARTS[1:] for example in before.examples(part)}
        sequences = {
            user: [(item * 13 + 5) % ITEMS for item in reversed(row)] if user in held_out else row
            for user, row in walks().items()
        }
        with opened(tmp_path / "after", sequences, **options) as after:
            assert len(held_out) == 16
            assert everything(before, "train") == everything(after, "train")
            assert list(before.numbers("train")) == list(after.numbers("train"))
            assert before.popularity.tobytes() == after.popularity.tobytes()
            assert list(before.examples("test")) != list(after.examples("test"))


def test_what_one_training_user_reads_does_change_the_counts(tmp_path: Path) -> None:
    """The test above would pass if nothing were counted at all."""
    with opened(tmp_path / "before") as before:
        user = before.example(0).user_id
        with opened(tmp_path / "after", {**walks(), user: list(range(50, 58))}) as after:
            assert before.popularity.tobytes() != after.popularity.tobytes()


def test_one_held_out_user_changes_no_other(tmp_path: Path) -> None:
    with opened(tmp_path / "before", negatives="popularity", test=0.2) as before:
        tests = {example.user_id: example for example in before.examples("test")}
        changed = next(iter(tests))
        with opened(
            tmp_path / "after", {**walks(), changed: list(range(8))}, negatives="popularity", test=0.2
        ) as after:
            found = {example.user_id: example for example in after.examples("test")}
    assert {user for user in tests if tests[user] != found[user]} == {changed}


def test_popularity_counts_training_users_once_an_item(tmp_path: Path) -> None:
    sequences = {f"u{user}": [1, 1, 1, 2, user + 10] for user in range(20)}
    with opened(tmp_path, sequences, test_negatives=5) as dataset:
        counts = dataset.counts()
        training = {f"n{int(example.user_id[1:]) + 10}" for example in dataset.examples("train")}
    assert counts == {"n1": 16, "n2": 16, **dict.fromkeys(training, 1)}


def test_popular_negatives_were_read_by_training_users(tmp_path: Path) -> None:
    with opened(tmp_path, negatives="popularity", test_negatives=5, test=0.5) as dataset:
        counted = set(dataset.counts())
        drawn = {name for one in dataset.examples("test") for name in ids(one.candidates) if name != target(one)}
    assert drawn <= counted


def test_the_order_of_users_in_the_file_changes_no_example(tmp_path: Path) -> None:
    turned = dict(reversed(walks().items()))
    with opened(tmp_path / "a") as one, opened(tmp_path / "b", turned) as other:
        for part in PARTS:
            assert {example.user_id: example for example in one.examples(part)} == {
                example.user_id: example for example in other.examples(part)
            }


# Filters


@pytest.mark.parametrize(
    ("options", "kept", "reason"),
    [
        ({"min_items": 6}, {6, 7, 8}, "fewer than 6 items"),
        ({"max_items": 5}, {3, 4, 5}, "more than 5 items"),
        ({"min_items": 4, "max_items": 4}, {4}, "more than 4 items"),
    ],
)
def test_users_of_other_lengths_are_left_out_and_counted(
    tmp_path: Path, options: dict[str, Any], kept: set[int], reason: str
) -> None:
    sequences = {user: row[: 3 + index % 6] for index, (user, row) in enumerate(walks(60).items())}
    with opened(tmp_path, sequences, strict=True, **options) as dataset:
        found = {len(example.history) + 1 for part in PARTS for example in dataset.examples(part)}
        gap = dataset.report.left_out["user", reason]
    assert found == kept
    assert gap.count == 10 * sum(
        (length < min(kept)) == reason.startswith("fewer") for length in {3, 4, 5, 6, 7, 8} - kept
    )
    assert gap.places[0].startswith("interactions.jsonl:")


def test_a_user_whose_last_item_came_before_is_left_out(tmp_path: Path) -> None:
    sequences = {**walks(), "again": [1, 2, 3, 1]}
    with opened(tmp_path, sequences) as dataset:
        assert sum(dataset.users.values()) == 40
        (gap,) = dataset.report.left_out.values()
    assert (gap.reason, gap.places) == ("the last item is already in the history", ["interactions.jsonl:321"])


def test_a_history_may_repeat_itself(tmp_path: Path) -> None:
    with opened(tmp_path, {f"u{user}": [1, 2, 1, user + 10] for user in range(20)}) as dataset:
        assert ids(dataset.example(0).history) == ["n1", "n2", "n1"]


def test_the_seed_chooses_the_users_that_are_kept(tmp_path: Path) -> None:
    def users(seed: int, sequences: Sequences) -> set[str]:
        with opened(tmp_path, sequences, max_users=20, seed=seed) as dataset:
            assert dataset.report.left_out["user", "more than 20 users"].count == 20
            return {example.user_id for part in PARTS for example in dataset.examples(part)}

    assert len(users(0, walks())) == 20
    assert users(0, walks()) == users(0, dict(reversed(walks().items())))
    assert users(0, walks()) != users(1, walks())


# Impressions


def test_an_impression_shows_its_own_candidates(tmp_path: Path) -> None:
    shown = " ".join(f"N{number}-{int(number == 9)}" for number in range(5, 15))
    write_mind(tmp_path, (f"U{user}\t\tN1 N2\t{shown}" for user in range(10)))
    options = DataOptions("mind", str(tmp_path), negatives="impressions", train_negatives=4)
    with load(options) as dataset:
        for part in PARTS:
            for example in everything(dataset, part):
                assert target(example) == "N9"
                assert set(ids(example.candidates)) <= {f"N{number}" for number in range(5, 15)}
                assert len(example.candidates) == (5 if part == "train" else 10)
        drawn = {tuple(sorted(ids(dataset.example(0, epoch=epoch).candidates))) for epoch in range(5)}
    assert len(drawn) > 1


def test_an_impression_with_fewer_others_is_used_whole_and_several_clicks_are_all_right(tmp_path: Path) -> None:
    write_mind(tmp_path, (f"U{user}\t\tN1 N2\tN5-1 N6-0 N7-1" for user in range(10)))
    with load(DataOptions("mind", str(tmp_path), negatives="impressions")) as dataset:
        example = dataset.example(0)
        assert dict(zip(ids(example.candidates), example.labels, strict=True)) == {"N5": 1, "N6": 0, "N7": 1}


def test_the_impressions_of_a_user_stay_in_one_part_and_count_once(tmp_path: Path) -> None:
    rows = [f"U{user}\t\tN1 N2\tN{10 + turn}-1 N30-0" for turn in range(3) for user in range(20)]
    with load(DataOptions("mind", str(write_mind(tmp_path, rows)), negatives="impressions")) as dataset:
        assert dataset.users == {"train": 16, "validation": 2, "test": 2}
        assert len(dataset.numbers("train")) == 48
        users = [{example.user_id for example in dataset.examples(part)} for part in PARTS]
        assert len(set.union(*users)) == sum(map(len, users)) == 20
        assert dataset.counts() == dict.fromkeys(["N1", "N2", "N10", "N11", "N12"], 16)


def test_what_held_out_users_saw_changes_no_training_impression(tmp_path: Path) -> None:
    def rows(changed: set[str]) -> list[str]:
        plain, other = "N1 N2\tN10-1 N30-0 N31-0", "N40 N41\tN42-0 N43-1 N44-0"
        return [f"U{user}\t\t{other if f'U{user}' in changed else plain}" for user in range(20)]

    options = DataOptions("mind", str(tmp_path), negatives="impressions", train_negatives=1)
    write_mind(tmp_path, rows(set()))
    with load(options) as before:
        held_out = {example.user_id for part in PARTS[1:] for example in before.examples(part)}
        write_mind(tmp_path, rows(held_out))
        with load(options) as after:
            assert everything(before, "train") == everything(after, "train")
            assert before.popularity.tobytes() == after.popularity.tobytes()


# Files and digests


def test_a_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        assert dataset.digests == {
            name: f"b2:{hashlib.blake2b((tmp_path / name).read_bytes(), digest_size=20).hexdigest()}"
            for name in ("items.jsonl", "interactions.jsonl")
        }


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("mind", ("news.tsv", "behaviors.tsv")),
        ("amazon-m2", ("products_train.csv", "sessions_train.csv")),
        ("jsonl", ("items.jsonl", "interactions.jsonl")),
    ],
)
def test_what_is_missing_or_empty_is_named_with_what_is_expected(
    tmp_path: Path, dataset: str, names: tuple[str, str]
) -> None:
    def refused(folder: Path) -> str:
        with pytest.raises(DataError) as caught:
            load(DataOptions(dataset, str(folder)))
        assert caught.value.hint is not None and all(name in caught.value.hint for name in names)
        return str(caught.value)

    assert refused(tmp_path / "absent") == f"{tmp_path / 'absent'}: there is no such folder"
    assert refused(tmp_path) == f"{tmp_path / names[0]}: there is no such file"
    (tmp_path / names[0]).write_text("text\n")
    assert refused(tmp_path / names[0]) == f"{tmp_path / names[0]}: is a file, not a folder"
    assert refused(tmp_path) == f"{tmp_path / names[1]}: there is no such file"
    (tmp_path / names[1]).write_text("")
    assert refused(tmp_path) == f"{tmp_path / names[1]}: is empty"


def test_a_path_that_no_folder_can_have_is_refused() -> None:
    with pytest.raises(DataError):
        load(DataOptions("jsonl", "a\0b"))


def test_no_usable_item_is_an_error_that_says_why(tmp_path: Path) -> None:
    write(tmp_path, walks())
    (tmp_path / "items.jsonl").write_text('{"id": "n1"}\n')
    with pytest.raises(DataError, match=r"items\.jsonl: no item can be used") as caught:
        load(DataOptions("jsonl", str(tmp_path)))
    assert caught.value.hint is not None and "dropped 1 item: cannot be used" in caught.value.hint


def test_no_user_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no user is left") as caught:
        opened(tmp_path, min_items=30)
    assert caught.value.hint is not None and "left out 40 users: fewer than 30 items" in caught.value.hint


def test_too_few_users_to_divide_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation users: 3 users"):
        opened(tmp_path, walks(3))


def test_too_few_items_for_the_candidates_are_an_error(tmp_path: Path) -> None:
    with opened(tmp_path, test_negatives=ITEMS) as dataset, pytest.raises(DataError, match="60 negatives are needed"):
        list(dataset.examples("test"))


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "movielens"}, "dataset is 'movielens'; it must be one of mind, amazon-m2, jsonl"),
        ({"negatives": "hard"}, "negatives is 'hard'"),
        ({"locale": "UK"}, "locale is 'UK', but jsonl has no locales"),
        ({"dataset": "amazon-m2", "negatives": "impressions"}, "negatives are 'impressions', but amazon-m2 has none"),
        ({"dataset": "mind", "negatives": "impressions", "targets": 2}, "targets is 2, but with impressions"),
        ({"train_negatives": 0}, "train_negatives is 0; it must be at least 1"),
        ({"test_negatives": 0}, "test_negatives is 0; it must be at least 1"),
        ({"targets": 0}, "targets is 0; it must be at least 1"),
        ({"min_items": 1}, "min_items is 1; it must be at least 2"),
        ({"max_items": 2}, "max_items is 2, less than min_items 3"),
        ({"max_users": 0}, "max_users is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"validation": -0.1}, "validation is -0.1; it must be from 0 to 1"),
        ({"test": 1.5}, "test is 1.5; it must be from 0 to 1"),
        ({"test": float("nan")}, "test is nan; it must be from 0 to 1"),
        ({"validation": 0.6, "test": 0.6}, "validation 0.6 and test 0.6 are more than all users"),
        ({"targets": 1.5}, "targets is 1.5, which is not a whole number"),
        ({"targets": True}, "targets is True, which is not a whole number"),
        ({"min_items": None}, "min_items is None, which is not a whole number"),
        ({"data": Path()}, "which is not text"),
        ({"strict": 1}, "strict is 1, which is not true or false"),
        ({"test": "0.1"}, "test is '0.1', which is not a number"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        DataOptions(**{"dataset": "jsonl", "data": "folder", **options})
    assert message in str(caught.value)


def test_the_papers_values_are_options() -> None:
    assert DataOptions(dataset="mind", data="x", **paper("mind")).max_items == 26
    assert DataOptions(dataset="amazon-m2", data="x", **paper("amazon-m2")).locale == "UK"
    assert paper("mind")["train_negatives"] == 1 and paper("mind")["negatives"] in NEGATIVES
    with pytest.raises(SettingsError, match="no values for 'jsonl'"):
        paper("jsonl")


# Report


def test_a_report_reads_well_and_is_plain_json() -> None:
    report = Report("data/")
    report.read("item", 5527)
    report.read("user")
    for line in range(4, 16):
        report.drop("row", "not 8 columns", f"news.tsv:{line}", "has 3")
    report.leave_out("user", "fewer than 3 items", "behaviors.tsv:4")
    report.leave_out("session", "another locale")
    assert report.lines() == [
        "read 5,527 items",
        "read 1 user",
        "dropped 12 rows: not 8 columns (news.tsv:4 has 3, news.tsv:5 has 3, news.tsv:6 has 3, …)",
        "left out 1 user: fewer than 3 items (behaviors.tsv:4)",
        "left out 1 session: another locale",
    ]
    data = json.loads(json.dumps(report.to_dict()))
    assert data["read"] == {"item": 5527, "user": 1}
    assert (data["dropped"][0]["count"], len(data["dropped"][0]["places"])) == (12, 3)


def test_a_strict_report_stops_at_a_fault_but_not_at_a_choice() -> None:
    report = Report("data", strict=True)
    report.leave_out("user", "fewer than 3 items", "behaviors.tsv:4")
    with pytest.raises(DataError, match=r"^data/news\.tsv:9: row dropped: not 8 columns: has 3$"):
        report.drop("row", "not 8 columns", "news.tsv:9", "has 3")


# The data of this workplace


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the research data in {SHARED}, which are not in the repository")
@pytest.mark.parametrize(
    ("options", "items", "rows", "left"),
    [
        ({"dataset": "mind", "data": "mind/train"}, 5527, ("user", 500), 494),
        ({"dataset": "mind", "data": "mind/train", **paper("mind")}, 5527, ("user", 500), 494),
        (
            {"dataset": "mind", "data": "mind/dev", "negatives": "impressions", "min_items": 2, "test": 0.5},
            1188, ("user", 100), 100,
        ),
        ({"dataset": "amazon-m2", "data": "amazon-office"}, 3459, ("session", 1979), 1930),
        ({"dataset": "amazon-m2", "data": "amazon-office", "locale": "US"}, 3459, ("session", 1979), 1930),
    ],
)  # fmt: skip
def test_real_files_are_read_whole(options: dict[str, Any], items: int, rows: tuple[str, int], left: int) -> None:
    with load(DataOptions(**{**options, "data": str(SHARED / options["data"]), "strict": True})) as dataset:
        assert dataset.item_count == items
        assert dataset.report.counts[rows[0]] == rows[1]
        assert sum(dataset.users.values()) == left
        assert sum(1 for part in PARTS for _ in dataset.examples(part)) == left
