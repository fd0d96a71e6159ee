"""`Recommender`: a user and candidates in, a ranking out. The one door for programs and for the command line.

Invariant: nothing is loaded before it is needed (a fully cached user never loads the summarizer), one call runs at a
time and the others wait their turn, and nothing is printed: progress goes to a callback, warnings to `logging`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trsr_lite.cancellation import Cancellation, Deadline
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import SettingsError
from trsr_lite.models import resolve
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.models.pool import ModelPool, OpenEngine, opener
from trsr_lite.models.resolve import DEFAULT_MODEL as DEFAULT_MODEL
from trsr_lite.models.session import ModelSession, announced
from trsr_lite.options import known_options, refuse_unknown
from trsr_lite.prompts import templates
from trsr_lite.recommender.answer import PartialResult
from trsr_lite.recommender.calls import LOAD, Calls
from trsr_lite.recommender.candidates import found, given, listed, to_rank
from trsr_lite.recommender.preview import preview
from trsr_lite.recommender.queue import Call, CallQueue, QueueTimeout
from trsr_lite.recommender.score import Margins, score
from trsr_lite.recommender.signals import Signals, chosen
from trsr_lite.records import Item, User
from trsr_lite.results import OnProgress, Result, Summary
from trsr_lite.settings import Settings
from trsr_lite.signals.signal import MODEL
from trsr_lite.summaries.blocks import split
from trsr_lite.summaries.generate import Work
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.summaries.summarizer import Summarizer

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.catalog.retrieve_options import Retrieval

TOGETHER = 64  # histories summarized at once: enough to keep every batch full


class Recommender:
    """Ranks candidates for users on one bundle. Usable from any thread; a context manager.

    `Recommender.load` is the usual way in. The constructor takes parts, so that an application or a test can bring its
    own store or engine: `open_engine` is called with a `ModelFile`, whether only its vocabulary is needed, and a
    callback for the progress of loading.

    Calls run one after another. A call that is given a `Cancellation` ends with `Cancelled` soon after it was
    cancelled, whether it runs or waits; summaries that were finished by then are kept. Callbacks are called in the
    thread of the call and must not call the recommender, except for `cancel` and `close`.

    Attributes
    ----------
    bundle, store: the models and what is known of them, and where summaries are kept.
    settings: what a call is made with that is given none of its own.
    """

    def __init__(
        self,
        bundle: Bundle,
        store: SummaryStore,
        open_engine: OpenEngine,
        *,
        settings: Settings | None = None,
        unload_after: float | None = None,
        max_memory: int | None = None,
    ) -> None:
        for name, value in (("unload_after", unload_after), ("max_memory", max_memory)):
            if value is not None and not value > 0:  # nor NaN
                raise SettingsError(f"{name} is {value}; it must be above 0")
        self.bundle, self.store = bundle, store
        self.settings = settings or bundle.settings
        self._open_engine = open_engine
        pool = ModelPool(bundle, announced(open_engine), None if max_memory == math.inf else max_memory)
        self._signals = Signals(open_engine)
        self._calls = Calls(pool, _seconds(unload_after), self._release)

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        options: EngineOptions | None = None,
        cache_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        offline: bool = False,
        unload_after: float | None = None,
        max_memory: int | None = None,
        progress: OnProgress | None = None,
        **changes: Any,
    ) -> Recommender:
        """A recommender on `smollm2`, a bundle folder, a `.gguf` file, or `user/repo[:TYPE]` on the Hugging Face hub.

        `changes` replace single settings, such as `strategy="none"` or `domain="news"` (see `Settings`). Summaries are
        kept in `cache_dir`, the prepared default in `data_dir`; both default to the system's folders for this user.
        Models are freed after `unload_after` idle seconds, and loaded again when needed. `max_memory` bytes are about
        the most that weights and contexts take: for it contexts get smaller, and models are kept one at a time.
        Raises `ModelError` where the model is missing or broken; weights are loaded at first use.
        """
        refuse_unknown(changes, known_options(Settings), "setting")
        store = SummaryStore.at(cache_dir)
        bundle = resolve.load(model, store.digest, data_dir=data_dir, offline=offline, progress=progress)
        return cls(
            bundle,
            store,
            opener(options, store.digest),
            settings=bundle.settings.updated(**changes),
            unload_after=unload_after,
            max_memory=max_memory,
        )

    def recommend(
        self,
        user: User | Mapping[str, Any],
        candidates: Iterable[Item] | Iterable[Mapping[str, Any]] | None = None,
        *,
        k: int | None = None,
        catalog: Catalog | None = None,
        retrieve: Retrieval | int | None = None,
        exact: bool = False,
        budget: float | None = None,
        settings: Settings | None = None,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> Result:
        """The best `k` candidates (all without `k`), best first.

        `candidates` default to the user's own; with a `catalog` they are what it finds for the history and the summary,
        as `retrieve` says (a number of items, or a `Retrieval`). Where the bundle has a fusion, the signals that
        `settings.signals` names rank together, and the model scores those that are best by the others, at most
        `settings.rerank`. `exact` makes margins reproducible to the bit, and slower. `settings` replace the
        recommender's own for this call.

        Within `budget` seconds, waiting included, up to half of the time goes to missing summaries, then the newest
        stored one serves, and the model scores candidates as long as there is time. `Result.skipped` says what it left
        out: with a fusion that is ranked by the other signals, without one not at all. A call whose turn does not come
        in time looks nothing up in the catalog. A model that there was no time to load is loaded after the call; where
        `max_memory` has room for one alone, only the one that ranks is.

        Raises `DataError`, `SettingsError`, `ModelError`, `Cancelled`, `Closed`.
        """
        user, settings = _user(user), settings or self.settings
        items = to_rank(candidates, user, catalog, retrieve)
        if k is not None and k < 1:
            raise SettingsError(f"k is {k}; it must be at least 1")
        if budget is not None and not budget >= 0:  # nor NaN
            raise SettingsError(f"budget is {budget}; it must be at least 0")
        until, names = Deadline(_seconds(budget)), chosen(self.bundle, settings)
        _check_texts([*user.history, *items], settings)
        answer = PartialResult(user, self._summarizer.plan(user.history, settings), items)
        try:
            with self._calls.run("recommend", cancel, progress, timeout=until.left) as session:
                if MODEL in names:
                    answer.summary, answer.uncovered = self._summary(until, answer, session)
                session.ended("summarize")
                if catalog is not None:
                    answer.candidates = found(catalog, user, answer.summary.text, retrieve, settings)
                    session.ended("retrieve")
                self._ask_signals(answer, names)
                if MODEL in names:
                    with session.within(until.left) as limited:
                        self._ask_model(answer, limited, exact=exact, leave_out=catalog is not None)
                    self._load_after(answer)
                session.ended("score")
                answer.seconds = session.seconds
        except QueueTimeout:  # others had the whole time
            answer.started = False
            self._ask_signals(answer, names)
            if MODEL in names:
                answer.summary, answer.uncovered = self._summarizer.newest(answer.plan, answer.work)
                answer.margins = Margins(answer.shortlist(settings.rerank))
        return answer.result(self.bundle, k=k, exact=exact)

    def summarize(
        self,
        user: User | Mapping[str, Any],
        *,
        settings: Settings | None = None,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> Result:
        """The user's preference summary; only what the cache lacks is generated."""
        user, settings = _user(user), settings or self.settings
        _check_texts(user.history, settings)
        answer = PartialResult(user, self._summarizer.plan(user.history, settings))
        with self._calls.run("summarize", cancel, progress) as session:
            answer.summary = self._summarizer.make(answer.plan, user.user_id, session, answer.work)
            session.ended("summarize")
            answer.seconds = session.seconds
        return answer.result(self.bundle)

    def summaries(
        self,
        histories: Sequence[Sequence[Item]],
        *,
        user_ids: Sequence[str | None] | None = None,
        settings: Settings | None = None,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
        deterministic: bool = False,
        nodes: bool = True,
    ) -> list[Summary]:
        """Preference summaries of many histories, generated together; each summary is kept as soon as it is made.

        `user_ids` say whose each history is, so that `forget` can delete what is made; without, it is nobody's. With
        `deterministic`, in rounds that are kept whole, so that stopped work ends in the same texts (see
        `generate.summarize`). Without `nodes` a summary comes without its own, which hold the items of the history.
        """
        if user_ids is not None and len(user_ids) != len(histories):
            raise ValueError(f"{len(histories)} histories have {len(user_ids)} user ids")
        ids, settings = user_ids or [None] * len(histories), settings or self.settings
        with self._calls.run("summaries", cancel, progress) as session:
            made: list[Summary] = []
            report = session.stage("summarize")
            for start in range(0, len(histories), TOGETHER):
                part = histories[start : start + TOGETHER]
                _check_texts([item for history in part for item in history], settings)

                def in_part(done: int, total: float, start: int = start, users: int = len(part)) -> None:
                    report(start + int(users * min(1.0, done / max(total, 1))), len(histories))

                whole = self._summarizer.make_all(
                    [self._summarizer.plan(history, settings) for history in part],
                    ids[start : start + TOGETHER],
                    session,
                    Work(),
                    on_progress=in_part,
                    deterministic=deterministic,
                )
                made += whole if nodes else [replace(one, nodes=()) for one in whole]
                report(len(made), len(histories))
        return made

    def update(
        self,
        user: User | Mapping[str, Any],
        item: Item | Mapping[str, Any],
        *,
        settings: Settings | None = None,
        cancel: Cancellation | None = None,
    ) -> User:
        """The user with one more item at the end of the history; returns at once.

        A block that the item completes is summarized in the background, behind every other call; `cancel` stops that.
        What goes wrong there is logged, and done again when a call needs it. Raises `DataError`, `Closed`.
        """
        before, settings = _user(user), settings or self.settings
        after = before.appended(item)
        _check_texts(after.history[-1:], settings)
        self._calls.queue.check()
        blocks = [split(each.history, **settings.cut).complete for each in (before, after)]
        if settings.strategy != "none" and blocks[0] != blocks[1]:
            self._calls.behind(
                "update",
                partial(self._summarize_behind, after, settings),
                user_id=after.user_id,
                replace=bool(after.user_id),
                cancel=cancel,
            )
        return after

    def prompt(
        self,
        user: User | Mapping[str, Any],
        candidates: Iterable[Item] | Iterable[Mapping[str, Any]] | None = None,
        *,
        settings: Settings | None = None,
    ) -> list[tuple[str, str]]:
        """Exactly what the models see, as (name, text) pairs; loads vocabularies, no weights.

        Prompts of summaries that wait for others still to be made are left out; a summary that is not in the cache
        stands as a note in the scoring prompt.
        """
        user, settings = _user(user), settings or self.settings
        items = given(candidates, user)
        with (
            self._calls.run("prompt") as session,
            session.vocabulary(self.bundle.summarizer) as summarizer,
            session.vocabulary(self.bundle.recommender) as recommender,
        ):
            _check_texts([*user.history, *items], settings)
            plan = self._summarizer.plan(user.history, settings)
            return preview(plan, items, self.store, summarizer, recommender)

    def check_candidates(
        self, candidates: Iterable[Item] | Iterable[Mapping[str, Any]], *, settings: Settings | None = None
    ) -> None:
        """Raise `DataError` for the first candidate that has no room in some user's prompt; loads no weights."""
        items = listed(candidates)
        with self._calls.run("check") as session, session.vocabulary(self.bundle.recommender) as vocabulary:
            for item in items:
                templates.check(item, settings or self.settings, vocabulary)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What `inspect` shows of each model: architecture, parameters, context length."""
        files = {"summarizer": self.bundle.summarizer, "recommender": self.bundle.recommender}
        with self._calls.run("describe") as session:
            return {role: dict(session.use(file).describe()) for role, file in files.items()}

    def with_settings(self, settings: Settings) -> Recommender:
        """A recommender with other settings on the same models: it shares their queue of calls and the store.

        So it shares their end: closing either closes both.
        """
        other = Recommender(self.bundle, self.store, self._open_engine, settings=settings)
        other._calls, other._signals = self._calls, self._signals
        return other

    @property
    def queue(self) -> CallQueue[Call]:
        """Which calls run and wait: `queue.state()`."""
        return self._calls.queue

    @property
    def loaded(self) -> tuple[str, ...]:
        """Identities of the models in memory."""
        return self._calls.pool.loaded

    def forget(self, user_id: str | int) -> int:
        """Delete every stored summary that only this user's history rests on; returns how many.

        Raises `SettingsError` for what is no user's id, and `StoreError` where something could not be deleted from the
        disk.
        """
        if isinstance(user_id, bool) or not isinstance(user_id, (str, int)) or user_id == "":
            raise SettingsError(
                f"user_id is {user_id!r}; it must be text that is not empty, or a whole number",
                hint="`trsr-lite cache clear` deletes the summaries of all users",
            )
        user_id = str(user_id)
        self._calls.forget(user_id)
        with self._calls.run("forget"):
            return self.store.clear(user_id)

    def cancel(self) -> None:
        """Stop every call that runs or waits now, from any thread; each raises `Cancelled`."""
        self._calls.cancel()

    def unload(self) -> None:
        """Free the models' memory, after the calls that stand before; the next call that needs one loads it again."""
        with self._calls.run("unload"):
            self._calls.pool.close()

    def close(self) -> None:
        """Stop the running call, refuse the waiting ones with `Closed`, free models, and close the store.

        At any time, from any thread, and as often as one likes. Summaries that were finished are kept.
        """
        self._calls.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    @property
    def _summarizer(self) -> Summarizer:
        return Summarizer(self.bundle.summarizer, self.store)

    def _release(self) -> None:
        self._calls.pool.close()
        self._signals.close()
        self.store.close()

    def _summarize_behind(self, user: User, settings: Settings, session: ModelSession) -> None:
        self._summarizer.make(self._summarizer.plan(user.history, settings), user.user_id, session, Work())

    def _summary(self, until: Deadline, answer: PartialResult, session: ModelSession) -> tuple[Summary, int]:
        """The summary there is time for, and how many complete blocks it does not cover."""
        hurried, pool = until.left is not None, self._calls.pool
        if hurried and not pool.hold_both and self.bundle.summarizer not in pool:
            # Loading it would unload the model that ranks, in every call.
            return self._summarizer.newest(answer.plan, answer.work)
        return self._summarizer.make_in_time(until, answer.plan, answer.user.user_id, session, answer.work)

    def _ask_signals(self, answer: PartialResult, names: Sequence[str]) -> None:
        """Let all signals but the model judge the candidates, unless it ranks alone or there are none."""
        if tuple(names) != (MODEL,) and answer.candidates:
            history = answer.user.history
            answer.fused = self._signals.rank(self.bundle, names, history, answer.candidates)
            answer.because = partial(self._signals.because, self.bundle, names, history)

    def _ask_model(self, answer: PartialResult, session: ModelSession, *, exact: bool, leave_out: bool) -> None:
        """Let the model score as many candidates as there is time for, the most promising first."""
        plan, items = answer.plan, answer.shortlist(answer.plan.settings.rerank)
        answer.margins = score(plan, answer.summary.text, items, self.bundle, session, exact=exact, leave_out=leave_out)
        if answer.fused is None:
            answer.candidates = answer.margins.candidates

    def _load_after(self, answer: PartialResult) -> None:
        """Load what a call had no time to load, so that a later one has it, however little time that has."""
        needed, pool = [self.bundle.recommender], self._calls.pool
        if answer.uncovered and pool.hold_both:
            needed.insert(0, self.bundle.summarizer)
        if any(file not in pool for file in needed):
            # In line with the others, which would interrupt anything less urgent again and again.
            self._calls.behind(LOAD, partial(_load, needed), priority="normal", replace=True)


def _load(files: Sequence[ModelFile], session: ModelSession) -> None:
    for file in files:
        session.use(file)


def _seconds(seconds: float | None) -> float | None:
    """A timeout; one beyond `threading.TIMEOUT_MAX` is no limit."""
    return None if seconds is None or seconds >= threading.TIMEOUT_MAX else seconds


def _user(user: User | Mapping[str, Any]) -> User:
    return user if isinstance(user, User) else User.from_dict(user)


def _check_texts(items: Sequence[Item], settings: Settings) -> None:
    """Every item has something to show; said before any model is loaded."""
    for item in items:
        templates.shown(item, settings)
