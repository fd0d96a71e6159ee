"""The folder in which a bundle is made: steps that are done stay done, and the bundle appears with one rename.

Invariant: a file that bears its final name is whole; what an interrupted step left is made again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError

from trsr_lite.bundle import MANIFEST
from trsr_lite.errors import ModelError, SettingsError, TrsrError

MARKS = "steps.json"
WHOLE, REPLACED = "bundle", "replaced"  # what `finish` moves, on its way
AGAIN = "finished steps are kept: make room, then run the same command again"


def check(target: Path, *, force: bool) -> None:
    """Raise `SettingsError` where a bundle must not be made at `target`."""
    if target.exists() and not force:
        raise SettingsError(f"{target}: already exists", hint="replace it with `--force`, or name another folder")
    if target.exists() and not (target / MANIFEST).is_file():
        raise SettingsError(f"{target}: is not a bundle, so `--force` does not delete it", hint="name another folder")


class Staging:
    """Beside `target`, named after it; `inputs` is everything the result depends on."""

    def __init__(self, target: Path, inputs: Mapping[str, Any], *, force: bool) -> None:
        self.target = target
        self.folder = target.parent / f".{target.name}.convert"
        self._undo_finish()
        check(target, force=force)
        inputs = orjson.loads(orjson.dumps(inputs))
        self._marks = self._read()
        if self._marks.get("inputs") != inputs:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._marks = {"inputs": inputs, "steps": {}}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise TrsrError(f"{self.folder}: cannot be written: {error.strerror}") from error

    @property
    def seconds(self) -> dict[str, float]:
        """Step -> what it took."""
        return {name: step["seconds"] for name, step in self._marks["steps"].items()}

    def require(self, size: int) -> None:
        """Raise `TrsrError` unless `size` more bytes fit."""
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise TrsrError(
                f"{self.folder.parent}: converting needs {size >> 20:,} MiB for a while; {free >> 20:,} MiB are free",
                hint="make room, or convert on another disk with `--output`",
            )

    def step(self, name: str, make: Callable[[Path], Any], result: str | None = None) -> Any:
        """Do a step once: `make` writes to the path it is given, which is renamed to `result` when it returns.

        Returns what `make` returned, which must be plain JSON values, also when the step was done earlier.
        """
        if name in self._marks["steps"] and (result is None or (self.folder / result).exists()):
            return self._marks["steps"][name]["value"]
        start = time.perf_counter()
        place = self.folder / f"making-{result or name}"
        remove(place)
        try:
            value = make(place)
            if result:
                remove(self.folder / result)
                place.rename(self.folder / result)
        except OSError as error:
            raise TrsrError(f"step {name}: {error.filename or place}: {error.strerror or error}", hint=AGAIN) from error
        except SafetensorError as error:  # no OSError, also where the disk is full
            raise TrsrError(f"step {name}: {place}: cannot be written: {error}", hint=AGAIN) from error
        self._marks["steps"][name] = {"seconds": round(time.perf_counter() - start, 2), "value": value}
        self._write()
        return value

    def finish(self, names: list[str]) -> None:
        """Move the named files into the target, and forget the rest."""
        place = self.folder / WHOLE
        remove(place)
        try:
            place.mkdir()
            for name in names:
                (self.folder / name).rename(place / name)
            if self.target.exists():
                self.target.rename(self.folder / REPLACED)
            place.rename(self.target)
        except OSError as error:
            self._undo_finish()
            raise TrsrError(f"{self.target}: cannot be written: {error.strerror or error}") from error
        shutil.rmtree(self.folder)

    def _undo_finish(self) -> None:
        """Bring back what `finish` had moved when it was interrupted."""
        if (self.folder / REPLACED).is_dir() and not self.target.exists():
            (self.folder / REPLACED).rename(self.target)
        for path in (self.folder / WHOLE).glob("*"):
            path.rename(self.folder / path.name)

    def _read(self) -> dict[str, Any]:
        try:
            marks: dict[str, Any] = orjson.loads((self.folder / MARKS).read_bytes())
        except FileNotFoundError:
            return {}
        except orjson.JSONDecodeError as error:
            raise ModelError(f"{self.folder / MARKS}: cannot be read: {error}", hint=f"delete {self.folder}") from error
        return marks

    def _write(self) -> None:
        beside = self.folder / f".{MARKS}"
        beside.write_bytes(orjson.dumps(self._marks, option=orjson.OPT_INDENT_2))
        beside.replace(self.folder / MARKS)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
