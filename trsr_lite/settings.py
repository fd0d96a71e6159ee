"""How summaries and prompts are made: the settings that belong to a model and travel with it.

Invariant: each default is written here and nowhere else. The machine's side (threads, GPU layers) is `EngineOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from trsr_lite.domains import domain as domains
from trsr_lite.errors import SettingsError
from trsr_lite.options import check, known_options, make, option, refuse_unknown

STRATEGIES = ("hierarchical", "recurrent", "none")
DOMAINS = tuple(domains.shipped())
NEWER: Mapping[str, Any] = {"signals": ["all"], "rerank": 0}  # what older versions of a bundle do not know
OLDER: Mapping[str, Any] = {"grounded": False}  # how a model was made that does not say it
FRAME_TOKENS = 128  # kept free in a summarizing prompt for the task and the model's chat template
LINE_TOKENS = 4  # what one more line costs beside its text
LEAST_TOKENS = 8  # a text shortened to less says nothing
_HEADING = "Prompts and summaries"


@dataclass(frozen=True)
class Settings:
    """What a summary and a scoring prompt are made of."""

    domain: str = option(
        f"What the items are; it decides the nouns in the prompts: {', '.join(DOMAINS)}, or a TOML file.",
        default="item",
        metavar="NAME",
        heading=_HEADING,
        parse=domains.read,
    )
    attributes: tuple[str, ...] = option(
        "Item attributes that the model sees, in this order.",
        default=(),
        unset="all, the title first",
        metavar="A,B,…",
    )
    strategy: str = option(
        "How block summaries become one summary; `none` shows the model recent items only.",
        default="hierarchical",
        choices=STRATEGIES,
    )
    block_size: int = option("Items in a block; each block gets a summary.", default=5)
    recent_items: int = option("Newest items that the recommender reads as text.", default=5)
    fan_in: int = option("Summaries that one prompt of the hierarchical strategy merges.", default=4, at_least=2)
    item_tokens: int = option(
        "Most tokens of one item's text; a longer text is cut.", default=120, at_least=LEAST_TOKENS
    )
    summary_tokens: int = option("Most tokens of one summary.", default=64, at_least=LEAST_TOKENS)
    prompt_tokens: int = option(
        "Most tokens of a whole prompt, the answer or summary included.",
        default=2048,
        at_least=256,
    )
    no_repeat_ngram: int = option(
        "A summary never repeats this many tokens in a row; 0 allows repetition.",
        default=4,
        at_least=0,
    )
    grounded: bool = option("Let a summary say only what stands in its items, in their own words.", default=True)
    ragged: bool = option("Summarize the last, incomplete block too, as the paper does.", default=False)
    signals: tuple[str, ...] = option(
        "What ranks: `all` signals of the bundle, `simple` for all but its model, `model` alone, or signals by name.",
        default=("all",),
        metavar="A,B,…",
        heading="Ranking",
    )
    rerank: int = option(
        "Candidates that the model scores: the best by the other signals. 0 means all.", default=0, at_least=0
    )

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "domain", domains.of(self.domain))
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
    def words(self) -> domains.Domain:
        """The nouns and verbs of the domain."""
        return domains.of(self.domain)

    @property
    def note_tokens(self) -> int:
        """Budget of a summary that stands in a prompt."""
        return self.summary_tokens + LEAST_TOKENS

    @property
    def summarizing_room(self) -> int:
        """Tokens that a summarizing prompt has for items and notes."""
        return self.prompt_tokens - self.summary_tokens - FRAME_TOKENS

    @classmethod
    def stored(cls, data: Mapping[str, Any]) -> Settings:
        """Settings that were written with a model, maybe by a version that knew fewer of them."""
        return cls.from_dict({**OLDER, **data})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """Settings from parsed JSON; an unknown name is an error that suggests the nearest."""
        if isinstance(data.get("domain"), Mapping):
            data = {**data, "domain": domains.of(data["domain"])}
        return make(cls, data, "setting")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back.

        Settings that older versions do not know are left out at their defaults: those versions still read the rest.
        """
        lists = {"attributes": list(self.attributes), "signals": list(self.signals)}
        data = {**asdict(self), **lists, "domain": self.words.plain()}
        return {name: value for name, value in data.items() if name not in NEWER or value != NEWER[name]}

    @property
    def cut(self) -> dict[str, Any]:
        """How a history is cut: the keyword arguments of `blocks.split`."""
        return {"block_size": self.block_size, "recent_items": self.recent_items, "ragged": self.ragged}

    def updated(self, **changes: Any) -> Settings:
        """A copy with every change that is not None; raises `SettingsError` for a name that there is not."""
        refuse_unknown(changes, known_options(Settings), "setting")
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


@dataclass(frozen=True)
class RankOptions:
    """How one list is ranked."""

    k: int = option("Number of recommendations.", default=10, at_least=1, metavar="N", flag="top", short="-k")
    exact: bool = option("Score one candidate at a time: slower, and the same to the bit in every run.", default=False)

    def __post_init__(self) -> None:
        check(self)


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
