"""Lists to rank: from a data set or from a file, and never one that no system could be judged on."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.dataset import Dataset, Example, load
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.evaluation import lists, open_systems
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES
from trsr_lite.evaluation.fused import ListSignals
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.records import Item

ITEMS = 40


def item(name: object, **more: Any) -> dict[str, Any]:
    return {"id": name, "title": f"Film {name}", **more}


def line(**changes: Any) -> dict[str, Any]:
    """A line of a file of lists; None leaves a field out."""
    whole = {
        "user_id": "u1",
        "history": [item("a"), item("b")],
        "candidates": [item("x"), item("y"), item("z")],
        "positives": ["y"],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(*lines)`: a file of these objects, or of text as it is."""

    def call(*lines: Any, name: str = "lists.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines))
        return path

    return call


# A file


def test_a_file_has_one_list_a_line_with_its_labels(write: Write) -> None:
    path = write(line(), line(user_id=7, positives=["z", "x"]), line(user_id=None, candidates=[item("1"), item("y")]))
    found = lists.of_file(str(path))
    assert [(one.user_id, one.labels) for one in found.examples.values()] == [
        ("u1", (0, 1, 0)),
        ("7", (1, 0, 1)),
        ("", (0, 1)),
    ]
    assert [one.id for one in found.examples[1].history] == ["a", "b"]
    assert {one.id for one in found.items} == {"a", "b", "x", "y", "z", "1"}
    assert found.counts is None


def test_positives_may_be_numbers_and_come_twice(write: Write) -> None:
    path = write(line(candidates=[item(5), item(6)], positives=[5, "5"]))
    assert lists.of_file(str(path)).examples[1].labels == (1, 0)


def test_one_list_may_be_a_json_file_and_blank_lines_are_passed_over(tmp_path: Path, write: Write) -> None:
    (tmp_path / "one.json").write_text(json.dumps(line(), indent=2))
    assert len(lists.of_file(str(tmp_path / "one.json")).examples) == 1
    assert len(lists.of_file(str(write("", line(), "", "  ", line()))).examples) == 2


def test_one_id_is_one_text_in_all_lists(write: Write) -> None:
    again = line(candidates=[item("x", time="2026-01-02"), item("y", price="5")])
    with pytest.raises(DataError, match=r"lists\.jsonl:2: the item 'y' is another than in a list before"):
        lists.of_file(str(write(line(), again)))


def test_lists_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(line()).encode())))
    assert lists.of_file("-").facts["lists"] == "stdin"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (line(positives=["y", "q"]), ".positives: 'q' is not among the candidates"),
        (line(positives=["a"]), ".positives: 'a' is not among the candidates"),
        (line(positives=None), ".positives: must be a list of at least one id"),
        (line(positives=[]), ".positives: must be a list of at least one id"),
        (line(positives="y"), ".positives: must be a list of at least one id"),
        (line(positives={"y": 1}), ".positives: must be a list of at least one id"),
        (line(positives=[["y"]]), ".positives: \"['y']\" is not among the candidates"),
        (line(positives=["x", "y", "z"]), ".candidates: all of them are positives"),
        (line(candidates=[item("y")]), ".candidates: all of them are positives"),
        (line(candidates=None), ".positives: 'y' is not among the candidates"),
        (line(candidates=[]), ".candidates: is empty"),
        (line(candidates=[{"id": "y"}]), ".candidates[0]: no text"),
        (line(history=[]), ".history: is empty"),
        (line(history=None), ".history: missing"),
        (line(history=[item("a", time=2), item("b", time=1)]), ".history[1].time: earlier than the item before it"),
        ("[]", ": a user must be an object, not a list"),
        ('{"user_id": "u1", ', ": column 19: not valid JSON"),
    ],
)
def test_a_list_that_cannot_be_judged_is_named_with_its_line(write: Write, broken: Any, said: str) -> None:
    path = write(line(), "", broken, line())
    with pytest.raises(DataError) as caught:
        lists.of_file(str(path))
    assert str(caught.value).startswith(f"{path}:3")
    assert said in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_lists_says_what_is_expected(write: Write, text: str) -> None:
    path = write(text)
    with pytest.raises(DataError, match="is empty") as caught:
        lists.of_file(str(path))
    assert "positives" in str(caught.value.hint)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(DataError) as caught:
            lists.of_file(str(path))
        assert str(caught.value).startswith(str(path))


