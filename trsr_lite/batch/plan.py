"""The users file read once, before any model runs: which rows make which partition, and which are rejected.

    plan.jsonl     {"number": 0, "users": 64, "row": 1, "offset": 0, "rows": 66, "skip": [17, 40],
                    "digest": "0f…"}
    rejects.jsonl  {"row": 17, "user_id": "u9", "reason": "users.jsonl:17.history: is empty"}

Invariant: every row of the file is in exactly one partition, or in the rejects with its reason. Of rows that name the
same user, the first counts. Memory does not grow with the file. A partition is a span of neighbouring rows. A user with
a huge history is one alone, and those come last: nobody waits for them.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import orjson

from trsr_lite.batch.users import BatchRow, Source
from trsr_lite.errors import DataError, TrsrError
from trsr_lite.io.notes import Notes
from trsr_lite.io.remote import RemotePath
from trsr_lite.prompts import templates
from trsr_lite.records import User
from trsr_lite.settings import Settings

PLAN, REJECTS = "plan.jsonl", "rejects.jsonl"
HUGE = 1000  # items: such a history costs as much as a whole partition of ordinary ones
SKIPS = 1000  # more rows between the users of a partition than this, beside as many as there are users, end it
COMMIT = 10_000  # rows between two commits of the ids that were seen


@dataclass(frozen=True)
class Partition:
    """Rows that are worked together.

    Attributes
    ----------
    number: its place in the output.
    users: how many of its rows are users.
    row, offset: where its first row is, for `Source.rows`.
    rows: how many rows to read.
    skip: numbers of rows in between that are not its users.
    digest: of what its users' rows say.
    """

    number: int
    users: int
    row: int
    offset: int
    rows: int
    skip: tuple[int, ...] = ()
    digest: str = ""


@dataclass
class Counts:
    """What the file holds: `rows` = `users` + `bad` + `duplicates`."""

    rows: int = 0
    users: int = 0
    bad: int = 0
    duplicates: int = 0
    partitions: int = 0


@dataclass(frozen=True)
class Rules:
    """What makes a row a user of this batch: `own_candidates` says that each user must bring some."""

    settings: Settings
    own_candidates: bool
    sort_history: bool = False
    strict: bool = False

    def user(self, row: BatchRow, notes: Notes | None = None) -> User:
        """The user of a row; raises `DataError`. What is left out is counted in `notes`."""
        if not self.own_candidates and isinstance(row.data, Mapping):  # what is wrong with those is of no matter
            row = replace(row, data={name: value for name, value in row.data.items() if name != "candidates"})
        user = row.user(sort_history=self.sort_history, notes=notes)
        if self.own_candidates and not user.candidates:
            raise DataError(
                f"{row.where}.candidates: missing",
                hint="give every user some, or give `--candidates`, `--catalog` or `--summaries-only`",
            )
        for item in (*user.history, *(user.candidates if self.own_candidates else ())):
            try:
                templates.shown(item, self.settings)
            except DataError as error:
                raise DataError(f"{row.where}: {error}", hint=error.hint) from None
        return user


def make(source: Source, folder: RemotePath, rules: Rules, partition_users: int) -> Counts:
    """Write the plan and the rejects into the folder; raises `DataError` at the first reject where that is strict."""
    counts, notes = Counts(), Notes()
    with (folder / REJECTS).writing() as rejects, (folder / PLAN).writing() as plan, _Seen.opened() as seen:
        cutter = _Cutter(partition_users)

        def write(partition: Partition) -> None:
            plan.write(orjson.dumps(replace(partition, number=counts.partitions)) + b"\n")
            counts.partitions += 1

        def skip(row: BatchRow) -> None:
            if partition := cutter.skip(row):
                write(partition)

        def reject(row: BatchRow, error: DataError) -> None:
            if rules.strict:
                raise error
            line = {"row": row.number, "user_id": row.user_id, "reason": str(error)}
            rejects.write(orjson.dumps(line) + b"\n")
            skip(row)

        for row in source.rows():
            counts.rows += 1
            try:
                user = rules.user(row, notes)
            except DataError as error:
                counts.bad += 1
                reject(row, error)
                continue
            if first := seen.earlier(user.user_id, row.number):
                counts.duplicates += 1
                reject(row, DataError(f"{row.where}.user_id: {user.user_id!r} is already the user of row {first}"))
                continue
            counts.users += 1
            if len(user.history) > HUGE:
                seen.postpone(row)
                skip(row)
            elif partition := cutter.add(row):
                write(partition)
        if last := cutter.end():
            write(last)
        for partition in seen.postponed():
            write(partition)
    notes.tell("users")
    return counts


def read(folder: RemotePath) -> Iterator[Partition]:
    """The partitions of a plan, in order."""
    with (folder / PLAN).open() as file:
        for line in file:
            data = orjson.loads(line)
            yield Partition(**{**data, "skip": tuple(data["skip"])})


def is_plan(folder: RemotePath) -> bool:
    """Whether a folder has a plan of a batch, and no other file of that name."""
    if not (folder / PLAN).exists():
        return False
    try:
        return all(partition.users >= 0 for partition in itertools.islice(read(folder), 1))
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return False


def users(source: Source, partition: Partition, rules: Rules) -> list[User]:
    """The users of a partition; raises `DataError` where the file is no longer the one that was planned."""
    skip = set(partition.skip)
    read = itertools.islice(source.rows(partition.row, partition.offset), partition.rows)
    rows = [row for row in read if row.number not in skip]
    if len(rows) != partition.users or _digest(row.digest for row in rows) != partition.digest:
        raise DataError(
            f"partition {partition.number}: the users file has changed since the batch was begun",
            hint="put the old one back and use `--resume`, or begin in another folder",
        )
    return [rules.user(row) for row in rows]


@dataclass
class _Cutter:
    """Neighbouring rows to partitions of `size` users."""

    size: int
    first: BatchRow | None = None
    users: int = 0
    rows: int = 0
    skipped: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    def add(self, row: BatchRow) -> Partition | None:
        """Take a user; the partition that this one completes."""
        self.first = self.first or row
        self.users, self.rows = self.users + 1, self.rows + 1
        self.digests.append(row.digest)
        return self.end() if self.users == self.size else None

    def skip(self, row: BatchRow) -> Partition | None:
        """Pass over a row; where few rows are users, a partition is cut short."""
        if not self.first:
            return None
        self.rows += 1
        self.skipped.append(row.number)
        return self.end() if len(self.skipped) == self.size + SKIPS else None

    def end(self) -> Partition | None:
        """What was begun, as a partition."""
        if not self.first:
            return None
        done = Partition(
            0,
            self.users,
            self.first.number,
            self.first.offset,
            self.rows,
            tuple(self.skipped),
            _digest(self.digests),
        )
        self.first, self.users, self.rows, self.skipped, self.digests = None, 0, 0, [], []
        return done


def _digest(digests: Iterable[bytes]) -> str:
    return hashlib.blake2b(b"".join(digests), digest_size=20).hexdigest()


class _Seen:
    """Ids of users so far and users that come last, in a temporary database that spills to disk."""

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[_Seen]:
        """For the time of a block; raises `TrsrError` where the temporary folder is full."""
        try:
            # Private to this connection, on disk where it grows, deleted at close.
            with closing(sqlite3.connect("")) as connection:
                yield cls(connection)
        except sqlite3.Error as error:
            raise TrsrError(
                f"the temporary folder: {error}", hint="make room there, or name another folder in TMPDIR"
            ) from error

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.executescript(
            "CREATE TABLE ids (id BLOB PRIMARY KEY, row INTEGER) WITHOUT ROWID;CREATE TABLE late (row, offset, digest);"
        )
        self._pending = 0

    def earlier(self, user_id: str, row: int) -> int | None:
        """The row that has this user already; else the id is remembered."""
        key = hashlib.blake2b(user_id.encode(), digest_size=16).digest()
        if self._connection.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (key, row)).rowcount == 0:
            return int(self._connection.execute("SELECT row FROM ids WHERE id = ?", (key,)).fetchone()[0])
        self._pending += 1
        if self._pending % COMMIT == 0:
            self._connection.commit()
        return None

    def postpone(self, row: BatchRow) -> None:
        """Remember a user for the end."""
        self._connection.execute("INSERT INTO late VALUES (?, ?, ?)", (row.number, row.offset, _digest([row.digest])))

    def postponed(self) -> Iterator[Partition]:
        """Partitions of one user each."""
        for row, offset, digest in self._connection.execute("SELECT row, offset, digest FROM late ORDER BY row"):
            yield Partition(0, 1, row, offset, 1, digest=digest)
