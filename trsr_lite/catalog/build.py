"""Building a catalog, adding to it and taking from it.

Invariant: a change is there as a whole or not at all, whenever the process ends: a new catalog appears with one rename,
and a change to an old one is one transaction. Memory does not grow with the items.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trsr_lite.catalog import database, rows
from trsr_lite.catalog import interactions as users
from trsr_lite.catalog.rejects import Rejects, beside
from trsr_lite.catalog.rows import CatalogRow
from trsr_lite.catalog.writer import Changes, Writer
from trsr_lite.errors import DataError, SettingsError, StoreError
from trsr_lite.io import files
from trsr_lite.io.notes import Notes
from trsr_lite.records import Item
from trsr_lite.results import OnProgress, Progress

TOGETHER = 2000  # items put in at once
SUFFIX = ".catalog"
BUILDING = ("building", "whole")  # what files are called on their way


@dataclass(frozen=True)
class CatalogChange:
    """What a change did, in items.

    Attributes
    ----------
    new: items that came for the first time.
    replaced: items that got another text.
    same: items that were there already.
    removed: items that were taken out.
    repeated: those of `replaced` whose earlier text came in the same reading.
    users: users whose interactions were counted.
    unknown: different items of theirs that the catalog has not.
    rejected: rows that cannot be used.
    rejects: where they are kept, with those whose id came before with another text; None where there are none.
    notes: what was left out of rows that count, or was read otherwise than it looks, a line each.
    """

    new: int = 0
    replaced: int = 0
    same: int = 0
    removed: int = 0
    repeated: int = 0
    users: int = 0
    unknown: int = 0
    rejected: int = 0
    rejects: Path | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rejects = str(self.rejects) if self.rejects else None
        return {**vars(self), "rejects": rejects, "notes": list(self.notes)}


def build(
    sources: Sequence[str | Path],
    path: str | Path,
    *,
    interactions: str | Path | None = None,
    rejects: str | Path | None = None,
    strict: bool = False,
    force: bool = False,
    progress: OnProgress | None = None,
) -> CatalogChange:
    """A new catalog at `path` of the items in all sources (`.jsonl`, `.ndjson`, `.csv`, `.parquet`; `-` is stdin).

    Bad rows go to `rejects` (default: `<path>.rejects.jsonl`, with a number where that is taken); `strict` makes the
    first an error. Of rows with one id the last counts. `interactions` is a file of what users had (see
    `catalog.interactions`). What is popular, and what users of the same items had, is then found too. Raises
    `SettingsError` where `path` or `rejects` exists and `force` is not set. Raises `DataError` where no item can be
    used, and `StoreError` where the file cannot be written.
    """
    target = Path(path)
    with _written(target):
        if target.is_dir() or (target.exists() and not force):
            hint = "add to it with `trsr-lite catalog add`, or replace it with `--force`"
            raise SettingsError(f"{target}: already exists", hint="name a file" if target.is_dir() else hint)
        if not target.parent.is_dir():
            raise StoreError(f"{target.parent}: there is no such folder", hint=f"mkdir -p {target.parent}")
        _forget_stopped(target)
    place, whole = (target.with_name(f".{target.name}.{os.getpid()}.{name}") for name in BUILDING)
    try:
        with _rejecting(target, rejects, sources, strict=strict, force=force) as rejected:
            with contextlib.closing(database.create(place)) as connection, database.mapped(target):
                writer = Writer(connection, fresh=True)
                connection.execute("BEGIN")
                notes = _put_all(writer, sources, rejected, progress)
                if not writer.changes.new:
                    raise _empty(sources, rejected)
                writer.finish()
                notes += _count(writer, interactions)
                connection.execute("COMMIT")
                connection.execute("VACUUM INTO ?", (str(whole),))  # a sixth less: merging has left free pages
            _sync(whole, target)
            with database.settled(target):
                _commit(whole, target)
    finally:
        for left in (place, whole):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
    return _outcome(writer, rejected, notes)


def add(
    sources: Sequence[str | Path],
    path: str | Path,
    *,
    interactions: str | Path | None = None,
    rejects: str | Path | None = None,
    strict: bool = False,
    force: bool = False,
    progress: OnProgress | None = None,
) -> CatalogChange:
    """Put the items of all sources into the catalog at `path`; an id that is known gets its new text.

    `interactions` are counted in place of those that were counted before; with them, `sources` may be empty. `force` is
    for a file of `rejects` that exists. Raises as `build` does; then the catalog is as it was.
    """
    target = Path(path)
    with _changing(target) as writer, _rejecting(target, rejects, sources, strict=strict, force=force) as rejected:
        notes = _put_all(writer, sources, rejected, progress)
        if writer.changes == Changes() and (sources or interactions is None):
            raise _empty(sources, rejected)
        notes += _count(writer, interactions)
    return _outcome(writer, rejected, notes)


def remove(ids: Iterable[str], path: str | Path, *, missing_ok: bool = False) -> CatalogChange:
    """Take items out of the catalog at `path`; raises `DataError` for an unknown id unless `missing_ok`."""
    with _changing(Path(path)) as writer:
        for chunk in _chunks(dict.fromkeys(ids)):
            missing = writer.remove(chunk)
            if missing and not missing_ok:
                raise DataError(
                    f"{path}: no item has the id {missing[0]!r}; nothing was removed",
                    hint="leave unknown ids out with `--missing-ok`",
                )
    return CatalogChange(**vars(writer.changes))


def items(
    sources: Sequence[str | Path], rejects: Rejects, progress: OnProgress | None = None, notes: Notes | None = None
) -> Iterator[Item]:
    """The items of all sources in turn; bad rows go to `rejects`."""
    return (item for _, item in _usable(sources, rejects, progress, Notes() if notes is None else notes))


def _usable(
    sources: Sequence[str | Path], rejects: Rejects, progress: OnProgress | None, notes: Notes
) -> Iterator[tuple[CatalogRow, Item]]:
    for number, source in enumerate(sources):
        for count, row in enumerate(rows.read(source, notes)):
            if progress and count % TOGETHER == 0:
                progress(Progress("read items", (number + row.fraction) / len(sources)))
            if row.item is None:
                rejects.add(row, _fault(row))
            else:
                yield row, row.item


def _fault(row: CatalogRow) -> DataError:
    return row.fault or DataError(f"{row.where}: cannot be used")


def _put_all(
    writer: Writer, sources: Sequence[str | Path], rejects: Rejects, progress: OnProgress | None
) -> tuple[str, ...]:
    """Put in all that can be used; returns what was noted on the way."""
    notes = Notes()
    for source in sources:
        rows.reader_of(source)  # a file of another kind is said before hours are spent on the first
    for chunk in _chunks(_usable(sources, rejects, progress, notes)):
        for place in writer.put([item for _, item in chunk]):
            row, item = chunk[place]
            rejects.list(row, f"the id {item.id!r} came before with another text; the last counts")
    return tuple(notes.lines())


def _count(writer: Writer, interactions: str | Path | None) -> tuple[str, ...]:
    """Count the users of a file; returns what was noted on the way."""
    if interactions is None:
        return ()
    notes = Notes()
    writer.count(users.read(interactions, notes))
    if not writer.changes.users:
        raise DataError(
            f"{interactions}: no user had an item of this catalog", hint="its `item_id` are the ids of the items"
        )
    return tuple(notes.lines())


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    values = iter(values)
    while chunk := list(itertools.islice(values, TOGETHER)):
        yield chunk


@contextlib.contextmanager
def _changing(target: Path) -> Iterator[Writer]:
    """A writer on an existing catalog; what it did lasts if the block ends well."""
    before = database.identity(target)
    with contextlib.closing(database.connect(target, write=True)) as connection, database.mapped(target):
        connection.execute("BEGIN IMMEDIATE")
        if database.identity(target) != before:  # another has its name: what is written here would be lost
            raise StoreError(f"{target}: was replaced at this moment", hint="run the same command again")
        try:
            writer = Writer(connection)
            yield writer
            writer.finish()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has rolled back by itself where the disk is full
                connection.execute("ROLLBACK")
            raise


def _rejecting(
    target: Path, rejects: str | Path | None, sources: Sequence[str | Path], *, strict: bool, force: bool
) -> Rejects:
    for source in sources:
        if _same(target, Path(source)):
            raise SettingsError(f"{target}: the catalog would be written over its items", hint="name another file")
    with _written(target):
        path = Path(rejects) if rejects else beside(target, force=force)
    for other in (target, *map(Path, sources)):
        if _same(path, other):
            raise SettingsError(f"{path}: bad rows would be written over {other}", hint="name another with `--rejects`")
    return Rejects(path, strict=strict, force=force)


def _same(path: Path, other: Path) -> bool:
    """Whether two names are of one file, by links or on a disk that does not tell case."""
    with _written(path):
        if path.exists() and other.exists():
            return path.samefile(other)
        return path.resolve() == other.resolve()


def _outcome(writer: Writer, rejected: Rejects, notes: tuple[str, ...]) -> CatalogChange:
    kept = rejected.path if rejected.count or rejected.listed else None
    return CatalogChange(**vars(writer.changes), rejected=rejected.count, rejects=kept, notes=notes)


def _empty(sources: Sequence[str | Path], rejected: Rejects) -> DataError:
    names = ", ".join("stdin" if str(source) == rows.STDIN else str(source) for source in sources)
    if rejected.first is None:
        return DataError(f"{names}: there are no items", hint='one object a line: {"id": "n1", "title": "…"}')
    return DataError(f"{names}: no item can be used; the first of {rejected.count:,} bad rows: {rejected.first}")


def _sync(place: Path, target: Path) -> None:
    """Bring the finished file to the disk, which may take its time."""
    with _written(target), place.open("rb+") as written:
        os.fsync(written.fileno())


def _commit(place: Path, target: Path) -> None:
    """Let the finished file appear under its name, and last."""
    with _written(target):
        place.replace(target)
        if os.name == "posix":
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """What the system refuses within this block becomes `StoreError`."""
    try:
        yield
    except OSError as error:
        line = f"{path}: cannot be written: {error.strerror or error}"
        raise StoreError(line, hint=files.advice(error)) from error


def _forget_stopped(target: Path) -> None:
    """Delete what builds of this catalog left that were killed."""
    for left in target.parent.glob(f".{target.name}.*.*"):
        number, kind = left.name.split(".")[-2:]
        if kind in BUILDING and number.isdecimal() and not _runs(int(number)):
            left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether another process has this number; what has this one's is of an earlier one, as happens in containers."""
    import psutil

    return process != os.getpid() and psutil.pid_exists(process)
