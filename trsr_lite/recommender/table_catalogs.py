"""A catalog made of a table or an export at its first use, and kept for the next.

Invariant: a catalog that is kept is of exactly the file as it is now, and of these columns; one of an earlier state is
removed when its successor is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from trsr_lite.catalog.catalog import Catalog
from trsr_lite.errors import DataError
from trsr_lite.imports import collect, generic, registry
from trsr_lite.imports.format import Reading
from trsr_lite.imports.source import Source, opened
from trsr_lite.io import files, folders
from trsr_lite.io.notes import Notes
from trsr_lite.results import OnProgress, Progress

FOLDER = "catalogs"
MAGIC = b"SQLite format 3\x00"
STEP = 2000  # items between two reports of progress


def catalog_of(
    path: str | Path,
    *,
    cache_dir: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    progress: OnProgress | None = None,
) -> Path:
    """The catalog at `path`; or where it is a table or an export, the catalog of its items, which is made if need be.

    Raises `DataError` where the file is neither, or has no items.
    """
    source = Path(path)
    try:
        with source.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC or source.stat().st_size == 0:
                return source
        facts = source.stat()
    except (OSError, ValueError):
        return source  # what is wrong with it, the catalog says
    place = _digest(str(source.resolve()))
    state = _digest(orjson.dumps([facts.st_size, facts.st_mtime_ns, sorted((columns or {}).items())]).decode())
    folder = folders.cache(cache_dir) / FOLDER
    target = folder / f"{place}-{state}.catalog"
    if not target.is_file():
        with files.granted(folder, "written"):
            folder.mkdir(parents=True, exist_ok=True)
            _make(source, target, columns, progress)
            for old in folder.glob(f"{place}-*.catalog"):
                if old != target:
                    with contextlib.suppress(OSError):  # another process reads it, on a system that minds
                        old.unlink()
    return target


def _make(source: Path, target: Path, columns: Mapping[str, str] | None, progress: OnProgress | None) -> None:
    notes = Notes()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".items-") as folder:
        whole = Path(folder) / "items.jsonl"
        with opened(source) as opened_source, whole.open("wb") as file:
            for line in _lines(opened_source, columns, notes, progress):
                file.write(line)
        if whole.stat().st_size == 0:
            raise DataError(f"{source}: nothing in it can be used")
        rejects = Path(folder) / "rejects.jsonl"
        Catalog.build(whole, target, rejects=rejects, force=True, progress=progress).close()
    for note in notes.found.values():
        note.places = [one for one in note.places if one != str(source)]
    notes.tell(source)


def _lines(
    source: Source, columns: Mapping[str, str] | None, notes: Notes, progress: OnProgress | None
) -> Iterator[bytes]:
    one = generic.FORMAT if columns else registry.guess(source)
    if one is not generic.FORMAT:
        notes.say(f"read as {one.program}")
    entries = one.read(source, Reading(columns=columns or {}, notes=notes))
    for number, item in enumerate(collect.items(entries, notes)):
        if progress and number % STEP == 0:
            progress(Progress("read items", source.fraction))
        yield orjson.dumps(item) + b"\n"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
