"""Which data are read and how they become examples: the choices that decide what an evaluation means.

Invariant: each default is written here and nowhere else, and options that exist are consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trsr_lite.errors import DataError, SettingsError
from trsr_lite.feedback import Scale, scale
from trsr_lite.options import check, one_of, option

DATASETS = ("mind", "amazon-m2", "jsonl")
NEGATIVES = ("uniform", "popularity", "impressions")
_DATA, _USERS, _LISTS = "Data", "Users", "Candidates"


@dataclass(frozen=True)
class DataOptions:
    """What to read, whom to keep, and which candidates stand beside a user's own item (the target)."""

    dataset: str = option("Layout of the files.", choices=DATASETS, heading=_DATA)
    data: str = option("Folder of the files.", metavar="DIR")
    locale: str | None = option(
        "Read one locale only, such as UK (amazon-m2). Without it, negatives come from the target's locale.",
        default=None,
        unset="all",
        metavar="LOCALE",
    )
    seed: int = option("Seed of the split, the negatives and their order.", default=0, at_least=0)
    rating_scale: str | None = option(
        "Worst and best rating that the data can have, such as 1,5 (jsonl).",
        default=None,
        unset="each user's ratings are compared with their own mean",
        metavar="WORST,BEST",
    )
    strict: bool = option("Stop at the first row that cannot be used.", default=False)
    min_items: int = option(
        "Shortest history to keep, the target included.",
        default=3,
        at_least=2,
        heading=_USERS,
    )
    max_items: int | None = option(
        "Longest history to keep; a longer one is left out, not cut.", default=None, unset="no limit"
    )
    max_users: int | None = option("Most users to keep; the seed chooses them.", default=None, at_least=1, unset="all")
    validation: float = option(
        "Part of the users that is held out to choose a checkpoint.", default=0.1, at_least=0, at_most=1
    )
    test: float = option(
        "Part of the users that is held out for the final figures.", default=0.1, at_least=0, at_most=1
    )
    negatives: str = option(
        "Where other candidates come from: all items, popular items, or what users were really shown.",
        default="uniform",
        choices=NEGATIVES,
        heading=_LISTS,
    )
    train_negatives: int = option(
        "Other candidates beside each training target; with impressions, at most this many.",
        default=7,
        at_least=1,
    )
    test_negatives: int = option(
        "Other candidates beside each held-out target. Impressions are used whole.",
        default=20,
        at_least=1,
    )
    targets: int = option(
        "Newest items of each training user that become targets, each with the history before it.",
        default=1,
        at_least=1,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.max_items is not None and self.max_items < self.min_items:
            raise SettingsError(f"max_items is {self.max_items}, less than min_items {self.min_items}")
        if self.validation + self.test > 1:
            raise SettingsError(f"validation {self.validation} and test {self.test} are more than all users")
        self._check_combinations()

    @property
    def limits(self) -> Scale | None:
        """The scale of ratings, where it is known; raises `DataError` for what is none."""
        return None if self.rating_scale is None else scale(self.rating_scale.split(","), "rating_scale")

    def _check_combinations(self) -> None:
        if self.rating_scale is not None and self.dataset != "jsonl":
            raise SettingsError(f"rating_scale is {self.rating_scale!r}, but {self.dataset} has no ratings")
        try:
            _ = self.limits
        except DataError as error:
            raise SettingsError(str(error)) from error
        if self.locale is not None and self.dataset != "amazon-m2":
            raise SettingsError(f"locale is {self.locale!r}, but {self.dataset} has no locales")
        if self.negatives == "impressions":
            if self.dataset == "amazon-m2":
                raise SettingsError(
                    f"negatives are 'impressions', but {self.dataset} has none", hint="use `uniform` or `popularity`"
                )
            if self.targets != 1:
                raise SettingsError(f"targets is {self.targets}, but with impressions the clicks are the targets")


_DOMAINS = {"mind": "news", "amazon-m2": "product"}
_PAPER: dict[str, dict[str, Any]] = {
    "mind": {"min_items": 11, "max_items": 26},
    "amazon-m2": {"locale": "UK", "min_items": 10, "max_items": 25},
}


def domain_of(dataset: str) -> str:
    """What the items of a layout are, as `Settings.domain`."""
    return _DOMAINS.get(dataset, "item")


def paper(dataset: str) -> dict[str, Any]:
    """The values of the authors' protocol (LLM-TRSR, WWW 2024) that differ from or fix the defaults."""
    one_of("dataset", dataset, DATASETS)
    if dataset not in _PAPER:
        raise SettingsError(f"the paper has no values for {dataset!r}", hint=f"it used {' and '.join(_PAPER)}")
    return {**_PAPER[dataset], "train_negatives": 1, "test_negatives": 20, "negatives": "uniform"}
