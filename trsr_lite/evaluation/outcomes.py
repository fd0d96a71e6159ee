"""Answers on disk: one line for each system and list, so that an evaluation can be stopped, continued, added to and
examined.

    evaluation.json   what was ranked: the data with their digests and paths, a digest of the lists, the systems
    outcomes.jsonl    one line for each system and list: scores, labels, seconds, or why there are none

Invariant: a line is whole or absent. A folder holds answers to the same lists only, and a name is one system. Lists are
known by their place in the data set, which no system and no order of work changes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.evaluation.lists import origin_of
from trsr_lite.evaluation.systems import Answer
from trsr_lite.io import files, lock
from trsr_lite.io.remote import RemotePath

SCHEMA = 2  # 1 had no digest of the lists: its answers may be to other candidates
HEAD, LINES = "evaluation.json", "outcomes.jsonl"
FOLDER = "studies"  # below an evaluation's own answers: those of each variant
_HINT = "replace it with `--force`, or name another folder"


@dataclass(frozen=True)
class ListOutcome:
    """One system's answer to one list.

    Attributes
    ----------
    system: its name.
    number: the list.
    user_id: whose list it is.
    ids, labels: the candidates, and 1 where one is the user's.
    scores: in order of the candidates; None where the system failed, and `error` says why.
    probabilities, label_mass, summary: as in `Answer`.
    seconds: what it took.
    model_parts: as in `Answer`.
    """

    system: str
    number: int
    user_id: str
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    scores: tuple[float, ...] | None
    probabilities: tuple[float, ...] | None = None
    label_mass: float | None = None
    summary: str | None = None
    seconds: float = 0.0
    error: str | None = None
    model_parts: tuple[float, ...] | None = None

    @classmethod
    def of(
        cls, system: str, number: int, example: Example, answer: Answer | None, seconds: float, error: str | None = None
    ) -> ListOutcome:
        """An answer, or the reason why there is none."""
        ids = tuple(item.id for item in example.candidates)
        scores = tuple(map(float, answer.scores)) if answer else None
        probabilities = None
        if answer and answer.probabilities is not None:
            probabilities = tuple(map(float, answer.probabilities))
        mass, summary = (answer.label_mass, answer.summary) if answer else (None, None)
        parts = None if answer is None or answer.model_parts is None else tuple(map(float, answer.model_parts))
        return cls(
            system,
            number,
            example.user_id,
            ids,
            example.labels,
            scores,
            probabilities,
            mass,
            summary,
            seconds,
            error,
            parts,
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ListOutcome:
        """What `vars` gave."""
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in data.items()}
        return cls(**values)


def held(folder: Path | None) -> AbstractContextManager[None]:
    """Within this block nobody else evaluates in the folder; raises `SettingsError` where someone does."""
    if folder is None:
        return contextlib.nullcontext()
    return lock.held(RemotePath(str(folder)), "another evaluation is at work there")


class Outcomes:
    """The outcomes of one evaluation: in a folder that this process has `held`, or in memory without one.

    A folder also keeps the answers of other systems to the same lists, from earlier evaluations.
    """

    def __init__(self, folder: Path | None, head: Mapping[str, Any], *, force: bool = False) -> None:
        self.folder = folder
        self._known: dict[tuple[str, int], ListOutcome] = {}
        self._file: Any = None
        if folder is not None:
            self._open(folder, orjson.loads(orjson.dumps({"schema": SCHEMA, **head})), force=force)

    def close(self) -> None:
        """Close the file; more than once is fine."""
        if self._file is not None:
            with self._writing() as file:
                file.close()
            self._file = None

    def get(self, system: str, number: int) -> ListOutcome | None:
        """A known outcome."""
        return self._known.get((system, number))

    def add(self, outcome: ListOutcome, *, lasts: bool = True) -> None:
        """Keep an outcome; on disk when this returns, unless it is one that need not last."""
        if self._file is not None and lasts:
            with self._writing() as file:
                file.write(orjson.dumps(vars(outcome)) + b"\n")
                file.flush()
        self._known[outcome.system, outcome.number] = outcome

    def of(self, system: str, numbers: Sequence[int]) -> list[ListOutcome]:
        """The outcomes of one system, in order of the numbers."""
        return [self._known[system, number] for number in sorted(numbers)]

    def _open(self, folder: Path, head: dict[str, Any], *, force: bool) -> None:
        path, lines = folder / HEAD, folder / LINES
        try:
            head = _with_known(folder, head, force=force)
            folder.mkdir(parents=True, exist_ok=True)
            if force:
                lines.unlink(missing_ok=True)
                shutil.rmtree(folder / FOLDER, ignore_errors=True)
            files.replace(path, orjson.dumps(head, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            for outcome in _read(lines):
                self._known[outcome.system, outcome.number] = outcome
            self._file = lines.open("ab")
        except OSError as error:
            line = f"{error.filename or folder}: cannot be written: {error.strerror}"
            raise TrsrError(line, hint=files.advice(error)) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Any]:
        """The file. Where it cannot be written, it is closed, and `_read` takes away a line that was begun."""
        file, folder = self._file, self.folder or Path()
        try:
            yield file
        except OSError as error:
            self._file = None
            with contextlib.suppress(OSError):  # it tries to write the rest of the line once more
                file.close()
            raise TrsrError(
                f"{folder / LINES}: cannot be written: {error.strerror}",
                hint=files.advice(error, f"what is there is kept: {files.ROOM}"),
            ) from error


def _with_known(folder: Path, head: dict[str, Any], *, force: bool) -> dict[str, Any]:
    """The head with the systems that the folder knows besides.

    Raises `SettingsError` where the folder holds anything but an evaluation of these lists, or another system of the
    same name. With `force`, only for a folder that holds no evaluation.
    """
    path = folder / HEAD
    if not path.exists():
        if folder.is_dir() and any(file not in (files.beside(path), folder / lock.LOCK) for file in folder.iterdir()):
            raise SettingsError(f"{folder}: is not an evaluation", hint="name another folder")
        return head
    if force:
        return head
    known = _object(path.read_bytes(), str(path))
    if known.get("schema") != SCHEMA:
        raise SettingsError(f"{folder}: holds an evaluation of another version of trsr-lite", hint=_HINT)
    before = _decisive({**known, "lists": _mapping(known.get("lists"), str(path))})
    for name, value in _decisive(head).items():
        if before[name] != value:
            raise SettingsError(f"{folder}: holds another evaluation: its {name} differs", hint=_HINT)
    systems = _mapping(known.get("systems"), str(path))
    for name, identity in head["systems"].items():
        if systems.get(name, identity) != identity:
            raise SettingsError(f"{folder}: holds another evaluation: its {name} is another system", hint=_HINT)
    return {**head, "systems": {**systems, **head["systems"]}}


def _decisive(head: Mapping[str, Any]) -> dict[str, Any]:
    """What answers depend on beside their system: not where the data lie, nor options that change no list."""
    return {"data": origin_of(head["lists"]), "numbers": head.get("numbers"), "examples": head.get("examples")}


def _read(path: Path) -> Iterator[ListOutcome]:
    """Whole lines. A last one that was cut short is taken away, so the next one starts on a line of its own."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], 1):
        data = _object(line, f"{path}:{number}")
        try:
            yield ListOutcome.from_dict(data)
        except TypeError as error:
            raise SettingsError(f"{path}:{number}: cannot be read: {error}", hint=_HINT) from error


def _object(text: bytes, where: str) -> dict[str, Any]:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"{where}: cannot be read: {error}", hint=_HINT) from error
    return _mapping(data, where)


def _mapping(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: cannot be read: it is no object", hint=_HINT)
    return data
