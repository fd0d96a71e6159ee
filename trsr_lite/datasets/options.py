"""Which data are read and how they become examples: the choices that decide what an evaluation means.

Invariant: each default is written here and nowhere else, and options that exist are consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trsr_lite.errors import SettingsError
from trsr_lite.options import check, one_of

DATASETS = ("mind", "amazon-m2", "jsonl")
NEGATIVES = ("uniform", "popularity", "impressions")
CHOICES = {"dataset": DATASETS, "negatives": NEGATIVES}


@dataclass(frozen=True)
class DataOptions:
    """What to read, whom to keep, and what stands beside the user's own item.

    Attributes
    ----------
    dataset: layout of the files: `mind`, `amazon-m2` or `jsonl`.
    data: path of the folder that holds them.
    locale: the one locale to read, such as `UK`; None reads all of them, and other candidates are then drawn from the
        target's own (`amazon-m2` only).
    negatives: how other candidates are found: `uniform` over all items, by `popularity` among training users, or the
        real `impressions` (`mind`, and `jsonl` with impressions.jsonl).
    train_negatives: other candidates beside each training target; with impressions, at most this many.
    test_negatives: other candidates beside each held-out target; impressions are used whole instead.
    targets: newest items of each training user that become targets, each with the history before it. A held-out
        user's target is always the last item.
    min_items: shortest sequence kept, the target included; it holds for every target.
    max_items: longest sequence kept; a longer one is left out, not cut. None is no limit.
    max_users: users kept after these filters, chosen by the seed; None keeps all.
    validation: fraction of the users held out for choosing a checkpoint.
    test: fraction of the users held out for the final figures; 1 with `validation` trains on nobody.
    seed: decides the users of each part, the drawn candidates and their order.
    strict: the first row that cannot be used is an error instead of being counted.
    """

    dataset: str
    data: str
    locale: str | None = None
    negatives: str = "uniform"
    train_negatives: int = 7
    test_negatives: int = 20
    targets: int = 1
    min_items: int = 3
    max_items: int | None = None
    max_users: int | None = None
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        check(self, least=_LEAST, choices=CHOICES)
        if self.max_items is not None and self.max_items < self.min_items:
            raise SettingsError(f"max_items is {self.max_items}, less than min_items {self.min_items}")
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be a fraction from 0 to 1")
        if self.validation + self.test > 1:
            raise SettingsError(f"validation {self.validation} and test {self.test} are more than all users")
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.locale is not None and self.dataset != "amazon-m2":
            raise SettingsError(f"locale is {self.locale!r}, but {self.dataset} has no locales")
        if self.negatives == "impressions":
            if self.dataset == "amazon-m2":
                raise SettingsError(
                    f"negatives are 'impressions', but {self.dataset} has none", hint="use `uniform` or `popularity`"
                )
            if self.targets != 1:
                raise SettingsError(f"targets is {self.targets}, but with impressions the clicks are the targets")


_LEAST = {"train_negatives": 1, "test_negatives": 1, "targets": 1, "min_items": 2, "max_users": 1, "seed": 0}
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