def test_an_item_may_have_another_time_each_time(write: Write) -> None:
    path = write(line(history=[item("a", time=1)]), line(history=[item("a", time=5)]))
    assert len(lists.of_file(str(path)).examples) == 2


def test_facts_know_another_content_of_the_same_file(write: Write) -> None:
    def facts(*made: Any) -> Any:
        return lists.of_file(str(write(*made))).facts

    plain = facts(line())
    assert plain == facts(line())
    json.dumps(plain)
    for other in (
        line(positives=["x"]),
        line(user_id="u2"),
        line(history=[item("a")]),
        line(candidates=[item("y"), item("x"), item("z")]),
        line(candidates=[item("x", year=1), item("y"), item("z")]),
    ):
        assert facts(other) != plain


# Simple systems on a file


def test_popularity_is_left_out_of_a_file_and_said(write: Write) -> None:
    found, notes = open_systems.simple(("random", "popularity"), ListSignals.of(lists.of_file(str(write(line())))))
    assert [system.name for system in found] == ["random"]
    assert notes == ["popularity is left out: there are no training users to count"]
    _, notes = open_systems.simple(("tokens", "fused"), ListSignals.of(lists.of_file(str(write(line())))))
    assert notes == [
        "tokens is left out: there is no bundle whose embeddings could be read",
        "fused is left out: its weights are learned on lists of at least 20 users",
    ]
    assert open_systems.simple(("random",), ListSignals.of(lists.of_file(str(write(line())))))[1] == []


def test_an_unknown_baseline_is_refused_with_those_that_are_known(write: Write) -> None:
    with pytest.raises(SettingsError, match="no baseline 'sasrec'") as caught:
        open_systems.simple(("sasrec",), ListSignals.of(lists.of_file(str(write(line())))))
    assert caught.value.hint == f"choose from {', '.join(ALL_BASELINES)}"


@pytest.mark.parametrize("name", ["tfidf", "bm25"])
def test_systems_that_compare_texts_know_every_item_of_a_file(write: Write, name: str) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: `pip install 'trsr-lite[evaluate]'`")
    pytest.importorskip("bm25s", reason="needs bm25s: `pip install 'trsr-lite[evaluate]'`")
    texts = {"a": "golf open", "x": "golf masters", "b": "pumpkin soup", "y": "western film", "z": "tomato soup"}
    first, second = (
        line(**{part: [item(one, title=texts[one]) for one in names] for part, names in parts.items()})
        for parts in ({"history": "a", "candidates": "xy"}, {"history": "b", "candidates": "yz"})
    )
    made = lists.of_file(str(write(first, second)))
    (system,), _ = open_systems.simple((name,), ListSignals.of(made))
    assert [system.answer(one).scores.argmax() for one in made.examples.values()] == [0, 1]


# A data set


def data(folder: Path, *, users: int = 40, **options: Any) -> Dataset:
    folder.mkdir(exist_ok=True)
    texts = [json.dumps({"id": f"n{number}", "title": f"Title {number}"}) for number in range(ITEMS)]
    (folder / "items.jsonl").write_text("\n".join(texts) + "\n")
    rows = [
        json.dumps({"user_id": f"u{user}", "item_id": f"n{number}"})
        for user in range(users)
        for number in random.Random(user).sample(range(ITEMS), 5)
    ]
    (folder / "interactions.jsonl").write_text("\n".join(rows) + "\n")
    return load(DataOptions(**{"dataset": "jsonl", "data": str(folder), "test": 0.5, "validation": 0.1, **options}))


def impressions(folder: Path, rows: Sequence[str]) -> Dataset:
    """Users `U0`, `U1`, … of MIND, each row one impression."""
    folder.mkdir(exist_ok=True)
    (folder / "news.tsv").write_text("".join(f"N{number}\tc\ts\tTitle {number}\t\t\t[]\t[]\n" for number in range(20)))
    (folder / "behaviors.tsv").write_text("".join(f"1\t{row}\n" for row in rows))
    return load(DataOptions("mind", str(folder), negatives="impressions", test=1.0, validation=0.0))


def target(example: Example) -> Item:
    return example.candidates[example.labels.index(1)]


def users(found: EvalLists) -> set[str]:
    return {one.user_id for one in found.examples.values()}


