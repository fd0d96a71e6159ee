"""`Recommender`: a user and candidates in, a ranking out. The one door for programs and for the command line.

Invariant: nothing is loaded before it is needed (a fully cached user never loads the summarizer), one call runs at a
time and the others wait their turn, and nothing is printed: progress goes to a callback, warnings to `logging`.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trsr_lite.cancellation import Cancellation, Deadline
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import Closed, SettingsError
from trsr_lite.models import bundle as bundles
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.models.pool import ModelPool, OpenEngine, opener
from trsr_lite.models.resolve import DEFAULT_MODEL as DEFAULT_MODEL
from trsr_lite.models.resolve import locate
from trsr_lite.models.session import ModelSession, announced
from trsr_lite.prompts import templates
from trsr_lite.recommender.answer import PartialResult
from trsr_lite.recommender.background import Background
from trsr_lite.recommender.candidates import found, given, listed, to_rank
from trsr_lite.recommender.preview import preview
from trsr_lite.recommender.score import score
from trsr_lite.recommender.turns import CallQueue, QueueTimeout
from trsr_lite.records import Item, User
from trsr_lite.results import OnProgress, Result, Summary
from trsr_lite.settings import Settings
from trsr_lite.summaries.blocks import split
from trsr_lite.summaries.generate import Work
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.summaries.summarizer import Summarizer

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.catalog.retrieval import Retrieval

TOGETHER = 64  # histories summarized at once: enough to keep every batch full


class Recommender:
    """Ranks candidates for users on one bundle. Usable from any thread; a context manager.

    `Recommender.load` is the usual way in. The constructor takes parts, so that an application or a test can bring its
    own store or engine: `open_engine` is called with a `ModelFile`, whether only its vocabulary is needed, and a
    callback for the progress of loading.

    Calls run one after another. A call that is given a `Cancellation` ends with `Cancelled` soon after it was
    cancelled, whether it runs or waits; summaries that were finished by then are kept. Callbacks are called in the
    thread of the call and must not call the recommender, except for `cancel` and `close`.
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
        self._models = ModelPool(bundle, announced(open_engine), None if max_memory == math.inf else max_memory)
        self._turns = CallQueue()
        self._background = Background(self._unload, _ending(unload_after))

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
        store = SummaryStore.at(cache_dir)
        path = locate(model, store.digest, data_dir=data_dir, offline=offline, progress=progress)
        bundle = bundles.load(path, store.digest)
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
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> Result:
        """The best `k` candidates (all without `k`), best first.

        `candidates` default to the user's own; with a `catalog` they are what it finds for the history and the summary,
        as `retrieve` says (a number of items, or a `Retrieval`), where it fits a prompt. `exact` makes margins
        reproducible to the bit, and slower. Within `budget` seconds, waiting included, up to half of the time goes to
        missing summaries, then the newest stored one serves, and candidates are scored in their order as long as there
        is time; `Result.skipped` says what was left out. A call that gets no turn in time ranks nothing, and looks
        nothing up in the catalog. A model that there was no time to load is loaded after the call; where `max_memory`
        has room for one alone, only the one that ranks is. Raises `DataError`, `SettingsError`, `ModelError`,
        `Cancelled`, `Closed`.
        """
        user = _user(user)
        items = to_rank(candidates, user, catalog, retrieve)
        if k is not None and k < 1:
            raise SettingsError(f"k is {k}; it must be at least 1")
        if budget is not None and not budget >= 0:  # nor NaN
            raise SettingsError(f"budget is {budget}; it must be at least 0")
        until = Deadline(_ending(budget))
        _check_texts([*user.history, *items], self.settings)
        draft = PartialResult(user, items)
        try:
            with self._call(cancel, progress, patience=until.left) as call:
                draft.summary, draft.uncovered = self._summary(until, user, call, draft.work)
                call.ended("summarize")
                text = draft.summary.text
                if catalog is not None:
                    draft.candidates = found(catalog, user, text, retrieve, self.settings)
                    call.ended("retrieve")
                with call.within(until.left) as limited:
                    draft.scored = score(
                        user.history,
                        text,
                        draft.candidates,
                        self.bundle,
                        self.settings,
                        limited,
                        exact=exact,
                        leave_out=catalog is not None,
                    )
                draft.candidates = draft.scored.candidates
                call.ended("score")
                self._load_after(draft)
                draft.seconds = call.seconds
        except QueueTimeout:  # others had the whole time
            draft.begun = False
            draft.summary, draft.uncovered = self._summarizer.newest(user, draft.work)
        return draft.result(self.bundle, self.settings, k=k, exact=exact)

    def summarize(
        self,
        user: User | Mapping[str, Any],
        *,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> Result:
        """The user's preference summary; only what the cache lacks is generated."""
        draft = PartialResult(_user(user))
        with self._call(cancel, progress) as call:
            _check_texts(draft.user.history, self.settings)
            draft.summary = self._summarizer.of(draft.user, call, draft.work)
            call.ended("summarize")
            draft.seconds = call.seconds
        return draft.result(self.bundle, self.settings)

    def summaries(
        self,
        histories: Sequence[Sequence[Item]],
        *,
        user_ids: Sequence[str | None] | None = None,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
        deterministic: bool = False,
        nodes: bool = True,
    ) -> list[Summary]:
        """Preference summaries of many histories, generated together; each summary is kept as soon as it is made.

        `user_ids` say whose each history is, so that `forget` can delete what is made; without, it is nobody's. With
        `deterministic`, in rounds that are kept whole, so that stopped work ends in the same texts (see
        `summarize.summarize`). Without `nodes` a summary comes without its own, which hold the items of the history.
        """
        if user_ids is not None and len(user_ids) != len(histories):
            raise ValueError(f"{len(histories)} histories have {len(user_ids)} user ids")
        with self._call(cancel, progress) as call:
            made: list[Summary] = []
            report = call.stage("summarize")
            for start in range(0, len(histories), TOGETHER):
                part = histories[start : start + TOGETHER]
                _check_texts([item for history in part for item in history], self.settings)
                ids = user_ids and user_ids[start : start + TOGETHER]

                def in_part(done: int, total: float, start: int = start, users: int = len(part)) -> None:
                    report(start + int(users * min(1.0, done / max(total, 1))), len(histories))

                whole = self._summarizer.together(
                    part, call, Work(), user_ids=ids, on_progress=in_part, deterministic=deterministic
                )
                made += whole if nodes else [replace(one, nodes=()) for one in whole]
                report(len(made), len(histories))
        return made

    def update(
        self, user: User | Mapping[str, Any], item: Item | Mapping[str, Any], *, cancel: Cancellation | None = None
    ) -> User:
        """The user with one more item at the end of the history; returns at once.

        A block that the item completes is summarized in the background, behind every other call; `cancel` stops that.
        What goes wrong there is logged, and done again when a call needs it. Raises `DataError`, `Closed`.
        """
        before = _user(user)
        after = before.appended(item)
        _check_texts(after.history[-1:], self.settings)
        if self._turns.closed:
            raise Closed("the recommender was closed")
        blocks = [split(each.history, **self.settings.cut).complete for each in (before, after)]
        if self.settings.strategy != "none" and blocks[0] != blocks[1]:
            self._background.add(partial(self._summarize_behind, after), user_id=after.user_id, cancel=cancel)
        return after

    def prompt(
        self,
        user: User | Mapping[str, Any],
        candidates: Iterable[Item] | Iterable[Mapping[str, Any]] | None = None,
    ) -> list[tuple[str, str]]:
        """Exactly what the models see, as (name, text) pairs; loads vocabularies, no weights.

        Prompts of summaries that wait for others still to be made are left out; a summary that is not in the cache
        stands as a note in the scoring prompt.
        """
        user = _user(user)
        items = given(candidates, user)
        with (
            self._call() as call,
            call.vocabulary(self.bundle.summarizer) as summarizer,
            call.vocabulary(self.bundle.recommender) as recommender,
        ):
            _check_texts([*user.history, *items], self.settings)
            return preview(user.history, items, self.bundle, self.settings, self.store, summarizer, recommender)

    def check_candidates(self, candidates: Iterable[Item] | Iterable[Mapping[str, Any]]) -> None:
        """Raise `DataError` for the first candidate that some user's prompt cannot ask of; loads no weights."""
        items = listed(candidates)
        with self._call() as call, call.vocabulary(self.bundle.recommender) as vocabulary:
            for item in items:
                templates.check(item, self.settings, vocabulary)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What `inspect` shows of each model: architecture, parameters, context length."""
        files = {"summarizer": self.bundle.summarizer, "recommender": self.bundle.recommender}
        with self._call() as call:
            return {role: dict(call.use(file).describe()) for role, file in files.items()}

    def with_settings(self, settings: Settings) -> Recommender:
        """The same recommender, asked with other settings: its models, its queue of calls and its store are shared.

        So is its end: closing either closes both.
        """
        other = copy.copy(self)
        other.settings = settings
        return other

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
        self._background.drop(user_id)
        with self._call():
            return self.store.clear(user_id)

    def cancel(self) -> None:
        """Stop every call that runs or waits now, from any thread; each raises `Cancelled`."""
        self._background.drop()
        self._turns.cancel()

    def unload(self) -> None:
        """Free the models' memory, after the calls that stand before; the next call that needs one loads it again."""
        with self._turns.take():
            self._models.close()

    def close(self) -> None:
        """Stop the running call, refuse the waiting ones with `Closed`, free models, and close the store.

        At any time, from any thread, and as often as one likes. Summaries that were finished are kept.
        """
        if self._turns.close():
            self._free()  # else the call that closes does it as it ends
        self._background.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    @property
    def _summarizer(self) -> Summarizer:
        """As the settings are now: they may be replaced between calls."""
        return Summarizer(self.bundle.summarizer, self.store, self.settings)

    @contextmanager
    def _call(
        self,
        cancel: Cancellation | None = None,
        progress: OnProgress | None = None,
        *,
        background: bool = False,
        patience: float | None = None,
    ) -> Iterator[ModelSession]:
        """A call whose turn it is; everything that touches models happens in one."""
        with self._turns.take(cancel, background=background, patience=patience) as stop:
            try:
                yield ModelSession(stop, progress, self._models)
            finally:
                if self._turns.closed:  # while this call ran, and perhaps by it
                    self._free()
                self._background.idle()

    def _free(self) -> None:
        self._models.close()
        self.store.close()

    def _unload(self, is_due: Callable[[], bool]) -> None:
        with self._turns.take(background=True):
            if is_due():
                self._models.close()

    def _summarize_behind(self, user: User, cancel: Cancellation) -> None:
        with self._call(cancel, background=True) as call:
            self._summarizer.of(user, call, Work())

    def _summary(self, until: Deadline, user: User, call: ModelSession, work: Work) -> tuple[Summary, int]:
        """The summary there is time for, and how many complete blocks it does not cover."""
        hurried = until.left is not None
        if hurried and not self._models.hold_both and self.bundle.summarizer not in self._models:
            return self._summarizer.newest(user, work)  # loading it would unload the model that ranks, in every call
        return self._summarizer.in_time(until, user, call, work)

    def _load_after(self, draft: PartialResult) -> None:
        """Load what a call had no time to load, so that a later one has it, however little time that has."""
        needed = [self.bundle.recommender]
        if draft.uncovered and self._models.hold_both:
            needed.insert(0, self.bundle.summarizer)
        if any(file not in self._models for file in needed):
            self._background.add(partial(self._load, needed), ahead=True)  # summaries are displaced by any call

    def _load(self, files: Sequence[ModelFile], cancel: Cancellation) -> None:
        with self._call(cancel) as call:  # in line with the others, which would displace it again and again
            for file in files:
                call.use(file)


def _ending(seconds: float | None) -> float | None:
    """None, which is no limit, for seconds that no clock waits for."""
    return None if seconds is None or seconds >= threading.TIMEOUT_MAX else seconds


def _user(user: User | Mapping[str, Any]) -> User:
    return user if isinstance(user, User) else User.from_dict(user)


def _check_texts(items: Sequence[Item], settings: Settings) -> None:
    """Every item has something to show; said before any model is loaded."""
    for item in items:
        templates.shown(item, settings)
