"""`Recommender`: a user and candidates in, a ranking out. The one door for programs and for the command line.

Invariant: nothing is loaded before it is needed: a fully cached user never loads the summarizer. One call runs at a
time and the others wait their turn. Nothing is printed: progress goes to a callback, warnings to `logging`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trsr_lite.cancellation import Cancellation, Deadline
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import SettingsError
from trsr_lite.models import resolve
from trsr_lite.models.pool import opener
from trsr_lite.models.resolve import DEFAULT_MODEL
from trsr_lite.models.session import ModelSession
from trsr_lite.options import known_options, refuse_unknown
from trsr_lite.prompts import templates
from trsr_lite.recommender.answer import PartialResult
from trsr_lite.recommender.candidates import given, listed, to_rank
from trsr_lite.recommender.histories import check_visible, summarize
from trsr_lite.recommender.own_summary import own_summary
from trsr_lite.recommender.preview import preview
from trsr_lite.recommender.ranking_call import RankingCall
from trsr_lite.recommender.resident import Resident
from trsr_lite.recommender.signals import chosen
from trsr_lite.records import Item, User
from trsr_lite.results import OnPartial, OnProgress, Result, Summary
from trsr_lite.settings import Settings
from trsr_lite.summaries.blocks import cut
from trsr_lite.summaries.generate import Work
from trsr_lite.summaries.store import SummaryStore

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.catalog.retrieve_options import Retrieval


class Recommender(Resident):
    """Ranks candidates for users on one bundle. Usable from any thread; a context manager.

    `Recommender.load` is the usual way in. The constructor takes parts, so that an application or a test can bring its
    own store or engine: `open_engine` is called with a `ModelFile`, whether only its vocabulary is needed, and a
    callback for the progress of loading.

    Calls run one after another. A call that is given a `Cancellation` ends with `Cancelled` soon after it was
    cancelled, whether it runs or waits. Summaries that were finished by then are kept. Callbacks are called in the
    thread of the call and must not call the recommender, except for `cancel` and `close`.

    Attributes
    ----------
    bundle, store: the models and what is known of them, and where summaries are kept.
    settings: what a call is made with that is given none of its own.
    """

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        options: EngineOptions | None = None,
        cache_dir: str | Path | None = None,
        cache_size: int | None = None,
        data_dir: str | Path | None = None,
        offline: bool = False,
        unload_after: float | None = None,
        max_memory: int | None = None,
        background: bool = False,
        progress: OnProgress | None = None,
        **changes: Any,
    ) -> Recommender:
        """A recommender on `smollm2`, a bundle folder, a `.gguf` file, or `user/repo[:TYPE]` on the Hugging Face hub.

        `changes` replace single settings, such as `strategy="none"` or `domain="news"` (see `Settings`). Summaries are
        kept in `cache_dir`, the prepared default in `data_dir`; both default to the system's folders for this user.
        Margins are stored beside the summaries, as long as that file has at most `cache_size` bytes (default 256 MB, 0
        stores none): what was ranked before is ranked again without a model.

        Models are freed after `unload_after` idle seconds, and loaded again when needed. `max_memory` bytes are about
        the most that weights and contexts take: for it contexts get smaller, and models are kept one at a time.
        In the `background` it lets the calls of other processes go first.

        Raises `ModelError` where the model is missing or broken; weights are loaded at first use.
        """
        refuse_unknown(changes, known_options(Settings), "setting")
        store = SummaryStore.at(cache_dir, cache_size)
        bundle = resolve.load(model, store.digest, data_dir=data_dir, offline=offline, progress=progress)
        return cls(
            bundle,
            store,
            opener(options, store.digest, store.path.parent, background=background),
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
        summary: str | None = None,
        settings: Settings | None = None,
        progress: OnProgress | None = None,
        partial: OnPartial | None = None,
        cancel: Cancellation | None = None,
    ) -> Result:
        """The best `k` candidates (all without `k`), best first.

        `candidates` default to the user's own. With a `catalog` they are what it finds for the history and the summary,
        as `retrieve` says (a number of items, or a `Retrieval`). Where the bundle has a fusion, the signals that
        `settings.signals` names rank together. The model scores at most `settings.rerank`: those that are best by the
        others. `exact` makes margins reproducible to the bit, and slower. `settings` replace the recommender's own for
        this call.

        All ends within `budget` seconds, waiting included. Up to half of the time goes to missing summaries; then the
        newest stored one serves. The model scores candidates as long as there is time. `Result.skipped` says what it
        left out. With a fusion that is ranked by the other signals, without one not at all. A call whose turn does not
        come in time looks nothing up in the catalog. A model that there was no time to load is loaded after the call.
        Where `max_memory` has room for one alone, only the one that ranks is.

        Where other signals rank beside the model, `partial` is called once with their order, before the model is asked.
        Given candidates do not even wait for the call's turn. Its `skipped` names what the model has not scored yet.

        `summary` is what the user says of their own preference; the model reads it in place of a generated one.

        Raises `DataError`, `SettingsError`, `ModelError`, `Cancelled`, `Closed`.
        """
        user, settings = _user(user), settings or self.settings
        items = to_rank(candidates, user, catalog, retrieve)
        if k is not None and k < 1:
            raise SettingsError(f"k is {k}; it must be at least 1")
        if budget is not None and not budget >= 0:  # nor NaN
            raise SettingsError(f"budget is {budget}; it must be at least 0")
        until, names = Deadline(budget), chosen(self.bundle, settings)
        check_visible([*user.history, *items], settings)
        answer = PartialResult(user, self._summarizer.plan(user.history, settings), items)
        first = None if partial is None else lambda: partial(answer.first(self.bundle, k=k))
        parts = (answer, self.bundle, self._summarizer, self._calls, self._signals, names, until)
        call = RankingCall(*parts, catalog, retrieve, exact, first, own_summary(summary, names))
        call.run(cancel, progress)
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
        check_visible(user.history, settings)
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
            return summarize(
                histories, ids, settings, self._summarizer, session, deterministic=deterministic, nodes=nodes
            )

    def update(
        self,
        user: User | Mapping[str, Any],
        item: Item | Mapping[str, Any],
        *,
        feedback: str | None = None,
        rating: float | None = None,
        settings: Settings | None = None,
        cancel: Cancellation | None = None,
    ) -> User:
        """The user with one more item at the end of the history, as a new record; returns at once.

        `feedback` is `like`, `dislike` or `skip`, `rating` a number on the user's scale: what is disliked or skipped
        speaks against its like. Said of an item that the history has already, it speaks for all its places.

        A block that the item completes is summarized in the background, behind every other call; `cancel` stops that.
        What goes wrong there is logged, and done again when a call needs it. Raises `DataError`, `Closed`.
        """
        before, settings = _user(user), settings or self.settings
        after = before.appended(item, feedback=feedback, rating=rating)
        check_visible(after.history[-1:], settings)
        self._calls.queue.check()
        blocks = [cut(each.history, settings).complete for each in (before, after)]
        if settings.strategy != "none" and blocks[0] != blocks[1]:

            def summarize_it(session: ModelSession) -> None:
                self._summarizer.make(self._summarizer.plan(after.history, settings), after.user_id, session, Work())

            owned = bool(after.user_id)
            self._calls.behind("update", summarize_it, user_id=after.user_id, replace=owned, cancel=cancel)
        return after

    def prompt(
        self,
        user: User | Mapping[str, Any],
        candidates: Iterable[Item] | Iterable[Mapping[str, Any]] | None = None,
        *,
        settings: Settings | None = None,
    ) -> list[tuple[str, str]]:
        """Exactly what the models see, as (name, text) pairs; loads vocabularies, no weights.

        Prompts of summaries that wait for others still to be made are left out. A summary that is not in the cache
        stands as a note in the scoring prompt.
        """
        user, settings = _user(user), settings or self.settings
        items = given(candidates, user)
        with (
            self._calls.run("prompt") as session,
            session.vocabulary(self.bundle.summarizer) as summarizer,
            session.vocabulary(self.bundle.recommender) as recommender,
        ):
            check_visible([*user.history, *items], settings)
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


def _user(user: User | Mapping[str, Any]) -> User:
    return user if isinstance(user, User) else User.from_dict(user)
