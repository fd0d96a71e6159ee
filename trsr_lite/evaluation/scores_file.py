"""Scores of any other program for the same lists: a file of scores as a system.

    {"user_id": "u1", "scores": {"n9": 2.5, "n4": -1.0}}      one line for each list, or for each user

Invariant: a file is taken as it is: every number finite, no list answered in two ways. A list that it does not answer
whole fails, and is counted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError
from trsr_lite.evaluation.systems import Answer
from trsr_lite.io.documents import documents
from trsr_lite.results import OnProgress

Line = Mapping[str, float]


class ScoresFileSystem:
    """Scores read from `path` (JSON or JSON Lines; `-` is stdin)."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._lines = _read(path)
        content = orjson.dumps(self._lines, option=orjson.OPT_SORT_KEYS)
        self.identity = {"scores": f"b2:{hashlib.blake2b(content, digest_size=20).hexdigest()}"}

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        """Nothing."""
        return 0.0

    def answer(self, example: Example) -> Answer:
        """The scores of this list: the user's line of exactly these candidates, else the one line that has them all."""
        lines, wanted = self._lines.get(example.user_id, []), [item.id for item in example.candidates]
        whole = [line for line in lines if line.keys() >= set(wanted)]
        exact = [line for line in whole if len(line) == len(wanted)]
        found = exact or whole
        if len(found) != 1:
            raise DataError(f"no scores: {_why(lines, found, wanted)}")
        return Answer(np.array([found[0][name] for name in wanted], np.float64))

    def release(self) -> None:
        """Nothing."""


def _read(path: str) -> dict[str, list[Line]]:
    """User -> lines; raises `DataError` that names the line."""
    name, found = documents(path)
    lines: dict[str, list[Line]] = {}
    for where, data in found:
        user_id, scores = _line(data, where)
        before = lines.setdefault(user_id, [])
        same = next((line for line in before if line.keys() == scores.keys()), None)
        if same is None:
            before.append(scores)
        elif same != scores:  # a user may be shown the same list twice, but not with two different answers
            raise DataError(f"{where}: a second line of user {user_id!r} with these candidates and other scores")
    if not lines:
        raise DataError(f"{name}: is empty", hint='one object a line: "user_id" and "scores", numbers by candidate id')
    return lines


def _line(data: Any, where: str) -> tuple[str, Line]:
    user_id = data.get("user_id", "") if isinstance(data, Mapping) else None
    scores = data.get("scores") if isinstance(data, Mapping) else None
    if isinstance(user_id, bool) or not isinstance(user_id, (str, int)) or not isinstance(scores, Mapping):
        raise DataError(f'{where}: must be an object with "user_id" and "scores", an object of numbers by candidate id')
    for name, value in scores.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise DataError(f"{where}.scores.{name}: {value!r} is not a finite number")
    return str(user_id), {str(name): float(value) for name, value in scores.items()}


def _why(lines: Sequence[Line], found: Sequence[Line], wanted: Sequence[str]) -> str:
    if not lines:
        return "the file does not have this user"
    if found:
        return "several lines of this user have all candidates, and none has these alone"
    most = max(lines, key=lambda line: len(line.keys() & set(wanted)))
    missing = next(name for name in wanted if name not in most)
    return f"candidate {missing!r} is missing"
