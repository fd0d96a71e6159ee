"""The folder in which a bundle is made: steps that are done stay done, and the bundle appears with one rename.

Invariant: a file that bears its final name is whole; what an interrupted step left is made again. One conversion at a
time works in a folder.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.errors import ModelError, TrsrError
from trsr_lite.io import files, lock
from trsr_lite.models import bundle_folder

KIND = "convert"
MARKS = "steps.json"
WHOLE, REPLACED = "bundle", "replaced"  # what `finish` moves, on its way
AGAIN = "finished steps are kept: make room, then run the same command again"


def alone(target: Path) -> AbstractContextManager[None]:
    """Within this block no other conversion makes `target`; raises `SettingsError` where one does."""
    return lock.alone(target, KIND, "another conversion is making it")


def beside(target: Path) -> Path:
    """The staging folder of a bundle."""
    return lock.beside(target, KIND)


class Staging:
    """Beside `target`, named after it; `inputs` is everything that all steps depend on."""

    def __init__(self, target: Path, inputs: Mapping[str, Any], *, force: bool) -> None:
        self.target = target
        self.folder = beside(target)
        with files.checked(self.folder):
            self._undo_finish()
            bundle_folder.check(target, force=force)
            inputs = orjson.loads(orjson.dumps(inputs))
            self._marks = self._read()
            if self._marks.get("inputs") != inputs:
                self._clear()
                self._marks = {"inputs": inputs, "steps": {}}
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write()

    @property
    def seconds(self) -> dict[str, float]:
        """Step -> what it took."""
        return {name: step["seconds"] for name, step in self._marks["steps"].items()}

    def require(self, size: int) -> None:
        """Raise `TrsrError` unless there is room for `size` bytes in the folder, with what lies there already."""
        size -= sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise TrsrError(
                f"{self.folder.parent}: converting needs {size >> 20:,} MiB for a while; {free >> 20:,} MiB are free",
                hint="make room, or convert on another disk with `--output`",
            )

    def step(self, name: str, make: Callable[[Path], Any], result: str | None = None, *, of: Any = None) -> Any:
        """Do a step once: `make` writes to the path it is given, which is renamed to `result` when it returns.

        Returns what `make` returned, which must be plain JSON values, also when the step was done earlier: of the same
        inputs as all steps, and of what it alone depends on, in `of`.
        """
        done = self._marks["steps"].get(name)
        if done and done.get("of") == of and (result is None or (self.folder / result).exists()):
            return done["value"]
        start = time.perf_counter()
        place = self.folder / f"making-{result or name}"
        with files.checked(place, step=name, hint=AGAIN):
            remove(place)
            value = make(place)
            if result:
                remove(self.folder / result)
                place.rename(self.folder / result)
            seconds = round(time.perf_counter() - start, 2)
            self._marks["steps"][name] = {"seconds": seconds, "value": value, "of": of}
            self._write()
        return value

    def finish(self, names: list[str]) -> None:
        """Move the named files into the target, and forget the rest."""
        place = self.folder / WHOLE
        try:
            with files.checked(self.target, hint=AGAIN):
                remove(place)
                place.mkdir()
                for name in names:
                    (self.folder / name).rename(place / name)
                if self.target.exists():
                    remove(self.folder / REPLACED)  # of a run that was killed below: the target took its place
                    self.target.rename(self.folder / REPLACED)
                place.rename(self.target)
        except TrsrError:
            self._undo_finish()
            raise
        self._clear()

    def _clear(self) -> None:
        """Delete all but the lock; what cannot be deleted is in nobody's way."""
        for path in list(self.folder.glob("*")):
            if path.name != lock.LOCK:
                with contextlib.suppress(OSError):
                    remove(path)

    def _undo_finish(self) -> None:
        """Bring back what `finish` had moved when it was interrupted."""
        if (self.folder / REPLACED).is_dir() and not self.target.exists():
            (self.folder / REPLACED).rename(self.target)
        for path in list((self.folder / WHOLE).glob("*")):
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
        part = self.folder / f".{MARKS}"
        part.write_bytes(orjson.dumps(self._marks, option=orjson.OPT_INDENT_2))
        part.replace(self.folder / MARKS)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
