"""What a batch is: the users, what they are ranked for, and the shape of the output.

Invariant: each default is written here. The machine's side, such as how many workers there are, changes no
result and is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.errors import SettingsError
from trsr_lite.options import again, check, option
from trsr_lite.settings import RankOptions

FORMATS = ("jsonl", "parquet")


@dataclass(frozen=True)
class BatchOptions:
    """One batch; `retrieve` says which items of the catalog are ranked."""

    users: str = option("Users, one a row: *.jsonl or *.parquet, local or an address such as s3://….", metavar="FILE")
    output: str = option("Folder of the results, local or an address.", metavar="DIR")
    candidates: str | None = option(
        "Items that every user is ranked for, JSON or JSON Lines.",
        default=None,
        unset="each user's own",
        metavar="FILE",
    )
    catalog: str | None = option("Catalog that each user's candidates come from.", default=None, metavar="FILE")
    retrieve: Retrieval = field(default_factory=Retrieval)
    k: int = again(RankOptions, "k")
    exact: bool = again(RankOptions, "exact")
    summaries_only: bool = option("Make the summaries and rank nothing.", default=False)
    partition_users: int = option(
        # few enough that several workers share some hundred users evenly
        "Users in one file of the results. Each file appears whole, and `--resume` goes on after it.",
        default=64,
        at_least=1,
    )
    format: str | None = option(
        "Format of the results.", default=None, choices=FORMATS, unset="that of the users' file"
    )
    sort_history: bool = option(
        "Sort each history by time. Without it, an unsorted history is an error.", default=False
    )
    strict: bool = option("Stop at the first row or user that cannot be used.", default=False)

    def __post_init__(self) -> None:
        check(self)
        if self.candidates and self.catalog:
            raise SettingsError("candidates come from a file or from a catalog, not from both")
        if self.summaries_only and (self.candidates or self.catalog):
            raise SettingsError("`summaries_only` ranks nothing, so it needs no candidates", hint="remove one of them")