@pytest.mark.parametrize(("part", "count"), [("test", 20), ("validation", 4)])
def test_the_lists_of_a_part_are_those_of_the_data_set(tmp_path: Path, part: str, count: int) -> None:
    with data(tmp_path) as dataset:
        found = lists.of_dataset(dataset, part, most=None, seed=0)
        assert list(found.examples.values()) == list(dataset.examples(part))
        assert (len(found.examples), len(found.items), found.counts) == (count, ITEMS, dataset.counts())
        assert (found.facts["part"], found.facts["files"]) == (part, dataset.digests)
        assert found.facts["options"]["data"] == str(tmp_path)


def test_at_most_so_many_lists_are_chosen_by_the_seed(tmp_path: Path) -> None:
    with data(tmp_path) as dataset:
        whole = lists.of_dataset(dataset, "test", most=None, seed=0)
        chosen = [lists.of_dataset(dataset, "test", most=8, seed=seed) for seed in (0, 0, 1)]
        for found in chosen:
            assert len(found.examples) == 8
            assert found.examples.items() <= whole.examples.items()
            assert list(found.examples) == sorted(found.examples)
        assert users(chosen[0]) == users(chosen[1]) != users(chosen[2])
        for most in (20, 21, None):
            assert lists.of_dataset(dataset, "test", most=most, seed=0).examples == whole.examples


def test_fewer_lists_are_a_part_of_more(tmp_path: Path) -> None:
    with data(tmp_path) as dataset:
        few, many = (users(lists.of_dataset(dataset, "test", most=most, seed=0)) for most in (5, 12))
    assert few < many


def test_the_order_of_users_in_the_file_chooses_no_other_lists(tmp_path: Path) -> None:
    rows = [f"U{user}\t\tN1 N2\tN{3 + user % 9}-1 N18-0 N19-0" for user in range(30)]
    found = []
    for name, turned in (("as it is", rows), ("turned", rows[::-1])):
        with impressions(tmp_path / name, turned) as dataset:
            made = lists.of_dataset(dataset, "test", most=8, seed=0)
            found.append({one.user_id: one for one in made.examples.values()})
    assert found[0] == found[1]
    assert len(found[0]) == 8


def test_single_impressions_are_chosen_and_not_whole_users(tmp_path: Path) -> None:
    rows = [f"U{user}\t\tN1 N2\tN{3 + turn}-1 N18-0 N19-0" for user in range(4) for turn in range(5)]
    with impressions(tmp_path, rows) as dataset:
        seen = [lists.of_dataset(dataset, "test", most=8, seed=seed).examples for seed in range(3)]
    assert [len(found) for found in seen] == [8, 8, 8]
    assert all(len({one.user_id for one in found.values()}) > 2 for found in seen)
    assert len({tuple(found) for found in seen}) == 3


def test_choosing_lists_draws_no_candidates_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    plain = Dataset.example

    def example(self: Dataset, number: int, **more: Any) -> Example:
        drawn.append(number)
        return plain(self, number, **more)

    monkeypatch.setattr(Dataset, "example", example)
    with data(tmp_path) as dataset:
        assert drawn == list(lists.of_dataset(dataset, "test", most=8, seed=0).examples)


def test_where_nobody_trains_nobody_counted(tmp_path: Path) -> None:
    """Popularity that knows no counts would be shown, and be chance."""
    with data(tmp_path, test=1.0, validation=0.0) as dataset:
        found = lists.of_dataset(dataset, "test", most=None, seed=0)
    assert found.counts is None
    assert [system.name for system in open_systems.simple(("random", "popularity"), ListSignals.of(found))[0]] == [
        "random"
    ]


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_part_without_users_is_an_error_that_says_what_to_do(tmp_path: Path, part: str) -> None:
    with data(tmp_path, **{part: 0.0}) as dataset, pytest.raises(DataError) as caught:
        lists.of_dataset(dataset, part, most=None, seed=0)
    assert str(caught.value) == f"{tmp_path}: no {part} user is left"
    assert f"`--{part}`" in str(caught.value.hint)


def test_a_list_is_warm_where_a_training_user_has_its_target(tmp_path: Path) -> None:
    with data(tmp_path, users=12) as dataset:
        made = lists.of_dataset(dataset, "test", most=None, seed=0)
        trained = {one.id for each in dataset.examples("train") for one in (*each.history, target(each))}
    warm = {number: made.warm(number) for number in made.examples}
    assert set(warm.values()) == {True, False}
    assert warm == {number: target(one).id in trained for number, one in made.examples.items()}
