"""Answers on disk: a stopped evaluation goes on to the same figures, and a folder never holds two evaluations."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scripted import Scripted, after, example, failing, item, lists, noisy, of, timeless
from trsr_lite import FakeEngine, Recommender, Settings
from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError, SettingsError, TrsrError
from trsr_lite.evaluation.baselines.materials import Materials
from trsr_lite.evaluation.evaluate import Evaluation, rank_lists
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.outcomes import HEAD, LINES, ListOutcome
from trsr_lite.evaluation.systems import BaselineSystem, BundleSystem
from trsr_lite.io import files
from trsr_lite.summaries.store import SummaryStore

USERS = [f"u{number}" for number in range(25)]


def systems() -> list[Scripted]:
    """Two that rank, of which one cannot rank all."""
    return [Scripted("a", noisy(1, 0.7)), Scripted("b", failing(noisy(2), DataError("too long"), ["u3", "u8"]))]


def evaluated(
    folder: Path | None, these: list[Any] | None = None, made: EvalLists | None = None, **more: Any
) -> Evaluation:
    return rank_lists(made or lists(25), these or systems(), output=folder, **more)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def keys(folder: Path) -> list[tuple[str, int]]:
    """Which answers the lines hold, in order."""
    lines = [json.loads(line) for line in (folder / LINES).read_text().splitlines()]
    return [(line["system"], line["number"]) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "kept"


@pytest.fixture
def finished(folder: Path) -> Path:
    """The folder of a finished evaluation."""
    evaluated(folder)
    return folder


# What is kept


def test_a_folder_changes_no_figure(folder: Path) -> None:
    assert timeless(evaluated(folder)) == timeless(evaluated(None))


def test_a_folder_holds_what_was_asked_and_one_line_for_each_answer(finished: Path) -> None:
    assert set(content(finished)) == {HEAD, LINES}
    head = json.loads((finished / HEAD).read_text())
    assert head == {
        "schema": 2,
        "lists": {"made": "by hand"},
        "numbers": list(range(10, 35)),
        "examples": lists(25).digest(),
        "systems": {"a": {"script": "a"}, "b": {"script": "b"}},
    }
    assert keys(finished) == [(name, number) for name in "ab" for number in range(10, 35)]
    line = json.loads((finished / LINES).read_text().splitlines()[3])
    one = lists(25).examples[13]
    assert (line["user_id"], line["labels"], line["error"]) == ("u3", list(one.labels), None)
    assert line["ids"] == [each.id for each in one.candidates]
    assert line["scores"] == noisy(1, 0.7)(one).tolist()


def test_an_answer_is_on_disk_before_the_next_list_is_asked(folder: Path) -> None:
    found: list[int] = []

    def script(example: Example) -> list[int]:
        found.append((folder / LINES).read_bytes().count(b"\n"))
        return list(range(5))

    evaluated(folder, [Scripted("s", script)])
    assert found == list(range(25))


floats = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(floats, min_size=1, max_size=4),
    st.none() | floats,
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)
def test_an_outcome_is_read_back_as_it_was(
    name: str, scores: list[float], mass: float | None, text: str | None
) -> None:
    size = len(scores)
    one = ListOutcome(name, 3, text or "", ("x",) * size, (1,) * size, tuple(scores), None, mass, text, 0.1, text)
    assert ListOutcome.from_dict(orjson.loads(orjson.dumps(vars(one)))) == one


def test_a_folder_in_which_an_evaluation_is_at_work_is_left_to_it(folder: Path) -> None:
    """Each would write the head without the other's system, and answers of two systems under one name."""
    refused = []

    def second(one: Example) -> Any:
        with pytest.raises(SettingsError, match="another evaluation is at work there"):
            evaluated(folder, [Scripted("other", noisy(3))])
        refused.append(one)
        return noisy(1)(one)

    assert evaluated(folder, [Scripted("a", second)]).outcomes.keys() == {"a"}
    assert len(refused) == 25
    assert evaluated(folder, [Scripted("other", noisy(3))]).outcomes.keys() == {"other"}
    assert [path.name for path in folder.parent.iterdir()] == ["kept"]


def test_a_second_call_asks_for_nothing(finished: Path) -> None:
    before, again = content(finished), systems()
    found = evaluated(finished, again)
    assert [system.asked + system.prepared for system in again] == [[], []]
    assert timeless(found) == timeless(evaluated(None))
    assert content(finished) == before


