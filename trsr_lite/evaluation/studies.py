"""The studies: each is a row of variants, and each variant changes settings or lists.

Invariant: nothing runs here. A variant changes one thing, and is compared with the study's reference on the same lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trsr_lite.evaluation import perturbations
from trsr_lite.evaluation.perturbations import Change

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Variant:
    """One way of doing it.

    Attributes
    ----------
    name: what it is called.
    settings: what it changes of a model's settings.
    change: what it does to the lists; None leaves them alone.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    change: Change | None = None


@dataclass(frozen=True)
class Study:
    """A question, and the variants that answer it.

    Attributes
    ----------
    question: the question, in words for people.
    axis: what tells the variants apart.
    variants: in order.
    reference: the variant that others are compared with.
    summarized: whether it needs summaries: a model of strategy `none` is read with the default strategy then.
    """

    question: str
    axis: str
    variants: Sequence[Variant]
    reference: str = AS_IT_IS
    summarized: bool = False


def _settings(name: str, values: Sequence[Any], **fixed: Any) -> list[Variant]:
    return [Variant(str(value), {**fixed, name: value}) for value in values]


STUDIES: Mapping[str, Study] = {
    "strategy": Study(
        "Do summaries help, and which way of making them one?",
        "strategy",
        _settings("strategy", ("none", "hierarchical", "recurrent")),
        reference="none",
    ),
    "evidence": Study(
        "What is it that helps: the summary of everything, or the newest items?",
        "what the model reads",
        # Ragged, so that the summary alone has every item.
        [
            Variant("summary only", {"recent_items": 0, "ragged": True}),
            Variant("recent only", {"strategy": "none"}),
            Variant("both"),
        ],
        reference="both",
        summarized=True,
    ),
    "recent": Study(
        "How many of the newest items should the model read?",
        "recent items",
        _settings("recent_items", (0, 1, 3, 5, 10), ragged=True),
        reference="5",
        summarized=True,
    ),
    "blocks": Study(
        "How many items should a block have?",
        "items of a block",
        _settings("block_size", (3, 5, 10), ragged=True),
        reference="5",
        summarized=True,
    ),
    # Multiples of the block size: a longer history has the blocks of the shorter ones, so that the cache knows them.
    "length": Study(
        "What does a longer history bring? Where a user has fewer items, those of other users stand before them.",
        "items of a history",
        [
            Variant(AS_IT_IS),
            *(
                Variant(str(items), change=partial(perturbations.lengthened, items=items))
                for items in (5, 10, 25, 50, 100, 200, 500)
            ),
        ],
    ),
    "robustness": Study(
        "What do faults of the data cost?",
        "what happened to the data",
        [
            Variant(AS_IT_IS),
            Variant("10 % of items dropped", change=partial(perturbations.dropped, share=0.1)),
            Variant("30 % of items dropped", change=partial(perturbations.dropped, share=0.3)),
            Variant("50 % of items dropped", change=partial(perturbations.dropped, share=0.5)),
            Variant("order shuffled", change=perturbations.shuffled),
            Variant("50 % of attributes missing", change=partial(perturbations.without_attributes, share=0.5)),
            Variant("titles only", change=partial(perturbations.without_attributes, share=1.0)),
            Variant("10 % of words misspelt", change=partial(perturbations.typos, share=0.1)),
            Variant("30 % of words misspelt", change=partial(perturbations.typos, share=0.3)),
            Variant("25 % foreign items", change=partial(perturbations.foreign, share=0.25)),
            Variant("50 % foreign items", change=partial(perturbations.foreign, share=0.5)),
            Variant("the newest item alone", change=partial(perturbations.newest, items=1)),
            Variant("the newest 3 items alone", change=partial(perturbations.newest, items=3)),
        ],
    ),
}
TUNING = Study("LoRA or all weights?", "what was trained", (), reference="LoRA")
"""Its variants are the runs that are given."""
