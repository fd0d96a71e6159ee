"""A format: whose export it is, how to tell it, and what reads it.

Invariant: `looks` judges by the beginning of the file and its name alone, and never raises; `read` yields entries, and
counts in `Reading.notes` every row that it passes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from trsr_lite.imports.entry import Entry
from trsr_lite.imports.source import Source
from trsr_lite.io.notes import Notes


@dataclass
class Reading:
    """What a reader is told, and where it counts what it leaves out.

    Attributes
    ----------
    private: whether to keep what its person has marked as private.
    columns: which column of a table is the title, the time and so on, where somebody has said so.
    user_id: whose rows of a table count; None where it has one user.
    notes: what was passed over, by reason.
    """

    private: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    user_id: str | None = None
    notes: Notes = field(default_factory=Notes)


@dataclass(frozen=True)
class Format:
    """The export of one program.

    Attributes
    ----------
    name: what is typed, such as `goodreads`.
    program: what people call it, such as `Goodreads library`.
    domain: what its items are, as `--domain` takes it.
    about: where the program gives the file.
    looks: whether a file seems to be one.
    read: its entries, in the order of the file.
    newest_first: whether the program writes the newest first.
    """

    name: str
    program: str
    domain: str
    about: str
    looks: Callable[[Source], bool]
    read: Callable[[Source, Reading], Iterator[Entry]]
    newest_first: bool = False


def with_columns(*names: str, without: tuple[str, ...] = ()) -> Callable[[Source], bool]:
    """A `looks` for tables: these columns are there, whatever their letters' case, and none of `without`."""
    wanted, unwanted = ({name.lower() for name in some} for some in (names, without))

    def looks(source: Source) -> bool:
        found = {name.lower() for name in source.columns}
        return wanted <= found and not unwanted & found

    return looks