# Stopped, and on


@pytest.mark.parametrize("calls", [0, 1, 7, 24])
@pytest.mark.parametrize("place", [0, 1])
def test_an_interrupted_evaluation_asks_for_the_missing_lists_only(folder: Path, place: int, calls: int) -> None:
    stopped = systems()
    stopped[place] = Scripted(stopped[place].name, after(stopped[place].script, calls, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        evaluated(folder, stopped)
    again = systems()
    found = evaluated(folder, again)
    known = place * 25 + calls
    assert [user for system in again for user in system.asked] == (USERS * 2)[known:]
    assert all(system.prepared == system.asked for system in again)
    assert timeless(found) == timeless(evaluated(None))
    assert len(keys(folder)) == len(set(keys(folder))) == 50


def test_an_interrupted_model_goes_on_where_it_was(
    folder: Path, fake: FakeEngine, make_recommender: Callable[..., Recommender], store: SummaryStore
) -> None:
    store.margins.limit = 0  # as `evaluate` has it

    def model() -> BundleSystem:
        return BundleSystem("m", make_recommender(Settings(strategy="none")))

    def stop(text: str) -> float:
        if len(fake.scored) >= 9 * 5:
            raise KeyboardInterrupt
        return len(text) % 7

    fake.margin = stop
    with pytest.raises(KeyboardInterrupt):
        evaluated(folder, [model()])
    fake.margin = lambda text: len(text) % 7
    fake.scored.clear()
    found = evaluated(folder, [model()])
    assert len(fake.scored) == (25 - 9 + 1) * 5
    assert timeless(found) == timeless(evaluated(None, [model()]))


@pytest.mark.parametrize("lost", [1, 2, 40, -1])
def test_a_last_line_that_was_cut_is_done_again(finished: Path, lost: int) -> None:
    whole = (finished / LINES).read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    (finished / LINES).write_bytes(whole[: -(lost if lost > 0 else last - 1)])
    again = systems()
    found = evaluated(finished, again)
    assert [system.asked for system in again] == [[], ["u24"]]
    assert timeless(found) == timeless(evaluated(None))
    assert keys(finished) == [(name, number) for name in "ab" for number in range(10, 35)]


def test_a_list_that_failed_for_want_of_room_is_asked_again_and_one_that_cannot_be_ranked_is_not(folder: Path) -> None:
    def system(error: TrsrError | None) -> Scripted:
        script = failing(noisy(1), DataError("too long"), ["u8"])
        return Scripted("s", failing(script, error, ["u3"]) if error else script)

    first = evaluated(folder, [system(TrsrError("no space left"))])
    assert first.systems["s"]["failed"] == 2
    found = evaluated(folder, [again := system(None)])
    assert (again.asked, found.systems["s"]["failed"]) == (["u3"], 1)
    assert timeless(found) == timeless(evaluated(None, [system(None)]))


def test_an_evaluation_that_was_stopped_before_its_first_answer_starts(finished: Path) -> None:
    (finished / LINES).unlink()
    assert timeless(evaluated(finished)) == timeless(evaluated(None))
    (finished / HEAD).rename(files.beside(finished / HEAD))  # as it is for a moment while it is written
    (finished / LINES).unlink()
    assert timeless(evaluated(finished)) == timeless(evaluated(None))


def test_the_order_of_lists_and_systems_is_no_other_evaluation(finished: Path) -> None:
    made, again = lists(25), systems()
    turned = EvalLists(dict(reversed(made.examples.items())), made.items, made.counts, made.facts)
    found = evaluated(finished, again[::-1], turned)
    assert not any(system.asked for system in again)
    assert found.to_dict()["systems"]["a"]["recall@3"] == evaluated(None).systems["a"]["recall@3"]


# Folders that hold something else


def changed(made: EvalLists, change: Callable[[Example], Example]) -> EvalLists:
    """One list of the same number is another."""
    return replace(made, examples={**made.examples, 20: change(made.examples[20])})


CHANGES: dict[str, Callable[[Example], Example]] = {
    "other candidates": lambda one: replace(one, candidates=(*one.candidates[:-1], item("another"))),
    "candidates in another order": lambda one: replace(one, candidates=one.candidates[::-1]),
    "another text": lambda one: replace(one, candidates=(item(one.candidates[0].id, "new"), *one.candidates[1:])),
    "other labels": lambda one: replace(one, labels=(*one.labels[1:], one.labels[0])),
    "another history": lambda one: replace(one, history=one.history[1:]),
    "another user": lambda one: replace(one, user_id="nobody"),
}


def others() -> dict[str, tuple[EvalLists, list[Any], str]]:
    made = lists(25)
    return {
        **{
            name: (replace(made, facts=facts), systems(), "data differs")
            for name, facts in {
                "other files": {"files": {"items.jsonl": "b2:1"}},
                "another split": {"options": {"validation": 0.2}},
            }.items()
        },
        "fewer lists": (lists(24), systems(), "numbers differs"),
        **{name: (changed(made, change), systems(), "examples differs") for name, change in CHANGES.items()},
        "a changed system": (made, [Scripted("a", noisy(1), weights="new"), systems()[1]], "a is another system"),
        "a new name and a changed system": (
            made,
            [Scripted("c", noisy(3)), Scripted("a", noisy(1), weights="new")],
            "a is another system",
        ),
    }


@pytest.mark.parametrize("kind", others())
def test_another_evaluation_is_named_and_left_alone(finished: Path, kind: str) -> None:
    made, these, what = others()[kind]
    before = content(finished)
    with pytest.raises(SettingsError) as caught:
        evaluated(finished, these, made)
    assert str(caught.value) == f"{finished}: holds another evaluation: its {what}"
    assert "--force" in str(caught.value.hint)
    assert content(finished) == before
    assert not any(system.asked for system in these)


def test_other_systems_are_added_and_asked_alone(finished: Path) -> None:
    """In any order, and without those that are there: a comparison is what was asked of it."""
    before = content(finished)[LINES]
    asked = [Scripted("c", noisy(3)), systems()[1]]
    found = evaluated(finished, asked)
    assert [system.asked for system in asked] == [USERS, []]
    assert list(found.systems) == ["c", "b"]
    alone = evaluated(None, [Scripted("c", noisy(3)), systems()[1]])
    assert timeless(found) == timeless(alone)
    assert content(finished)[LINES].startswith(before)
    everything = [*systems(), Scripted("c", noisy(3))]
    evaluated(finished, everything)
    assert not any(system.asked for system in everything)


def test_a_system_that_was_left_out_since_is_still_known(finished: Path) -> None:
    evaluated(finished, [Scripted("c", noisy(3))])
    with pytest.raises(SettingsError, match="its a is another system"):
        evaluated(finished, [Scripted("a", noisy(1), weights="new")])


@pytest.mark.parametrize("kind", others())
def test_force_replaces_an_evaluation(finished: Path, kind: str) -> None:
    made, these, _ = others()[kind]
    found = evaluated(finished, these, made, force=True)
    assert {name for name, _ in keys(finished)} == {system.name for system in these}
    assert len(keys(finished)) == len(these) * len(made.examples)
    assert timeless(found) == timeless(evaluated(None, others()[kind][1], made))


def test_force_does_the_same_evaluation_again(finished: Path) -> None:
    again = systems()
    evaluated(finished, again, force=True)
    assert [system.asked for system in again] == [USERS, USERS]


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_evaluation_is_left_alone(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / LINES).write_text("{}\n")
    before = content(tmp_path)
    with pytest.raises(SettingsError, match="is not an evaluation"):
        evaluated(tmp_path, force=force)
    assert content(tmp_path) == before


def test_an_empty_folder_is_used_with_nothing_beside_it(tmp_path: Path) -> None:
    """Beside the root of a volume nothing can be written, and no name is longer than 255 bytes."""
    folder = tmp_path / ("x" * 255)
    folder.mkdir()
    evaluated(folder)
    assert len(keys(folder)) == 50
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"])
def test_a_head_that_cannot_be_read_is_named(finished: Path, text: str) -> None:
    (finished / HEAD).write_bytes(text.encode("latin-1"))
    before = content(finished)
    with pytest.raises(SettingsError) as caught:
        evaluated(finished)
    assert str(caught.value).startswith(f"{finished / HEAD}: cannot be read")
    assert content(finished) == before


@pytest.mark.parametrize("line", ["{", "[]", '{"system": "a"}', '{"system": "a", "planet": 3}', ""])
def test_a_broken_line_in_the_middle_is_named(finished: Path, line: str) -> None:
    lines = (finished / LINES).read_text().splitlines()
    (finished / LINES).write_text("\n".join([*lines[:4], line, *lines[5:]]) + "\n")
    with pytest.raises(SettingsError) as caught:
        evaluated(finished)
    assert str(caught.value).startswith(f"{finished / LINES}:5: cannot be read")


# Disks


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(TrsrError, match=r"is a file, not a folder|cannot be written"):
            evaluated(place)
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize("name", [files.beside(Path(HEAD)).name, LINES])
def test_a_folder_that_cannot_be_written_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plain = Path.open

    def refuse(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if self.name == name and set(mode) & set("wa"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return plain(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TrsrError) as caught:
        evaluated(folder)
    assert str(caught.value) == f"{folder / name}: cannot be written: Permission denied"
    assert caught.value.hint == "name another place"


class Disk(io.FileIO):
    """A file on a disk that becomes full: what still fits is written, as of a real one."""

    def __init__(self, path: Path, room: int, number: int) -> None:
        super().__init__(path, "ab")
        self.room, self.number = room, number

    def write(self, data: Any) -> int:
        if self.room <= 0:
            raise OSError(self.number, os.strerror(self.number))
        written = super().write(bytes(data)[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize(
    ("room", "number"),
    [*((room, errno.ENOSPC) for room in (0, 1, 1500, 4000)), (1, errno.EROFS)],
)
def test_a_full_disk_ends_the_evaluation_and_keeps_what_it_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch, room: int, number: int
) -> None:
    plain = Path.open

    def opened(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if self.name == LINES and "a" in mode:
            return io.BufferedWriter(Disk(self, room, number))
        return plain(self, mode, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(TrsrError) as caught:
            evaluated(folder)
    assert str(caught.value) == f"{folder / LINES}: cannot be written: {os.strerror(number)}"
    assert ("make room" in str(caught.value.hint)) == (number == errno.ENOSPC)
    whole = (folder / LINES).read_bytes().count(b"\n")
    assert (whole > 0) == (room > 1000)
    again = systems()
    found = evaluated(folder, again)
    assert [user for system in again for user in system.asked] == (USERS * 2)[whole:]
    assert timeless(found) == timeless(evaluated(None))


def test_another_seed_of_chance_is_another_evaluation(folder: Path) -> None:
    evaluated(folder, [BaselineSystem("random", Materials((), seed=0))])
    with pytest.raises(SettingsError, match="its random is another system"):
        evaluated(folder, [BaselineSystem("random", Materials((), seed=1))])


def test_scores_that_are_no_numbers_are_the_same_after_a_stop(folder: Path) -> None:
    def these() -> list[Scripted]:
        return [Scripted("s", lambda one: np.array(one.labels) / (one.user_id != "u4"))]

    with np.errstate(all="ignore"):
        first = evaluated(folder, these())
        assert timeless(evaluated(folder, these())) == timeless(first)
    assert first.systems["s"]["failed"] == 1


def test_texts_with_line_ends_stay_on_their_line(folder: Path) -> None:
    names = ["a\nb", "c\r", "d\u2028e\x85"]
    made = of([example(name, [1, 0]) for name in names])
    for _ in range(2):
        found = evaluated(folder, [Scripted("s", lambda _: [1, 0])], made)
        assert [outcome.user_id for outcome in found.outcomes["s"]] == names
    assert (folder / LINES).read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("change", [{"schema": 1}, {"schema": 1, "examples": None}, {"schema": 3}, {"schema": None}])
def test_an_evaluation_of_another_version_is_refused_and_says_what_to_do(
    finished: Path, change: dict[str, Any]
) -> None:
    head = json.loads((finished / HEAD).read_text()) | change
    (finished / HEAD).write_text(json.dumps({key: value for key, value in head.items() if value is not None}))
    with pytest.raises(SettingsError) as caught:
        evaluated(finished)
    assert str(caught.value) == f"{finished}: holds an evaluation of another version of trsr-lite"
    assert "--force" in str(caught.value.hint)
    assert not timeless(evaluated(finished, force=True))["notes"][1:]
