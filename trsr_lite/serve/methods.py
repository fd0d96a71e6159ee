"""What can be asked of the models, with which parameters.

Invariant: what can be told without a model is checked as a request comes in, before it waits; a parameter is named,
typed and has its default here and nowhere else. What a method answers is what the command of its name prints with
`--json`.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

from trsr_lite.cancellation import Cancellation
from trsr_lite.errors import SettingsError
from trsr_lite.options import check
from trsr_lite.recommender.candidates import to_rank
from trsr_lite.recommender.queue import PRIORITIES
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import User
from trsr_lite.results import OnProgress
from trsr_lite.serve.message import Id
from trsr_lite.serve.recommenders import Recommenders
from trsr_lite.settings import CHOICES, LEAST, TOP, Settings

PROTOCOL = 1
"""Raised when a client that speaks an older one would break."""

NAME = 64  # characters of an unknown name that are looked at: comparing takes memory for each

Work = Callable[[Recommenders, Cancellation, OnProgress], Any]
P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Summarize:
    """The preference summary of a user.

    Attributes
    ----------
    user: as in a user file.
    model: a reference as for `-m`; the server's own by default.
    strategy, domain, attributes, prompt_tokens: as the options of these names.
    sort_history: order the history by time instead of requiring that order.
    explain: answer with every summary, and whether it was cached or made now.
    priority: `high`, `normal` or `low`.
    supersede: earlier unanswered requests of the same method and user are stale, and end.
    """

    user: Mapping[str, Any]
    model: str | None = None
    strategy: str | None = None
    domain: str | None = None
    attributes: tuple[str, ...] | None = None
    prompt_tokens: int | None = None
    sort_history: bool = False
    explain: bool = False
    priority: str = "normal"
    supersede: bool = False

    def __post_init__(self) -> None:
        chosen = {name: allowed for name, allowed in CHOICES.items() if getattr(self, name) is not None}
        least = {"prompt_tokens": LEAST["prompt_tokens"]}
        check(self, least=least, choices={"priority": PRIORITIES, **chosen})
        if self.model == "":
            raise SettingsError("model is empty")

    def prepare(self) -> tuple[str, Work]:
        """The user's id, and the work; raises `DataError` for a user that cannot be used."""
        user = User.from_dict(self.user, sort_history=self.sort_history)
        if self.supersede and not user.user_id:
            raise SettingsError("supersede needs a user_id")
        return user.user_id, self._work(user)

    def _work(self, user: User) -> Work:
        def work(recommenders: Recommenders, cancel: Cancellation, progress: OnProgress) -> Any:
            with recommenders.using(self.model, progress) as recommender:
                result = recommender.summarize(
                    user, settings=self._settings(recommender), progress=progress, cancel=cancel
                )
            return result.to_dict(explain=self.explain)

        return work

    def _settings(self, recommender: Recommender) -> Settings:
        """The recommender's, with what the request changes of them."""
        return recommender.settings.updated(
            strategy=self.strategy,
            domain=self.domain,
            attributes=tuple(self.attributes) if self.attributes is not None else None,
            prompt_tokens=self.prompt_tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Recommend(Summarize):
    """The candidates of a user, best first.

    Attributes
    ----------
    candidates: items to rank; the user's own by default.
    k: how many to answer with.
    exact: margins reproducible to the bit, slower.
    budget: seconds from now, waiting included, within which to answer as well as possible.
    """

    candidates: list[Any] | None = None
    k: int = TOP
    exact: bool = False
    budget: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, least={"k": 1, "budget": 0})

    def _work(self, user: User) -> Work:
        candidates = to_rank(self.candidates, user, None, None)
        until = None if self.budget is None else time.monotonic() + self.budget

        def work(recommenders: Recommenders, cancel: Cancellation, progress: OnProgress) -> Any:
            with recommenders.using(self.model, progress) as recommender:
                result = recommender.recommend(
                    user,
                    candidates,
                    k=self.k,
                    exact=self.exact,
                    budget=None if until is None else max(0.0, until - time.monotonic()),
                    settings=self._settings(recommender),
                    progress=progress,
                    cancel=cancel,
                )
            return result.to_dict(explain=self.explain)

        return work


@dataclass(frozen=True, kw_only=True)
class Update(Summarize):
    """The summary of a user whose history has one more `item`: what the next `recommend` then finds ready."""

    item: Mapping[str, Any]
    priority: str = "low"

    def _work(self, user: User) -> Work:
        return super()._work(user.appended(self.item))


@dataclass(frozen=True, kw_only=True)
class Forget:
    """Every stored summary that only this user's history rests on is deleted; requests for this user end."""

    user_id: str
    priority = "high"
    supersede = False

    def __post_init__(self) -> None:
        check(self)
        if not self.user_id:
            raise SettingsError("user_id is empty")

    def prepare(self) -> tuple[str, Work]:
        """The user's id, and the work."""
        return self.user_id, lambda recommenders, _cancel, _progress: {"forgotten": recommenders.forget(self.user_id)}


@dataclass(frozen=True, kw_only=True)
class Initialize:
    """Versions and what the server can do; may be asked at any time. `protocol` is what the client speaks."""

    protocol: int | None = None
    client: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check(self)
        if self.protocol not in (None, PROTOCOL):
            raise SettingsError(f"protocol is {self.protocol}; this server speaks {PROTOCOL}")


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """The request with this `id` shall end."""

    id: Id

    def __post_init__(self) -> None:
        if isinstance(self.id, bool) or not isinstance(self.id, (str, int)):
            raise SettingsError("id must be text or a whole number")


@dataclass(frozen=True, kw_only=True)
class Status:
    """What runs, what waits, which models are open."""


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """Every request ends, then the server."""


METHODS: Mapping[str, type[Any]] = {
    "initialize": Initialize,
    "recommend": Recommend,
    "summarize": Summarize,
    "update": Update,
    "forget": Forget,
    "cancel": Cancel,
    "status": Status,
    "shutdown": Shutdown,
}


def parse(kind: type[P], params: Any) -> P:
    """Parameters of a kind; raises `SettingsError` that names what is missing or unknown, and suggests the nearest."""
    if not isinstance(params, dict):
        raise SettingsError("params must be an object")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in params:
        if name not in known:
            asked = name[:NAME]
            near = difflib.get_close_matches(asked, known, 1)
            raise SettingsError(f"there is no parameter {asked!r}", hint=f"did you mean `{near[0]}`?" if near else None)
    for name, field in known.items():
        if field.default is MISSING and name not in params:
            raise SettingsError(f"the parameter {name!r} is missing")
    return kind(**params)
