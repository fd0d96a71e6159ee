"""How a preference is built and asked for: the numbers that belong to a model and travel with it.

Invariant: each default is written here and nowhere else. The machine's side (threads, GPU layers) is `EngineOptions`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from trsr_lite.errors import SettingsError
from trsr_lite.options import check

STRATEGIES = ("hierarchical", "recurrent", "none")
DOMAINS = ("item", "news", "product")
CHOICES = {"domain": DOMAINS, "strategy": STRATEGIES}
LEAST = {"fan_in": 2, "item_tokens": 8, "summary_tokens": 8, "prompt_tokens": 256, "no_repeat_ngram": 0, "rerank": 0}


NEWER: Mapping[str, Any] = {"signals": ["all"], "rerank": 0}
FRAME_TOKENS = 128  # kept free in a summarizing prompt for the task and the model's chat template
LINE_TOKENS = 4  # what one more line costs beside its text
LEAST_TOKENS = 8  # a text shortened to less says nothing
TOP = 10  # recommendations that a command or a request shows


@dataclass(frozen=True)
class Settings:
    """What a summary and a scoring prompt are made of.

    Attributes
    ----------
    domain: the noun of the prompts: `item`, `news` or `product`.
    attributes: item attributes shown to the model, in order; empty means all, title first.
    strategy: how block summaries become one: `hierarchical`, `recurrent`, or `none` for recent items only.
    block_size: items in a block.
    recent_items: newest items given to the recommender as text.
    fan_in: summaries merged by one hierarchical prompt.
    item_tokens: budget of one item's text, in tokens.
    summary_tokens: most tokens generated for one summary.
    prompt_tokens: budget of a whole prompt, the answer or summary included.
    no_repeat_ngram: while summarizing, no run of this many tokens appears twice; 0 allows repetition.
    ragged: whether items beyond the last complete block are summarized too, as the paper does.
    signals: what ranks: `all` that the bundle weighs, `model` alone, or some by name.
    rerank: the model scores so many of the candidates, the best by the other signals; 0 is all.
    """

    domain: str = "item"
    attributes: tuple[str, ...] = ()
    strategy: str = "hierarchical"
    block_size: int = 5
    recent_items: int = 5
    fan_in: int = 4
    item_tokens: int = 120
    summary_tokens: int = 64
    prompt_tokens: int = 2048
    no_repeat_ngram: int = 4
    ragged: bool = False
    signals: tuple[str, ...] = ("all",)
    rerank: int = 0

    def __post_init__(self) -> None:
        check(self, least=LEAST, choices=CHOICES)
        check_cut(self.block_size, self.recent_items, ragged=self.ragged)
        if not self.signals:
            raise SettingsError("signals are empty", hint="choose `all`, `model` or names of signals")
        if self.no_repeat_ngram == 1:
            raise SettingsError("no_repeat_ngram is 1, which would allow each word once; use 0 or at least 2")
        lines = self.block_size * (LEAST_TOKENS + LINE_TOKENS) + self.note_tokens
        needed = max(lines, self.fan_in * (LEAST_TOKENS + LINE_TOKENS)) + self.prompt_tokens - self.summarizing_room
        if self.prompt_tokens < needed:
            raise SettingsError(
                f"prompt_tokens is {self.prompt_tokens}; block_size {self.block_size}, fan_in {self.fan_in} and "
                f"summary_tokens {self.summary_tokens} need at least {needed}"
            )

    @property
    def note_tokens(self) -> int:
        """Budget of a summary that stands in a prompt."""
        return self.summary_tokens + LEAST_TOKENS

    @property
    def summarizing_room(self) -> int:
        """Tokens that a summarizing prompt has for items and notes."""
        return self.prompt_tokens - self.summary_tokens - FRAME_TOKENS

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """Settings from parsed JSON; an unknown name is an error that suggests the nearest."""
        names = [field.name for field in fields(cls)]
        for name in data:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                raise SettingsError(
                    f"there is no setting {name!r}", hint=f"did you mean `{near[0]}`?" if near else None
                )
        values = dict(data)
        for name in ("attributes", "signals"):
            if isinstance(values.get(name), list):
                values[name] = tuple(values[name])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back.

        Settings that older versions do not know are left out at their defaults: those versions still read the rest.
        """
        data = {**asdict(self), "attributes": list(self.attributes), "signals": list(self.signals)}
        return {name: value for name, value in data.items() if name not in NEWER or value != NEWER[name]}

    @property
    def cut(self) -> dict[str, Any]:
        """How a history is cut: the keyword arguments of `blocks.split`."""
        return {"block_size": self.block_size, "recent_items": self.recent_items, "ragged": self.ragged}

    def updated(self, **changes: Any) -> Settings:
        """A copy with every change that is not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def check_cut(block_size: int, recent_items: int, *, ragged: bool = False) -> None:
    """Raise `SettingsError` where an item could fall between blocks and recent items."""
    if block_size < 1:
        raise SettingsError(f"block_size is {block_size}; it must be at least 1")
    if recent_items < 0:
        raise SettingsError(f"recent_items is {recent_items}; it must be at least 0")
    if not ragged and recent_items < block_size - 1:
        raise SettingsError(
            f"recent_items is {recent_items}; with block_size {block_size} it must be at least {block_size - 1}, "
            "or items would be lost"
        )
