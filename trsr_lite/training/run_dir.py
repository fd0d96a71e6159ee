"""The run folder: what a run was asked, what it stands on, and what came out.

    run.json       configuration, data and base with their digests, versions; at the end, metrics
    lists.jsonl    the validation lists, for `convert` to verify the ranking on: texts of your data
    log.jsonl      one line for each step and each validation
    checkpoints/   the newest and the best, to continue from
    adapter/       what was trained (`model/` after `--full`)
    curves.png     the log as a picture, with the extra `plot`

Invariant: `run.json` exists from the first moment and always parses. `adapter/` exists only when it is whole and has
been read back.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson

from trsr_lite import __version__
from trsr_lite.errors import ModelError, SettingsError, TrsrError
from trsr_lite.io import files, lock
from trsr_lite.io.shape import Maybe, Whole, mismatch
from trsr_lite.options import make
from trsr_lite.training.train_options import TrainOptions, difference

RUN = "run.json"
LISTS = "lists.jsonl"
SCHEMA = 1
_DTYPES = ("float32", "bfloat16", "float16")
FINISHED = {
    "config": {"options": dict, "settings": dict, "data": dict},
    "base": {"name": str, "revision": Maybe(str), "digest": Maybe(str), "architecture": Maybe(str)},
    "data": {"files": dict, "cases": {"train": Whole()}, "domains": Maybe([str])},
    "versions": dict,
    "prompt_version": str,
    "dtype": str,
    "steps": Whole(),
    "best": dict,
}
"""What the record of a finished run must look like for conversion and evaluation."""
LEARNED_FROM = {"dataset": str, "negatives": str}  # and the data of a recommender; a summarizer's are pairs
ROOM = "finished checkpoints are kept: make room, then continue with `--resume`"


def open_run(folder: Path, config: Mapping[str, Any], *, resume: bool, force: bool) -> dict[str, Any]:
    """The record of a run to continue, or a new one; raises `SettingsError` rather than mixing two runs."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        _restore(folder)  # of a replacement that was killed between two steps
    exists = folder.is_dir() and any(folder.iterdir())
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder}: is a file, not a folder")
    if resume:
        record = read(folder, hint="start it without `--resume`")
        if wrong := _changed(config, record["config"]):
            raise SettingsError(f"{folder}: {wrong}", hint="repeat the run's own options, or choose another `--output`")
        return record
    if exists and not force:
        raise SettingsError(
            f"{folder}: already exists", hint="continue it with `--resume`, replace it with `--force`, or name another"
        )
    if exists and not (folder / RUN).is_file():
        raise SettingsError(f"{folder}: is not a run, so `--force` does not delete it", hint="name another folder")
    with files.checked(folder, hint=ROOM):
        if _replaced(folder).is_dir():  # the run before it never started: what it was to replace is kept still
            shutil.rmtree(folder)
        elif exists:
            folder.rename(_replaced(folder))
        folder.mkdir(parents=True, exist_ok=True)
        record = {"schema": SCHEMA, "status": "running", "config": dict(config)}
        write(folder, record)
    return record


def alone(folder: Path) -> AbstractContextManager[None]:
    """Within this block no other run works in a folder; raises `SettingsError` where one does."""
    return lock.alone(folder, "train", "another run is at work there")


@contextmanager
def starting(folder: Path, *, undo: bool) -> Iterator[Callable[[], None]]:
    """Gives what is called once the run has started: only then is the one that it replaces deleted.

    With `undo`, a run that cannot start within this block leaves nothing, and the old one comes back.
    """
    started = False

    def start() -> None:
        nonlocal started
        started = True
        shutil.rmtree(_replaced(folder), ignore_errors=True)

    try:
        yield start
    except TrsrError:
        if undo and not started:
            shutil.rmtree(folder, ignore_errors=True)
            _restore(folder)
        raise


def _replaced(folder: Path) -> Path:
    whole = folder.absolute()
    return whole.with_name(f".{whole.name}.replaced")


