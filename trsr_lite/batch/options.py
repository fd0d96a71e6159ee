"""What a batch is: the users, what they are ranked for, and the shape of the output.

Invariant: each default is written here. The machine's side, such as how many workers there are, changes no
result and is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trsr_lite.catalog.retrieval import Retrieval
from trsr_lite.errors import SettingsError

FORMATS = ("jsonl", "parquet")


@dataclass(frozen=True)
class BatchOptions:
    """One batch.

    Attributes
    ----------
    users: a file of users, JSON Lines or Parquet, local or any address that fsspec opens, such as `s3://…`.
    output: the folder of the results, local or an address.
    candidates: a file of items that every user is ranked for; None means each user's own.
    catalog: a catalog that each user's candidates are retrieved from.
    retrieve: what is asked of the catalog.
    k: how many recommendations each user gets.
    exact: one candidate at a time, reproducible to the bit.
    summaries_only: make the summaries and rank nothing.
    partition_users: users in one partition, which is worked, committed and resumed as a whole.
    format: of the output; None means the input's.
    sort_history: order histories by time instead of requiring that order.
    strict: stop at the first row or user that cannot be used.
    """

    users: str
    output: str
    candidates: str | None = None
    catalog: str | None = None
    retrieve: Retrieval = field(default_factory=Retrieval)
    k: int = 10
    exact: bool = False
    summaries_only: bool = False
    partition_users: int = 64  # few enough that several workers share some hundred users evenly
    format: str | None = None
    sort_history: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.k < 1 or self.partition_users < 1:
            raise SettingsError("`k` and `partition_users` must be at least 1")
        if self.format not in (None, *FORMATS):
            raise SettingsError(f"format is {self.format!r}; it must be one of {', '.join(FORMATS)}")
        if self.candidates and self.catalog:
            raise SettingsError("candidates come from a file or from a catalog, not from both")
        if self.summaries_only and (self.candidates or self.catalog):
            raise SettingsError("with summaries only, nothing is ranked: leave the candidates away")
