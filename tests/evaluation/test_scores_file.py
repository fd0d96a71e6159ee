"""A file of scores as a system: it ranks what it says, and what it does not say fails and is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scripted import example, of
from trsr_lite.errors import DataError
from trsr_lite.evaluation.evaluate import rank_lists
from trsr_lite.evaluation.open_systems import scored
from trsr_lite.evaluation.scores_file import ScoresFileSystem


def write(folder: Path, *lines: Any, name: str = "sasrec.jsonl") -> str:
    (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(folder / name)


def line(user_id: str, *values: float, more: dict[str, float] | None = None) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "scores": {f"{user_id}-{index}": value for index, value in enumerate(values)} | (more or {}),
    }


def test_the_candidates_are_ranked_as_the_file_says(tmp_path: Path) -> None:
    path = write(tmp_path, line("b", 9, 1, 5), line("a", 1, 2, 3, more={"another": 7}))
    system = ScoresFileSystem("sasrec", path)
    assert system.answer(example("a", [0, 0, 1])).scores.tolist() == [1, 2, 3]
    assert system.answer(example("b", [0, 0, 1])).scores.tolist() == [9, 1, 5]


def test_of_a_users_lines_the_one_of_these_candidates_counts(tmp_path: Path) -> None:
    path = write(tmp_path, line("a", 1, 2, more={"x": 0}), line("a", 4, 3))
    assert ScoresFileSystem("s", path).answer(example("a", [1, 0])).scores.tolist() == [4, 3]


def test_the_same_line_again_is_one_line(tmp_path: Path) -> None:
    """A user may be shown the same candidates twice."""
    path = write(tmp_path, line("a", 2, 1), line("b", 1, 2), line("a", 2.0, 1.0))
    made = of([example(name, [1, 0]) for name in "aba"])
    found = rank_lists(made, [ScoresFileSystem("s", path)])
    assert [outcome.scores for outcome in found.outcomes["s"]] == [(2, 1), (1, 2), (2, 1)]


def test_lists_that_the_file_does_not_answer_are_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path, line("a", 2, 1), line("b", 2), line("c", 1, 2, more={"x": 0}), line("c", 1, 2, more={"y": 0})
    )
    made = of([example(name, [1, 0]) for name in "abcd"])
    found = rank_lists(made, [ScoresFileSystem("s", path)])
    assert [outcome.error for outcome in found.outcomes["s"]] == [
        None,
        "no scores: candidate 'b-1' is missing",
        "no scores: several lines of this user have all candidates, and none has these alone",
        "no scores: the file does not have this user",
    ]
    assert found.systems["s"]["failed"] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"user_id": "a"}', r"s\.jsonl:1: must be an object with"),
        ('{"user_id": "a", "scores": [1]}', r"s\.jsonl:1: must be an object with"),
        ("[1]", r"s\.jsonl:1: must be an object with"),
        ('{"user_id": true, "scores": {}}', r"s\.jsonl:1: must be an object with"),
        ('{"user_id": "a", "scores": {"x": "1"}}', r"s\.jsonl:1\.scores\.x: '1' is not a finite number"),
        ('{"user_id": "a", "scores": {"x": true}}', r"s\.jsonl:1\.scores\.x: True is not a finite number"),
        ('{"user_id": "a", "scores": {"x": 1e999}}', r"s\.jsonl:1"),
        ('{"user_id": "a", "scores": {"x": 1}}\n{"user_id": "a", "scores": {"x": 2}}', r"s\.jsonl:2: a second line"),
        ("", r"s\.jsonl: is empty"),
        ("{", r"s\.jsonl:1: column"),
    ],
)
def test_a_file_that_cannot_be_used_names_the_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        ScoresFileSystem("s", str(tmp_path / "s.jsonl"))


def test_other_scores_are_another_system_and_another_order_is_not(tmp_path: Path) -> None:
    one = ScoresFileSystem("s", write(tmp_path, line("a", 1, 2), line("b", 1)))
    turned = ScoresFileSystem("s", write(tmp_path, line("b", 1), line("a", 1, 2), name="turned.jsonl"))
    other = ScoresFileSystem("s", write(tmp_path, line("a", 1, 3), line("b", 1), name="other.jsonl"))
    assert one.identity == turned.identity != other.identity


def test_files_are_called_by_their_names_where_those_are_free(tmp_path: Path) -> None:
    paths = [write(tmp_path, line("a", 1), name=name) for name in ("sasrec.jsonl", "tfidf.jsonl")]
    assert [system.name for system in scored(paths, ["tfidf"])] == ["sasrec", paths[1]]