def _restore(folder: Path) -> None:
    """Put the run that was to be replaced back in its place, which is free or an empty folder."""
    if _replaced(folder).is_dir():
        if folder.is_dir():
            folder.rmdir()
        _replaced(folder).rename(folder)


def is_run(name: str) -> bool:
    """Whether this is the folder of a run."""
    with files.granted(name):
        return (Path(name) / RUN).is_file()


def read(folder: Path, *, hint: str = "name a folder that `trsr-lite train` made") -> dict[str, Any]:
    """The record of a run; raises `SettingsError`, with the hint where there is none."""
    try:
        record: dict[str, Any] = orjson.loads((folder / RUN).read_bytes())
    except FileNotFoundError:
        raise SettingsError(f"{folder}: not a run: it has no {RUN}", hint=hint) from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise SettingsError(f"{folder / RUN}: cannot be read: {error}") from error
    newer = mismatch(record, {"schema": Whole()}) is None and record["schema"] > SCHEMA
    if not newer and (fault := mismatch(record, {"schema": Whole(), "status": str, "config": dict})):
        raise SettingsError(f"{folder / RUN}: cannot be read: {fault}", hint="it was changed or is damaged")
    if newer:
        raise SettingsError(
            f"{folder}: made by a newer trsr-lite (schema {record['schema']})", hint="upgrade trsr-lite"
        )
    return record


def check_same(folder: Path, record: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Raise `SettingsError` where what a run stands on is no longer what it was."""
    now, then = ({name: part.get(name) for name in facts} for part in (facts, record))
    for name, value in orjson.loads(orjson.dumps(now)).items():
        before = then[name]
        if isinstance(value, dict) and isinstance(before, dict):  # of an older run, which knew less
            value = {key: one for key, one in value.items() if key in before}
        if before is not None and value != before:
            raise SettingsError(
                f"{folder}: its {name} is no longer what it was: {_first_difference(value, before)}",
                hint="bring it back, or start a new run with another `--output`",
            )


def finished(run: Path) -> tuple[dict[str, Any], TrainOptions]:
    """The record and the options of a run that has ended. Options that are newer have their defaults."""
    record = read(run)
    if record.get("status") != "finished":
        raise ModelError(f"{run}: is not finished", hint="continue it with `trsr-lite train --resume`")
    fault = mismatch(record, FINISHED)
    if fault is None and record["config"]["options"].get("role") != "summarizer":
        fault = mismatch(record["config"]["data"], LEARNED_FROM)
    if fault:
        raise SettingsError(f"{run / RUN}: cannot be read: {fault}", hint="it was changed or is damaged")
    if record["dtype"] not in _DTYPES:
        raise SettingsError(f"{run / RUN}: dtype is {record['dtype']!r}", hint=f"it is one of {', '.join(_DTYPES)}")
    names = {field.name for field in fields(TrainOptions)}
    values = {name: value for name, value in record["config"]["options"].items() if name in names}
    return record, make(TrainOptions, values)


def write(folder: Path, record: Mapping[str, Any]) -> None:
    """Replace the record, in one step."""
    files.replace(folder / RUN, orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _first_difference(now: Any, before: Any) -> str:
    if isinstance(now, dict) and isinstance(before, dict):
        for name in sorted({*now, *before}):
            if now.get(name) != before.get(name):
                return f"{name}: {_first_difference(now.get(name), before.get(name))}"
    return f"{now!r}, and was {before!r}"


def _changed(config: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """The first entry that is another, in words; part by part, because two parts have a seed.

    An option that is newer than the run had its default in it.
    """
    plain, newer = (orjson.loads(orjson.dumps(part)) for part in (config, asdict(TrainOptions())))
    before = {**before, "options": {**newer, **before.get("options", {})}}
    changes = (difference(plain[part], before.get(part, {})) for part in plain)
    return next(filter(None, changes), None)


def versions() -> dict[str, str]:
    """What a run was made with."""
    names = ("torch", "transformers", "peft", "accelerate", "tokenizers", "llama-cpp-python")
    return {
        "trsr-lite": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }
