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

from trsr_lite.errors import ModelError, SettingsError, TrsrError

MARKS = "steps.json"


class Staging:
    """Beside `target`, named after it; `inputs` is everything the result depends on."""

    def __init__(self, target: Path, inputs: Mapping[str, Any], *, force: bool) -> None:
        if target.exists() and not force:
            raise SettingsError(f"{target}: already exists", hint="replace it with `--force`, or name another folder")
        if target.exists() and not (target / "manifest.json").is_file():
            raise SettingsError(
                f"{target}: is not a bundle, so `--force` does not delete it", hint="name another folder"
            )
        self.target = target
        self.folder = target.parent / f".{target.name}.convert"
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
        _remove(place)
        try:
            value = make(place)
            if result:
                _remove(self.folder / result)
                place.rename(self.folder / result)
        except OSError as error:
            raise TrsrError(
                f"step {name}: {error.filename or place}: {error.strerror or error}",
                hint="finished steps are kept: make room, then run the same command again",
            ) from error
        self._marks["steps"][name] = {"seconds": round(time.perf_counter() - start, 2), "value": value}
        self._write()
        return value

    def finish(self, names: list[str]) -> None:
        """Move the named files into the target, and forget the rest."""
        place = self.folder / "bundle"
        _remove(place)
        place.mkdir()
        for name in names:
            (self.folder / name).rename(place / name)
        if self.target.exists():
            self.target.rename(self.folder / "replaced")
        place.rename(self.target)
        shutil.rmtree(self.folder)

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


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
