"""What can be asked of the models, with which parameters.

Invariant: what needs no model is checked as a request comes in, before it waits. A parameter is named, typed and has
its default here and nowhere else. What a method answers is what the command of its name prints with `--json`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from trsr_lite.cancellation import Cancellation
from trsr_lite.domains import domain as domains
from trsr_lite.errors import SettingsError
from trsr_lite.options import again, check, known_options, make, option
from trsr_lite.recommender.candidates import to_rank
from trsr_lite.recommender.queue import PRIORITIES
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import User
from trsr_lite.results import OnProgress, Result
from trsr_lite.serve.message import Id
from trsr_lite.serve.recommenders import Recommenders
from trsr_lite.settings import RankOptions, Settings

PROTOCOL = 1
"""Raised when a client that speaks an older one would break."""

Tell = Callable[[Any], None]
"""Called with a result that is true and not final, as what a method answers."""
Work = Callable[[Recommenders, Cancellation, OnProgress, Tell], Any]
P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Summarize:
    """The preference summary of a user."""

    user: Mapping[str, Any] = option("The user, as in a user file.")
    model: str | None = option("A model, as for `-m`.", default=None, unset="the server's own")
    strategy: str | None = again(Settings, "strategy", default=None)
    domain: str | None = again(Settings, "domain", default=None)
    attributes: tuple[str, ...] | None = again(Settings, "attributes", default=None)
    prompt_tokens: int | None = again(Settings, "prompt_tokens", default=None)
    sort_history: bool = option("Sort the history by time. Without it, an unsorted history is an error.", default=False)
    explain: bool = option("Answer with every summary, and whether it was cached or made now.", default=False)
    priority: str = option("Which requests go first.", default="normal", choices=tuple(PRIORITIES))
    supersede: bool = option("End earlier unanswered requests of the same method and user.", default=False)

    def __post_init__(self) -> None:
        check(self)
        if self.model == "":
            raise SettingsError("model is empty")
        if self.domain is not None:
            domains.of(self.domain)  # raises for one that there is not

    def prepare(self) -> tuple[str, Work]:
        """The user's id, and the work; raises `DataError` for a user that cannot be used."""
        user = User.from_dict(self.user, sort_history=self.sort_history)
        if self.supersede and not user.user_id:
            raise SettingsError("supersede needs a user_id")
        return user.user_id, self._work(user)

    def _work(self, user: User) -> Work:
        def work(recommenders: Recommenders, cancel: Cancellation, progress: OnProgress, _tell: Tell) -> Any:
            with recommenders.using(self.model, progress) as recommender:
                result = recommender.summarize(
                    user, settings=self._settings(recommender), progress=progress, cancel=cancel
                )
            return result.to_dict(explain=self.explain)

        return work

    def _settings(self, recommender: Recommender) -> Settings:
        """The recommender's, with what the request changes of them."""
        names = [name for name in known_options(Settings) if getattr(self, name, None) is not None]
        values = {name: getattr(self, name) for name in names}
        return recommender.settings.updated(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        )


@dataclass(frozen=True, kw_only=True)
class Recommend(Summarize):
    """The candidates of a user, best first."""

    candidates: list[Any] | None = option("Items to rank.", default=None, unset="the user's own")
    k: int = again(RankOptions, "k")
    exact: bool = again(RankOptions, "exact")
    signals: tuple[str, ...] | None = again(Settings, "signals", default=None)
    rerank: int | None = again(Settings, "rerank", default=None)
    budget: float | None = option(
        "Seconds from now, waiting included, within which to answer as well as possible.",
        default=None,
        at_least=0,
        unset="no limit",
    )
    summary: str | None = option(
        "The user's own words on what they like; the model reads them in place of a summary.",
        default=None,
        unset="a summary of the history",
    )
    partial: bool = option("Tell the order of the other signals first, before the model is asked.", default=False)

    def _work(self, user: User) -> Work:
        candidates = to_rank(self.candidates, user, None, None)
        until = None if self.budget is None else time.monotonic() + self.budget

        def work(recommenders: Recommenders, cancel: Cancellation, progress: OnProgress, tell: Tell) -> Any:
            def first(result: Result) -> None:
                tell(result.to_dict(explain=self.explain))

            with recommenders.using(self.model, progress) as recommender:
                result = recommender.recommend(
                    user,
                    candidates,
                    k=self.k,
                    exact=self.exact,
                    budget=None if until is None else max(0.0, until - time.monotonic()),
                    summary=self.summary,
                    settings=self._settings(recommender),
                    progress=progress,
                    partial=first if self.partial else None,
                    cancel=cancel,
                )
            return result.to_dict(explain=self.explain)

        return work


@dataclass(frozen=True, kw_only=True)
class Update(Summarize):
    """The summary of a user whose history has one more `item`: what the next `recommend` then finds ready."""

    item: Mapping[str, Any] = option("The new item.")
    priority: str = again(Summarize, "priority", default="low")

    def _work(self, user: User) -> Work:
        return super()._work(user.appended(self.item))


@dataclass(frozen=True, kw_only=True)
class Forget:
    """Every stored summary that only this user's history rests on is deleted; requests for this user end."""

    user_id: str = option("The user.")
    priority = "high"
    supersede = False

    def __post_init__(self) -> None:
        check(self)
        if not self.user_id:
            raise SettingsError("user_id is empty")

    def prepare(self) -> tuple[str, Work]:
        """The user's id, and the work."""
        return self.user_id, lambda recommenders, *_: {"forgotten": recommenders.forget(self.user_id)}


@dataclass(frozen=True, kw_only=True)
class Initialize:
    """Versions and what the server can do; may be asked at any time. `protocol` is what the client speaks."""

    protocol: int | None = option("Version of the protocol that the client speaks.", default=None)
    client: Mapping[str, Any] | None = option("What the client calls itself.", default=None)

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
    return make(kind, params, "parameter")
